"""A lease whose holder is surely gone is in nobody's way; one whose holder may live is."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from propolis.errors import BusyError
from propolis.repository.access import holder
from propolis.repository.access.holder import Holder
from propolis.repository.access.leases import Lease, leases, unlock
from propolis.repository.storage.folder import FolderStorage

HOLD = """
import sys, time
from pathlib import Path
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.access.leases import Lease
with Lease(FolderStorage(Path(sys.argv[1])), "exclusive"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    found = FolderStorage(tmp_path / "vault")
    found.prepare()
    return found


@pytest.fixture
def run(storage: FolderStorage) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds an exclusive lease."""
    with subprocess.Popen([sys.executable, "-c", HOLD, storage.place], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def left_by(storage: FolderStorage, owner: Holder, kind: str = "exclusive") -> None:
    storage.put(f"locks/{kind}-20990101T000000Z-{'f' * 32}", msgspec.json.encode(owner))


def is_busy(storage: FolderStorage) -> bool:
    try:
        with Lease(storage, "shared"):
            return False
    except BusyError:
        return True


def test_the_lease_of_a_killed_run_is_gone_at_once(storage: FolderStorage, run: subprocess.Popen[str]) -> None:
    assert is_busy(storage)
    run.kill()
    run.wait()
    assert [lease.dead for lease in leases(storage)] == [True]
    with Lease(storage, "exclusive"):
        assert len(leases(storage)) == 1
    assert leases(storage) == []


def test_a_killed_run_that_nobody_has_waited_for_is_gone_as_well(
    storage: FolderStorage, run: subprocess.Popen[str]
) -> None:
    run.kill()
    # WNOWAIT: every thread of it has ended, not only the first, and it stays in the process table.
    os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{run.pid}").exists()
    assert not is_busy(storage)


def test_a_run_that_is_stopped_for_a_while_keeps_its_lease(
    storage: FolderStorage, run: subprocess.Popen[str]
) -> None:
    run.send_signal(signal.SIGSTOP)
    assert is_busy(storage)
    assert unlock(storage, plan=True)[1] == []


def test_unlock_removes_the_lease_of_a_killed_run(storage: FolderStorage, run: subprocess.Popen[str]) -> None:
    run.kill()
    run.wait()
    found, removed = unlock(storage)
    assert removed == [found[0].name]
    assert leases(storage) == []


def test_a_number_that_another_process_has_by_now_does_not_keep_a_lease(storage: FolderStorage) -> None:
    mine = Holder.this()
    left_by(storage, mine)
    assert is_busy(storage)
    left_by(storage, msgspec.structs.replace(mine, start=mine.start - 1))
    assert not is_busy(storage)


@pytest.mark.parametrize(
    "unlike",
    [{"namespaces": "pid:[1] time:[2]"}, {"start": 0}, {"boot": ""}, {"boot": "another", "machine": ""}],
    ids=["another container", "no start", "no boot", "another host's boot"],
)
def test_what_is_not_known_for_certain_is_taken_for_alive(storage: FolderStorage, unlike: dict[str, Any]) -> None:
    gone = msgspec.structs.replace(Holder.this(), pid=_free_pid(), start=1)
    assert gone.is_gone()
    left_by(storage, msgspec.structs.replace(gone, **unlike))
    assert is_busy(storage)


def test_a_process_whose_start_cannot_be_seen_is_taken_for_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = msgspec.structs.replace(Holder.this(), start=1)
    assert mine.is_gone()
    monkeypatch.setattr(holder, "_stat", lambda pid: [])  # as where /proc hides others' processes
    assert not mine.is_gone()


def test_what_ran_before_this_very_machine_was_booted_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "_machine", lambda: "this")
    before = msgspec.structs.replace(Holder.this(), boot="the one before", machine="this")
    assert before.is_gone()
    assert not msgspec.structs.replace(before, machine="that").is_gone()
    assert not msgspec.structs.replace(before, host="that").is_gone()


@pytest.mark.parametrize("lacks", ["class/dmi/id/product_uuid", "class/net/eth0/address", "machine-id"])
def test_a_machine_is_known_only_by_all_that_tells_it_from_its_copies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacks: str
) -> None:
    for name in ("class/dmi/id/product_uuid", "class/net/eth0/address", "class/net/eth0/device/x", "machine-id"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("value\n")
    monkeypatch.setattr(holder, "_SYS", tmp_path)
    monkeypatch.setattr(holder, "_MACHINE_ID", tmp_path / "machine-id")
    holder._machine.cache_clear()
    first = holder._machine()
    (tmp_path / lacks).write_text("other\n")
    holder._machine.cache_clear()
    second = holder._machine()
    assert len(first) == len(second) == 32
    assert first != second
    (tmp_path / lacks).unlink()
    holder._machine.cache_clear()
    assert holder._machine() == ""
    holder._machine.cache_clear()


def _free_pid() -> int:
    """A number that no process has: one of a process that has ended and was waited for."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert not Path(f"/proc/{process.pid}").exists()
    return process.pid
