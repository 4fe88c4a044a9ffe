"""A restored node must not know the addresses of the cluster that it came from, by any file."""

from pathlib import Path
from typing import cast

import pytest

from propolis.command.context import Context
from propolis.errors import PreflightError
from propolis.restore.hosts.peers import ForgetPeers
from propolis.run import Results
from propolis.stack.database.files import is_empty_segment

HEADER = bytes.fromhex("00000007 000001a21d44ce08 0002 7b7d ae55261d")
"""Version, ID, parameters, checksum, as Cassandra 4.1 wrote them."""
EMPTY = bytes.fromhex("0000001c 893c1734")
"""The section that followed, which ends where it begins."""
FULL = bytes.fromhex("00000080 893c1734") + bytes(92)
ID = "37f71aca7dc2383ba70672528af04d4f"


@pytest.fixture
def staged(tmp_path: Path) -> ForgetPeers:
    """What is fetched of a node with two data folders, the second of which holds the system keyspace."""
    for name in ("peers", "peers_v2", "peer_events", "local"):
        table = tmp_path / f"data-1/system/{name}-{ID}"
        (table / "snapshots/upgrade").mkdir(parents=True)
        for path in ("nb-1-big-Data.db", "nb-1-big-TOC.txt", "snapshots/upgrade/nb-1-big-Data.db"):
            (table / path).write_bytes(b"10.0.0.1")
    (tmp_path / f"data-0/thehive/edgestore-{ID}").mkdir(parents=True)
    (tmp_path / f"data-0/thehive/edgestore-{ID}/nb-1-big-Data.db").touch()
    (tmp_path / "commitlog").mkdir()
    (tmp_path / "commitlog/CommitLog-7-1.log").write_bytes(HEADER + EMPTY + bytes(4096))
    data = (str(tmp_path / "data-0"), str(tmp_path / "data-1"))
    return ForgetPeers(data=data, commitlog=str(tmp_path / "commitlog"))


def forget(step: ForgetPeers) -> int:
    return step.do(cast("Context", None), Results())


def tables(step: ForgetPeers) -> set[str]:
    """Tables that still hold files of their own."""
    return {path.parent.name.partition("-")[0] for folder in step.data for path in Path(folder).glob("*/*/*.db")}


def test_only_tables_of_peers_lose_their_files(staged: ForgetPeers) -> None:
    assert forget(staged) == 4
    assert tables(staged) == {"peer_events", "local", "edgestore"}
    assert forget(staged) == 0, "a second time there is nothing left to do"


def test_a_commit_log_with_writes_could_bring_them_back(staged: ForgetPeers) -> None:
    assert staged.commitlog is not None
    (Path(staged.commitlog) / "CommitLog-7-2.log").write_bytes(HEADER + FULL + bytes(100))
    with pytest.raises(PreflightError, match=r"its commit log holds writes \(CommitLog-7-2\.log\)"):
        forget(staged)
    assert "peers" in tables(staged)


def test_a_database_laid_out_otherwise_is_not_trusted(staged: ForgetPeers) -> None:
    with pytest.raises(PreflightError, match=r"no table system\.peers"):
        forget(ForgetPeers(data=staged.data[:1], commitlog=None))


@pytest.mark.parametrize(
    ("content", "empty"),
    [
        (b"", True),
        (HEADER, True),
        (HEADER + EMPTY, True),
        (HEADER + EMPTY + bytes(3 << 20), True),
        (HEADER + bytes(3 << 20), True),
        (HEADER + EMPTY + bytes(3 << 20) + b"x", False),
        (HEADER + FULL + bytes(100), False),
        (HEADER + EMPTY + FULL + bytes(100), False),
    ],
)
def test_a_segment_is_empty_if_nothing_follows_its_header(tmp_path: Path, content: bytes, empty: bool) -> None:
    path = tmp_path / "segment"
    path.write_bytes(content)
    assert is_empty_segment(path) is empty
