"""Whole restores and backups, on fake services, from repositories that are read-only or in part damaged or lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.stack import FakeStack
from integration.repository.test_unwritable import read_only
from propolis.command.known import remembered
from propolis.command.stores import open_repository
from propolis.run import SilentObserver


class Notes(SilentObserver):
    """Keeps what people are told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


@pytest.fixture
def notes() -> Notes:
    return Notes()


def folder(stack: FakeStack) -> Path:
    return Path(stack.config.repository.url)


def test_a_restore_from_a_read_only_repository_warns_and_works(fake_stack: FakeStack, notes: Notes) -> None:
    before = fake_stack.content()
    fake_stack.change()
    with read_only(folder(fake_stack)):
        fake_stack.restore(notes)
    assert fake_stack.content() == before
    assert ["No lease could be taken" in note for note in notes.notes if "lease" in note] == [True]


def test_a_host_remembers_the_newest_backup_it_recorded(fake_stack: FakeStack) -> None:
    newest = fake_stack.back_up().summary.id
    assert list(remembered(fake_stack.config, open_repository(fake_stack.config))) == [newest]


def test_no_older_backup_is_restored_as_the_latest_while_a_newer_one_is_damaged(fake_stack: FakeStack) -> None:
    content = fake_stack.content()
    older = fake_stack.back_up().summary.id
    newest = fake_stack.back_up().summary.id
    [manifest] = [path for path in (folder(fake_stack) / "manifests").iterdir() if path.name.startswith(newest[:16])]
    saved = manifest.read_bytes()
    manifest.write_bytes(b"")
    try:
        message = fake_stack.propolis.run("restore", "latest", "-i", fake_stack.key).one_clear_error(14)
        assert newest in message
        assert older in message
        fake_stack.propolis.ok("restore", older, "-i", fake_stack.key)
        again = Notes()
        fake_stack.back_up(again)
    finally:
        manifest.write_bytes(saved)
    assert fake_stack.content() == content
    assert any(newest in note for note in again.notes)


def test_a_backup_beside_keys_that_were_replaced_says_so_and_works(fake_stack: FakeStack, notes: Notes) -> None:
    keys = folder(fake_stack) / "keys"
    keys.rename(keys.with_name("aside"))
    keys.write_bytes(b"something else")
    try:
        fake_stack.back_up(notes)
    finally:
        keys.unlink()
        keys.with_name("aside").rename(keys)
    assert any("keys" in note for note in notes.notes)
