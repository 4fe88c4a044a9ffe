"""What is compared of each index after a restore: open, closed, TheHive's, others', the server's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from propolis.errors import IntegrityError
from propolis.restore.indices import Expected, closed_files, compare, compare_closed, expected
from propolis.stack.index.contents import IndexInfo

OTHER = IndexInfo("cortex_6", "u1", 1, 10, 25)
OWN = IndexInfo("thehive_global", "u2", 1, 314, 900)
CLOSED = IndexInfo("the_hive_15", "u3", 1, 0, 0, open=False)
SERVERS = IndexInfo(".security-7", "u4", 1, 7, 30)
LOGS = IndexInfo("app-logs-000001", "u5", 1, 9, 9, managed=True)
ALL = (OTHER, OWN, CLOSED, SERVERS, LOGS)


def told(*infos: IndexInfo) -> list[Expected]:
    """As the manifest keeps it, and as it is read back."""
    return expected({"indices": [info.as_fact() for info in infos]})


def differences(*here: IndexInfo) -> tuple[list[str], list[str]]:
    return compare(told(*ALL), here, "thehive")


def changed(info: IndexInfo, **changes: Any) -> tuple[list[str], list[str]]:
    return differences(*(replace(one, **changes) if one is info else one for one in ALL))


def test_the_same_indices_differ_in_nothing() -> None:
    assert differences(*ALL) == ([], [])


@pytest.mark.parametrize("missing", [OTHER, OWN, CLOSED, SERVERS])
def test_every_index_has_to_be_there(missing: IndexInfo) -> None:
    wrong, _ = differences(*(one for one in ALL if one is not missing))
    assert wrong == [f"{missing.name} does not exist"]


def test_what_the_server_deletes_in_time_is_only_missed_with_a_warning() -> None:
    wrong, warnings = differences(*(one for one in ALL if one is not LOGS))
    assert wrong == []
    assert LOGS.name in warnings[0]


def test_an_index_of_others_has_to_show_at_least_the_writes_that_were_counted() -> None:
    assert changed(OTHER, operations=24, documents=9)[0] == [
        "cortex_6 has seen 24 writes, 25 when it was backed up",
    ]
    assert changed(OTHER, documents=9)[0] == ["cortex_6: 10 documents backed up, 9 restored"]
    assert changed(OTHER, operations=26, documents=9) == ([], []), "somebody deleted one meanwhile"
    assert changed(SERVERS, operations=31, documents=8) == ([], [])


def test_a_closed_index_has_to_be_closed_and_an_open_one_open() -> None:
    assert changed(CLOSED, open=True)[0] == ["the_hive_15 was closed and is open"]
    assert changed(OWN, open=False)[0] == ["thehive_global was open and is closed"]


def test_another_index_of_the_name_is_not_the_one_that_was_backed_up() -> None:
    assert changed(OTHER, uuid="u9")[0] == ["cortex_6 is another index with that name"]
    assert changed(SERVERS, uuid="u9") == ([], [".security-7 is another index with that name"])


def test_indices_that_are_new_are_nobodys_loss() -> None:
    assert differences(*ALL, IndexInfo("new", "u8", 2, 1, 1)) == ([], [])


def test_a_backup_that_tells_of_no_indices_or_less_of_them_asks_for_no_more() -> None:
    assert expected({}) == []
    (old,) = expected({"indices": [{"name": "cortex_6", "uuid": "u1", "documents": 10, "operations": 25}]})
    assert compare([old], [replace(OTHER, open=False)], "thehive") == ([], [])
    assert compare_closed([old], {}, Path("/nowhere")) == []
    with pytest.raises(IntegrityError, match="can't be understood"):
        expected({"indices": [{"name": 5}]})


@pytest.mark.parametrize("layout", ["indices", "nodes/0/indices"])
def test_segment_files_of_a_closed_index_are_those_of_the_backup(tmp_path: Path, layout: str) -> None:
    shard = tmp_path / layout / "u3/0"
    for name, content in {"index/_0.cfs": "12345", "index/segments_2": "1", "translog/translog-3.tlog": "x"}.items():
        (shard / name).parent.mkdir(parents=True, exist_ok=True)
        (shard / name).write_text(content)
    (shard / "index/write.lock").touch()
    files = {"u3": {"0/index/_0.cfs": 5, "0/index/segments_2": 1}}
    assert compare_closed(told(*ALL), files, tmp_path) == []
    (shard / "index/_0.cfs").write_text("1234")
    (wrong,) = compare_closed(told(*ALL), files, tmp_path)
    assert wrong == "the closed index the_hive_15 differs in 0/index/_0.cfs: 5 bytes backed up, 4 restored"
    (shard / "index/_0.cfs").unlink()
    assert "no restored" in compare_closed(told(*ALL), files, tmp_path)[0]
    assert compare_closed(told(*ALL), files, tmp_path / "nowhere") != []


def test_a_backups_segment_files_are_found_by_uuid() -> None:
    class Entry:
        def __init__(self, path: str, type: str = "f", size: int = 3) -> None:
            self.path, self.type, self.size = path.encode(), type, size

    class Manifest:
        def entries(self, tree: str) -> list[Entry]:
            assert tree == "index/data"
            return [
                Entry("nodes/0/indices/u3/0/index", "d"),
                Entry("nodes/0/indices/u3/0/index/_0.cfs"),
                Entry("nodes/0/indices/u3/0/index/_0.si", "h", 4),
                Entry("nodes/0/indices/u3/0/translog/translog.ckp"),
                Entry("nodes/0/indices/u1/0/index/_0.cfs"),
                Entry("nodes/0/_state/node-1.st"),
            ]

    manifest: Any = Manifest()
    assert closed_files(manifest, ["u3"]) == {"u3": {"0/index/_0.cfs": 3, "0/index/_0.si": 4}}
    assert closed_files(manifest, []) == {}
