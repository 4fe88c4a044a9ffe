"""A node that left writes in its commit log is not backed up with its cluster."""

from pathlib import Path
from typing import cast

import pytest

from propolis.backup.drained import CheckClonedLog
from propolis.command.context import Context
from propolis.errors import IntegrityError
from propolis.run import Results

HEADER = bytes.fromhex("00000007 000001a21d44ce08 0002 7b7d ae55261d 0000001c 893c1734")


def test_writes_in_the_log_are_named(tmp_path: Path) -> None:
    (tmp_path / "CommitLog-7-1.log").write_bytes(HEADER + bytes(4096))
    check = CheckClonedLog(commitlog=str(tmp_path))
    check.do(cast("Context", None), Results())
    (tmp_path / "CommitLog-7-2.log").write_bytes(HEADER + b"\0\0\x01\0" + bytes(4096))
    with pytest.raises(IntegrityError, match=r"not drained.*CommitLog-7-2\.log") as caught:
        check.do(cast("Context", None), Results())
    assert "CommitLog-7-1" not in caught.value.what
