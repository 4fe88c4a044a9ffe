"""Which files of a stopped service may be shared with its clone: only those known never to change in place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.stack.database import files as database
from propolis.stack.files import store as files
from propolis.stack.index import files as index
from propolis.stack.model import nothing_immutable

TABLE = "thehive/edgestore-0f3c1a20c7f611f0a1b2c3d4e5f60718"
SHARD = "nodes/0/indices/3Jq8gkZTQ0eYp3y0kN6v0A/0"


@pytest.mark.parametrize(
    "path",
    [
        f"{TABLE}/nb-1-big-Data.db",
        f"{TABLE}/nb-12-big-Index.db",
        f"{TABLE}/nb-1-big-Statistics.db",
        f"{TABLE}/nb-1-big-Summary.db",
        f"{TABLE}/nb-1-big-CompressionInfo.db",
        f"{TABLE}/nb-1-big-Digest.crc32",
        f"{TABLE}/nb-1-big-CRC.db",
        f"{TABLE}/oa-3gqc_0ac2_1fk5t2ltgkdzpmpn4b-big-Data.db",
        f"{TABLE}/da-3gqc_0ac2_1fk5t2ltgkdzpmpn4b-bti-Partitions.db",
        f"{TABLE}/da-1-bti-Rows.db",
        f"{TABLE}/.by_label/nb-1-big-Data.db",
        f"{TABLE}/snapshots/before/nb-1-big-Data.db",
        f"{TABLE}/backups/nb-1-big-Data.db",
    ],
)
def test_components_of_an_sstable_are_shared(path: str) -> None:
    assert database.immutable(path)


@pytest.mark.parametrize(
    "path",
    [
        f"{TABLE}/nb-1-big-TOC.txt",
        f"{TABLE}/nb-1-big-Filter.db",
        f"{TABLE}/nb_txn_compaction_0f3c1a20.log",
        f"{TABLE}/snapshots/before/manifest.json",
        f"{TABLE}/snapshots/before/schema.cql",
        f"{TABLE}/nb-1-big-SAI+aa+Meta.db",
        f"{TABLE}/nb-1-big-Data.db.tmp",
        f"{TABLE}/nb-1-big-Data.db/x",
        "CommitLog-7-1764000000000.log",
        "Data.db",
        "nb-1-big-Data_db",
    ],
)
def test_other_files_of_the_database_are_copied(path: str) -> None:
    assert not database.immutable(path)


@pytest.mark.parametrize(
    "path",
    [
        f"{SHARD}/index/_0.cfs",
        f"{SHARD}/index/_4f.si",
        f"{SHARD}/index/_4f_1.liv",
        f"{SHARD}/index/_4f_Lucene90_0.dvd",
        f"{SHARD}/index/_1_Lucene84_0.tim",
        f"{SHARD}/index/_a_2_Lucene80_0.dvm",
        f"{SHARD}/index/segments_3x",
        f"{SHARD}/translog/translog-7.tlog",
        f"{SHARD}/translog/translog-6.ckp",
        f"{SHARD}/_state/state-1.st",
        f"{SHARD}/_state/retention-leases-12.st",
        "nodes/0/_state/node-0.st",
        "nodes/0/_state/manifest-3.st",
        "_state/_2.cfe",
        "_state/segments_5",
        "indices/3Jq8gkZTQ0eYp3y0kN6v0A/_state/state-2.st",
    ],
)
def test_files_that_the_index_writes_once_are_shared(path: str) -> None:
    assert index.immutable(path)


@pytest.mark.parametrize(
    "path",
    [
        f"{SHARD}/translog/translog.ckp",
        f"{SHARD}/index/write.lock",
        f"{SHARD}/index/pending_segments_4",
        f"{SHARD}/index/recovery.abc._0.cfs",
        "nodes/0/node.lock",
        "node.lock",
        "_state/write.lock",
        "batch_metrics_enabled.conf",
        "_0",
        "translog-7.tlog.tmp",
    ],
)
def test_other_files_of_the_index_are_copied(path: str) -> None:
    assert not index.immutable(path)


@given(path=st.text(alphabet="abnvz019_-.+/ \n", max_size=40))
def test_a_name_that_is_not_known_is_copied(path: str) -> None:
    name = path.rsplit("/", 1)[-1]
    if not name.endswith((".db", ".crc32")):
        assert not database.immutable(path)
    if not name.startswith(("_", "segments_", "translog-")) and not name.endswith(".st"):
        assert not index.immutable(path)
    assert not nothing_immutable(path)


def test_attachments_are_shared() -> None:
    assert files.immutable("attachment/" + "0" * 64)
