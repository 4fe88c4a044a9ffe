"""Real servers for tests. What is missing fails a test by its name; nothing is ever skipped for it.

- `lab`: one running lab for the whole session, all its services up when a test begins. A test may stop, start and
  break services; it should clean its own data away if that would disturb others.
- `make_lab`: further labs, each gone at the end of the test.
- `minio`, `versitygw`: an S3 store alone, for the whole session; `new_bucket` makes an empty bucket in MinIO.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from propolis_lab import interrupts
from propolis_lab.lab import Lab, Options
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server

MakeLab = Callable[[Options], Lab]
SHARED = Options(cases=20, attachments=100)

_BASE = Path(os.environ.get("PROPOLIS_LAB_FOLDER", "/tmp"))
_PREFIX = "propolis-test-"


class SharedLab:
    """One lab for many tests; made on first use, and anew if a test left it beyond repair."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._lab: Lab | None = None

    def ready(self) -> Lab:
        if self._lab is not None:
            try:
                if not all(self._lab.running(name) for name in self._lab.services):
                    self._lab.start_all()
                return self._lab
            except Exception:
                self.close()
        self._count += 1
        self._lab = Lab.up(self._folder / f"shared-{self._count}", SHARED)
        return self._lab

    def close(self) -> None:
        lab, self._lab = self._lab, None
        if lab is not None:
            lab.down()


@pytest.fixture(scope="session")
def lab_folder() -> Iterator[Path]:
    """Where this session's labs lie: its name holds the session's process, so that later ones can clean up."""
    _remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_BASE))
    folder.chmod(0o755)
    # Else a terminated pytest would leave its servers running.
    interrupts.raise_on(signal.SIGTERM, signal.SIGHUP)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_lab(lab_folder: Path) -> Iterator[SharedLab]:
    shared = SharedLab(lab_folder)
    yield shared
    with interrupts.put_off():
        shared.close()


@pytest.fixture
def lab(shared_lab: SharedLab) -> Lab:
    return shared_lab.ready()


@pytest.fixture
def make_lab(lab_folder: Path) -> Iterator[MakeLab]:
    with ExitStack() as stack:

        def make(options: Options) -> Lab:
            return stack.enter_context(Lab.up(lab_folder / f"lab-{uuid4().hex[:8]}", options))

        yield make


@pytest.fixture(scope="session")
def minio() -> Iterator[S3Server]:
    with s3_stores.run("minio") as server:
        yield server


@pytest.fixture(scope="session")
def versitygw() -> Iterator[S3Server]:
    with s3_stores.run("versitygw") as server:
        yield server


@pytest.fixture
def new_bucket(minio: S3Server) -> str:
    name = f"test-{uuid4().hex[:12]}"
    minio.make_bucket(name)
    return name


def _remove_left_behind() -> None:
    """Labs of sessions that were killed. Test processes that begin side by side do it one after the other."""
    with (_BASE / f"{_PREFIX}cleaning").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _clean()


def _clean() -> None:
    for folder in _BASE.glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            for record in (*folder.glob("*/etc/lab.json"), *folder.glob("*/*/etc/lab.json")):
                Lab.open(record.parent.parent).down()
            shutil.rmtree(folder, ignore_errors=True)
