"""A file that was rewritten in place, its size and time as before, is noticed once everything is read anew."""

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.backup import BackupOptions
from propolis.backup.reread import is_due
from propolis.backup.steps import OpenRepository
from propolis.command.context import Context
from propolis.config.durations import parse_duration
from propolis.config.load import load
from propolis.config.places import RereadConfig
from propolis.repository import Facts, Repository, Writer, verify, write_identity
from propolis.repository.model import ALTERED_NAMED
from propolis.repository.write.begin import begin
from propolis.repository.write.heading import LAST_REREAD
from propolis.run import Results, SilentObserver
from propolis.run.journal import new_run_id
from propolis.s3.objects import ObjectMeta
from unit.repository.access.test_keys_on_the_command_line import CONFIG
from unit.repository.repository_tools import TREE, Vault, fill, snapshot

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return fill(tmp_path / "source")


class Objects:
    """A bucket in memory whose objects keep their tags and times, whatever becomes of their content."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content

    def list(self) -> Iterator[ObjectMeta]:
        for key, content in sorted(self.content.items()):
            yield ObjectMeta(key, len(content), f"tag of {key}", 1_500_000_000_000_000_000)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        (meta,) = (meta for meta in self.list() if meta.key == key)
        return meta, iter([self.content[key]])


def rewrite(file: Path) -> None:
    """Change a file's content, and nothing else that can be seen from outside."""
    before = file.stat()
    content = file.read_bytes()
    with file.open("r+b") as opened:
        opened.write(bytes(byte ^ 1 for byte in content))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns, file.stat().st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert file.read_bytes() != content


def back_up(vault: Vault, source: Path, *, reread: bool) -> Any:
    with begin(vault.host, "hive") as writer:
        writer.reread = writer.reread or reread
        writer.add_folder("files", TREE, source, Path("/original"))
        return writer, writer.commit(Facts())


def test_a_file_changed_behind_its_times_is_found_named_stored_and_kept_as_it_was_before(
    vault: Vault, source: Path, tmp_path: Path
) -> None:
    _, first = back_up(vault, source, reread=False)
    before = snapshot(source)
    rewrite(source / "deep/large")
    rewrite(source / "text")
    writer, _ = back_up(vault, source, reread=False)
    assert (writer.stats.read, writer.altered.count) == (0, 0), "times are believed unless told otherwise"

    writer, second = back_up(vault, source, reread=True)
    assert writer.altered.count == 2
    assert sorted(writer.altered.named) == [f"{TREE}/deep/large", f"{TREE}/text"]
    assert vault.host.summary(second.id).header.facts["altered"]["files"] == 2
    vault.restore(second, tmp_path / "after")
    assert snapshot(tmp_path / "after") == snapshot(source)
    vault.restore(first, tmp_path / "before")
    assert snapshot(tmp_path / "before") == before

    writer, _ = back_up(vault, source, reread=True)
    assert writer.altered.count == 0, "it is news once"


def test_to_read_everything_stores_nothing_twice(vault: Vault, source: Path) -> None:
    _, first = back_up(vault, source, reread=False)
    packs = vault.objects("packs")
    writer, again = back_up(vault, source, reread=True)
    assert writer.stats.read == first.bytes == again.bytes
    assert (writer.stats.unchanged, writer.stats.new, writer.altered.count) == (0, 0, 0)
    assert vault.objects("packs") == packs


def test_what_changed_openly_is_no_evidence(vault: Vault, source: Path) -> None:
    back_up(vault, source, reread=False)
    (source / "text").write_bytes(b"shorter")
    (source / "deep/er/new").write_bytes(b"new")
    (source / "deep/er/001").write_bytes(b"another time")
    (source / "deep/er/002").unlink()
    writer, _ = back_up(vault, source, reread=True)
    assert writer.altered.count == 0


def test_all_are_counted_and_some_are_named(vault: Vault, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(ALTERED_NAMED + 5):
        (source / f"{number}").write_bytes(random.Random(number).randbytes(100))
    back_up(vault, source, reread=False)
    for file in source.iterdir():
        rewrite(file)
    writer, made = back_up(vault, source, reread=True)
    assert (writer.altered.count, len(writer.altered.named)) == (ALTERED_NAMED + 5, ALTERED_NAMED)
    assert made.header.facts["altered"]["files"] == ALTERED_NAMED + 5


def test_an_object_of_a_bucket_is_read_anew_too(vault: Vault) -> None:
    bucket = Objects({"one": b"first content", "other": b"stays"})

    def backup(*, reread: bool, ahead: bool = False) -> Writer:
        with begin(vault.host, "hive") as writer:
            writer.reread = writer.reread or reread
            if ahead:
                writer.store_ahead("files/bucket", bucket)
            writer.add_bucket("files", "files/bucket", bucket, "s3://hive")
            writer.commit(Facts())
        return writer

    backup(reread=False)
    bucket.content["one"] = b"other content"
    assert backup(reread=False).altered.count == 0
    assert backup(reread=True).altered.named == ["files/bucket/one"]
    bucket.content["one"] = b"third content"
    assert backup(reread=True, ahead=True).altered.named == ["files/bucket/one"]


def test_what_was_stored_ahead_counts_only_if_it_is_still_the_same(vault: Vault) -> None:
    bucket = Objects({"b": b"second", "a": b"first", "gone": b"goes", "c": b"changes"})
    with begin(vault.host, "hive") as writer:
        writer.store_ahead("files/bucket", bucket)
        del bucket.content["gone"]
        bucket.content["c"] = b"changed since"
        bucket.content["new"] = b"came since"
        ahead = writer.stats.read
        writer.add_bucket("files", "files/bucket", bucket, "s3://hive")
        summary = writer.commit(Facts())
    assert ahead == len(b"secondfirstgoeschanges")
    assert writer.stats.read == ahead + len(b"changed sincecame since"), "nothing was read twice"
    manifest = vault.host.manifest(summary.id)
    assert {entry.path: entry.size for entry in manifest.entries("files/bucket")} == {
        key.encode(): len(content) for key, content in bucket.content.items()
    }
    assert verify(Repository.open(vault.location, [vault.recovery_key]), summary.id, "full").ok


def test_an_object_that_went_while_it_was_stored_ahead_does_no_harm(vault: Vault) -> None:
    class Fleeting(Objects):
        def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
            if key == "gone":
                self.content.pop(key, None)
                raise FileNotFoundError(key)
            return super().open_object(key)

    bucket = Fleeting({"gone": b"goes", "stays": b"is there"})
    with begin(vault.host, "hive") as writer:
        writer.store_ahead("files/bucket", bucket)
        header = writer.add_bucket("files", "files/bucket", bucket, "s3://hive")
        writer.commit(Facts())
    assert header.files == 1


def test_when_everything_was_last_read_is_handed_on_from_backup_to_backup(vault: Vault, source: Path) -> None:
    _, first = back_up(vault, source, reread=False)
    assert first.header.facts[LAST_REREAD] == first.header.started, "a first backup reads everything"
    _, second = back_up(vault, source, reread=False)
    assert second.header.facts[LAST_REREAD] == first.header.started
    # Another host, or this one with its state folder lost, learns it from the repository.
    with begin(Repository.open(vault.location, [vault.recovery_key]), "hive") as writer:
        assert writer.last_reread == first.header.started
        assert not writer.reread
    _, third = back_up(vault, source, reread=True)
    assert third.header.facts[LAST_REREAD] == third.header.started


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, True),
        ("", True),
        ("nonsense", True),
        ("2026-11-27T12:00:00", True),
        ("2026-10-28T12:00:00Z", True),
        ("2026-10-28T12:00:01Z", False),
        ("2026-11-27T12:00:00Z", False),
        ("2036-11-27T12:00:00Z", True),
    ],
)
def test_the_rule_wants_it_after_its_time_and_when_that_is_not_known(last: str | None, due: bool) -> None:
    assert is_due(RereadConfig(every="30d"), last, NOW) is due
    assert not is_due(RereadConfig(), last, NOW)


@given(st.integers(1, 5000), st.sampled_from("mhdw"))
def test_a_duration_is_a_number_and_a_unit(number: int, unit: str) -> None:
    seconds = {"m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    assert parse_duration(f"{number}{unit}") == timedelta(seconds=number * seconds)


@given(st.text(max_size=8))
def test_whatever_else_is_one_clear_error(text: str) -> None:
    try:
        assert parse_duration(text) > timedelta()
    except ValueError as error:
        assert "e.g. 30d" in str(error)


@pytest.mark.parametrize("text", ["30", "d", "0d", "-1d", "1.5d", "30 d", "30D", "1y", "99999w", ""])
def test_a_rule_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a number and a unit, e\.g\. 30d"):
        RereadConfig(every=text)


@pytest.mark.parametrize(
    ("rule", "asked", "expected"),
    [
        ("", False, False),
        ("", True, True),
        ("reread: {every: 30d}", False, True),
        ("reread: {every: 5000w}", False, False),
    ],
)
def test_a_backup_rereads_when_it_is_asked_or_when_the_rule_says_so(
    vault: Vault, source: Path, tmp_path: Path, rule: str, asked: bool, expected: bool
) -> None:
    with begin(vault.host, "hive") as writer:
        writer.reread, writer._last_reread = False, "2020-01-01T00:00:00Z"  # as if it were one of then
        writer.add_folder("files", TREE, source, Path("/original"))
        writer.commit(Facts())
    write_identity(tmp_path / "host.key", vault.host_key)
    (tmp_path / "propolis.yaml").write_text(CONFIG.format(root=tmp_path) + rule)
    (tmp_path / "services").mkdir()
    notes: list[str] = []

    class Listener(SilentObserver):
        def note(self, text: str) -> None:
            notes.append(text)

    config = load(tmp_path / "propolis.yaml")
    with Context(config, Listener(), new_run_id()) as context:
        step = OpenRepository(url=config.repository.url)
        opened = step.do(context, Results([BackupOptions(reread=asked)]))
        assert opened.writer.reread is step.summary(opened)["reread"] is expected
    assert [note for note in notes if "(last time: 2020-01-01" in note] == notes
    assert len(notes) == expected
