"""A bucket of attachments: what a restore put and replaced there is taken back, whatever moment a crash picks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from propolis.command import kept as kept_module
from propolis.command import stores
from propolis.command.context import Context
from propolis.command.kept import (
    Kept,
    KeptObjects,
    Note,
    aside_prefixes,
    drop,
    note_file,
    own_objects,
    record,
    records,
    write_note,
)
from propolis.command.kept.objects import aside_prefix
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.errors import PreflightError
from propolis.restore.bucket.objects import forget_added, kept_objects, put_back, require_kept, take_back
from propolis.run import SilentObserver
from propolis.s3.objects import ObjectMeta

TREE = "files/bucket"
FORMER = {"same": "s", "changed": "before"}
RESTORED = {"same": "s", "changed": "restored", "added": "restored"}


class Crash(BaseException):
    """The process died here."""


class FakeBucket:
    """Objects in memory; dies before the change number `left`."""

    place = "s3://attachments/ at http://127.0.0.1:9000"

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.left = -1

    def list(self) -> Iterator[ObjectMeta]:
        for key, text in sorted(self.objects.items()):
            yield ObjectMeta(key, len(text), text)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[bytes]]:
        return ObjectMeta(key), iter([self.objects[key].encode()])

    def copy(self, source: str, target: str) -> None:
        self._change()
        self.objects[target] = self.objects[source]

    def delete(self, key: str) -> None:
        self._change()
        self.objects.pop(key, None)

    def own(self) -> dict[str, str]:
        """The stack's objects, without what is kept."""
        return {key: text for key, text in self.objects.items() if not key.startswith(".propolis-")}

    def _change(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1


class Scene:
    """A bucket into which run1 restored something, and contexts of runs on it."""

    def __init__(self, tmp_path: Path, bucket: FakeBucket) -> None:
        self.bucket = bucket
        file = tmp_path / "propolis.yaml"
        lines = sample().splitlines()
        start = lines.index("files:")
        end = next(number for number, line in enumerate(lines) if number > start and line[:1].isalpha())
        text = "\n".join([*lines[:start], "files: {kind: s3, bucket: attachments}", *lines[end:]])
        file.write_text(text.replace("# state: /var/lib/propolis", f"state: {tmp_path}/state"))
        self.config = load(file)
        (self.config.state / "journal").mkdir(parents=True)
        self.bucket.objects = {
            **RESTORED,
            f"{aside_prefix('run1')}changed": FORMER["changed"],
        }
        write_note(
            note_file(self.config.state, "run1", TREE),
            Note(aside_prefix("run1"), added=["added"], replaced=["changed"]),
        )

    def context(self, run: str) -> Context:
        return Context(self.config, SilentObserver(), run)

    def kept(self, run: str) -> KeptObjects:
        found = kept_objects(self.context(run), TREE)
        assert found is not None
        return found


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    bucket = FakeBucket()
    monkeypatch.setattr(stores, "open_bucket", lambda section: bucket)
    monkeypatch.setattr(kept_module.dropping, "open_bucket", lambda section: bucket)
    return Scene(tmp_path, bucket)


def test_undo_puts_former_objects_back_and_takes_added_ones_out_and_so_does_its_own_undo(scene: Scene) -> None:
    scene.bucket.objects["since"] = "by TheHive"
    assert (scene.kept("run1").objects, scene.kept("run1").bytes) == (1, len("before"))
    put_back(scene.context("run2"), scene.kept("run1"))
    assert scene.bucket.own() == FORMER | {"since": "by TheHive"}
    forget_added(scene.context("run1"), TREE)
    assert scene.kept("run2").objects == 2
    put_back(scene.context("run3"), scene.kept("run2"))
    forget_added(scene.context("run2"), TREE)
    assert scene.bucket.own() == RESTORED | {"since": "by TheHive"}
    forget_added(scene.context("run3"), TREE)
    assert scene.bucket.objects == RESTORED | {"since": "by TheHive"}
    assert not list(scene.config.state.glob("bucket-*"))


def test_what_was_removed_since_comes_back_and_goes_again(scene: Scene) -> None:
    del scene.bucket.objects["changed"]
    del scene.bucket.objects["added"]
    put_back(scene.context("run2"), scene.kept("run1"))
    assert scene.bucket.own() == FORMER
    take_back(scene.context("run2"), TREE)
    assert scene.bucket.own() == {"same": "s"}


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("second", range(6))
def test_a_crash_at_any_moment_of_an_undo_and_of_its_undoing_loses_nothing(
    scene: Scene, first: int, second: int
) -> None:
    before = dict(scene.bucket.objects)
    kept = scene.kept("run1")
    scene.bucket.left = first
    with contextlib.suppress(Crash):
        put_back(scene.context("run2"), kept)
    scene.bucket.left = second
    with contextlib.suppress(Crash):
        take_back(scene.context("run2"), TREE)
    scene.bucket.left = -1
    take_back(scene.context("run2"), TREE)
    assert scene.bucket.objects == before
    put_back(scene.context("run3"), kept)
    assert scene.bucket.own() == FORMER


def test_former_objects_that_are_gone_are_named_before_anything_changes(scene: Scene) -> None:
    del scene.bucket.objects[f"{aside_prefix('run1')}changed"]
    before = dict(scene.bucket.objects)
    with pytest.raises(PreflightError, match="1 former objects are gone"):
        require_kept(scene.context("run2"), scene.kept("run1"))
    with pytest.raises(PreflightError, match="1 former objects are gone"):
        put_back(scene.context("run2"), scene.kept("run1"))
    assert scene.bucket.objects == before


def kept_by(scene: Scene, run: str) -> Kept:
    now = "2026-01-01T00:00:00+00:00"
    return Kept(run, "restore", "b", now, now, 1, objects=(scene.kept(run),))


def test_dropping_removes_former_objects_alone_and_can_be_repeated(scene: Scene) -> None:
    record(scene.config.state, kept_by(scene, "run1"))
    scene.bucket.left = 0
    with contextlib.suppress(Crash):
        drop(scene.config, records(scene.config.state).kept[0])
    (half,) = records(scene.config.state).kept
    assert half.dropping
    scene.bucket.left = -1
    drop(scene.config, half)
    assert scene.bucket.objects == RESTORED
    assert records(scene.config.state).kept == ()
    assert not list(scene.config.state.glob("bucket-*"))


def test_former_objects_in_another_bucket_are_left_there(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = kept_by(scene, "run1")
    record(scene.config.state, kept)
    monkeypatch.setattr(FakeBucket, "place", "s3://other/ at AWS")
    with pytest.raises(PreflightError, match="which is not the bucket"):
        drop(scene.config, kept)
    with pytest.raises(PreflightError, match="The former objects are kept in s3://attachments/"):
        put_back(scene.context("run2"), kept.objects[0])
    assert f"{aside_prefix('run1')}changed" in scene.bucket.objects


def test_a_backup_leaves_out_what_is_kept(scene: Scene) -> None:
    record(scene.config.state, kept_by(scene, "run1"))
    assert aside_prefixes(records(scene.config.state).kept, TREE) == (aside_prefix("run1"),)
    source = own_objects(scene.config, TREE)
    assert [meta.key for meta in source.list()] == sorted(RESTORED)
    assert b"".join(source.open_object("same")[1]) == b"s"
