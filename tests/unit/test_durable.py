"""A new file is there whole, or not at all."""

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from propolis.config import sample
from propolis.durable import write_new
from propolis.errors import PropolisError
from propolis.repository import Identity, read_identities, write_identity

WRITERS: list[Callable[[Path], object]] = [
    lambda path: write_identity(path, Identity.generate()),
    lambda path: sample.write(path, "name: hive\n" * 100),
]


@contextlib.contextmanager
def room_for(count: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", WRITERS, ids=["a key", "propolis.yaml"])
def test_what_cannot_be_written_whole_is_not_there_and_can_be_written_later(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "new"
    with room_for(20), pytest.raises(PropolisError, match="can't be written: File too large"):
        write(path)
    assert list(tmp_path.iterdir()) == []
    write(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_what_is_there_already_stays(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        without_links(monkeypatch)
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for path in (file, link):
        with pytest.raises(FileExistsError):
            write_new(path, "other")
    assert file.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == [file, link]


def test_a_filesystem_without_hard_links_takes_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(monkeypatch)
    identity, path = Identity.generate(), tmp_path / "key"
    write_identity(path, identity)
    assert [found.recipient for found in read_identities(path)] == [identity.recipient]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("failing", [1, 2], ids=["the file", "its folder"])
def test_what_cannot_be_made_durable_is_not_there(
    tmp_path: Path, links: bool, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        without_links(monkeypatch)
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        write_new(tmp_path / "new", "text")
    assert list(tmp_path.iterdir()) == []


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
