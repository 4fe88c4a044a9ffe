"""A stack of real servers with Propolis set up on it, as a user would set it up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from propolis_lab.lab import Lab, Options
from propolis_lab.lab.setting_up import add_api_key, init_arguments
from system.command import Propolis


@dataclass(frozen=True)
class Scene:
    """A running lab, its Propolis, and the recovery key."""

    lab: Lab
    propolis: Propolis
    key: Path
    repository: Path
    folder: Path

    def restore(self, *arguments: str | Path) -> None:
        self.propolis.ok("restore", "latest", "--identity", self.key, *arguments)

    def assert_serving(self) -> None:
        """Every service runs and answers for real."""
        for service in self.lab.services:
            assert self.lab.running(service), service
            assert self.lab.answers(service), service

    def assert_nothing_left(self) -> None:
        """No clone, no staging or aside folder, no note, no open journal."""
        left = list(self.lab.root.rglob(".propolis-*"))
        left += list(self.propolis.config.state.glob("bucket-*.json"))
        assert left == []
        assert self.propolis.newest_journal_is_closed()


@contextmanager
def a_scene(labs: Path, **options: object) -> Iterator[Scene]:
    """A new scene below `labs`, gone at the end."""
    folder = labs / f"scene-{uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    try:
        with Lab.up(folder / "host", Options(**options)) as lab:  # type: ignore[arg-type]
            repository, key = folder / "repository", folder / "recovery.key"
            propolis = Propolis(lab.root / "etc/propolis/propolis.yaml")
            propolis.ok(
                "init", "--root", lab.root, "--repository", repository, "--name", "scene", *init_arguments(lab)
            )
            add_api_key(lab, propolis.config_file)
            propolis.ok("repository", "init", "--recovery-key", key)
            yield Scene(lab, propolis, key, repository, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def scene(lab_folder: Path) -> Iterator[Scene]:
    """One stack for all system tests: each leaves it running, with its data."""
    with a_scene(lab_folder, cases=20, attachments=60) as made:
        made.propolis.ok("backup")
        yield made


@pytest.fixture
def settled(scene: Scene) -> Iterator[Scene]:
    """The stack, and the promise that the test leaves it serving with nothing half done."""
    yield scene
    scene.assert_serving()
    scene.assert_nothing_left()
