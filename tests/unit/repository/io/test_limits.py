"""What a backup takes of the host stays within its limits."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.errors import UsageError
from propolis.repository import Limits, idle_disk, parse_rate
from propolis.repository.io.limits import Pace
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.write import intake
from unit.repository.repository_tools import Vault, snapshot

IDLE = 3


def io_class(thread: int) -> int:
    shown = subprocess.run(["ionice", "-p", str(thread)], capture_output=True, text=True, check=True).stdout
    return IDLE if shown.startswith("idle") else 0


def in_thread(work: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20M", 20 << 20),
        ("512k", 512 << 10),
        ("1.5G", 3 << 29),
        ("4096", 4096),
        (" 1K ", 1024),
        ("2MB", 2 << 20),
        ("2MiB/s", 2 << 20),
    ],
)
def test_a_rate_is_read(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "M", "-1M", "0", "1023", "ten", "1T", "1,5M", "1e9", "1M2", "٣M"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a rate"):
        parse_rate(text)


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@given(st.lists(st.tuples(st.integers(0, 64 << 20), st.floats(0, 100)), max_size=30), st.integers(1024, 1 << 30))
def test_never_more_is_sent_than_the_rate_and_one_piece(pieces: list[tuple[int, float]], rate: int) -> None:
    time = Time()
    pace = Pace(rate, time.clock, time.sleep)
    sent = 0
    for size, pause in pieces:
        before = time.now
        assert pace.wait(size) == pytest.approx(time.now - before)
        assert sent <= rate * time.now * 1.000001
        sent += size
        time.sleep(pause)


def test_who_was_slower_than_the_rate_does_not_wait() -> None:
    time = Time()
    pace = Pace(1000, time.clock, time.sleep)
    pace.wait(5000)
    time.sleep(6)
    assert pace.wait(5000) == 0
    assert pace.wait(1) == pytest.approx(5)


def test_threads_share_one_rate() -> None:
    pace = Pace(8 << 20)
    with ThreadPoolExecutor(4) as pool:
        waited = pool.map(lambda _: [pace.wait(64 << 10) for _ in range(5)], range(4))
    assert sum(sum(each) for each in waited) > 0


def test_without_a_limit_nothing_waits() -> None:
    assert Pace(None).wait(1 << 60) == 0.0


def test_a_backup_given_up_does_not_wait_for_its_turn() -> None:
    time = Time()
    pace = Pace(1024, time.clock, time.sleep)
    pace.wait(1 << 40)
    assert pace.wait(1, lambda: time.now > 3) < 5


def test_a_failing_backup_under_a_limit_ends_and_is_resumed(vault: Vault, source: Path) -> None:
    def fail(stats: Any) -> None:
        if stats.packs:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        vault.backup(source, observer=fail, limits=Limits(upload=1024))
    summary = vault.backup(source)
    assert vault.stats.new < summary.bytes


def test_a_backup_pays_for_every_pack_before_it_sends_the_next(
    vault: Vault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate, time, sent = 256 << 10, Time(), list[tuple[float, int]]()
    monkeypatch.setattr(intake, "Pace", lambda upload: Pace(upload, time.clock, time.sleep))
    put = FolderStorage.put

    def noting(storage: FolderStorage, name: str, data: Any, *, create: bool = False) -> None:
        if name.startswith("packs/"):
            sent.append((time.now, len(data)))
        put(storage, name, data, create=create)

    monkeypatch.setattr(FolderStorage, "put", noting)
    vault.backup(source, workers=1, limits=Limits(upload=rate))
    assert len(sent) > 4
    for number, (moment, _) in enumerate(sent):
        assert moment == pytest.approx(sum(size for _, size in sent[:number]) / rate)


def test_a_limited_backup_is_as_good_as_any(vault: Vault, source: Path, tmp_path: Path) -> None:
    summary = vault.backup(source, limits=Limits(upload=4 << 20, background=True))
    vault.restore(summary, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)


def test_workers_in_the_background_rank_last_and_the_caller_does_not(vault: Vault, source: Path) -> None:
    ranks: dict[str, tuple[int, int]] = {}

    def look(stats: Any) -> None:
        thread = threading.get_native_id()
        ranks[threading.current_thread().name] = io_class(thread), os.getpriority(os.PRIO_PROCESS, thread)

    before = os.getpriority(os.PRIO_PROCESS, 0)
    for background in (False, True):
        ranks.clear()
        (source / f"new-{background}").write_bytes(os.urandom(1 << 20))
        vault.backup(source, observer=look, limits=Limits(background=background))
        assert ranks
        for io_rank, nice in ranks.values():
            assert (io_rank == IDLE) is background
            assert (nice > before) is background
    own = threading.get_native_id()
    assert (io_class(own), os.getpriority(os.PRIO_PROCESS, own)) == (0, before)


def test_the_disk_is_used_last_for_a_block_only() -> None:
    own = threading.get_native_id()
    with idle_disk():
        assert io_class(own) == IDLE
        assert in_thread(lambda: True)
    assert io_class(own) == 0
    with pytest.raises(ZeroDivisionError), idle_disk():
        raise ZeroDivisionError
    assert io_class(own) == 0


def test_a_thread_that_may_not_rank_itself_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from propolis.repository.io.limits import *; rank_last(); rank_last(); print('on')"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.nice(19),
    )
    assert done.stdout == "on\n"


def test_the_command_refuses_what_is_no_rate(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "propolis",
            "backup",
            "--limit-upload",
            "fast",
            "--config",
            str(tmp_path / "none.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'fast' is not a rate" in done.stderr
