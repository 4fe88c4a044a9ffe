"""Reading needs no writing: a repository on a full or read-only disk is listed, checked, verified and copied."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.clone.filesystems import mounted, run
from propolis.cli import run as propolis
from propolis.config.sample import sample
from propolis.repository import Facts, Identity, Location, Repository, restore_folder
from propolis.repository.write.begin import begin

TREE = "files/attachments"


class Host:
    """A repository, a host that uses it, and the host's commands."""

    def __init__(self, folder: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.repository, self.folder, self._capsys = repository, folder, capsys
        self.recovery = Identity.generate()
        host = Identity.generate()
        for name, key in (("recovery.key", self.recovery), ("host.key", host)):
            (folder / name).write_text(key.secret())
            (folder / name).chmod(0o600)
        self.config = folder / "propolis.yaml"
        text = sample().replace("/backup/thehive", str(repository)).replace("/etc/propolis", str(folder))
        text = text.replace(
            "# retention:\n", "retention:\n  keep:\n    last: 1\n  min_verified: 0\n  grace_hours: 0\n"
        )
        self.config.write_text(text.replace("# state: /var/lib/propolis", f"state: {folder}/state"))
        self.opened = Repository.init(Location(str(repository)), [self.recovery.recipient], host)

    def backup(self, size: int) -> str:
        source = self.folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        (source / "data").write_bytes(os.urandom(size))
        with begin(self.opened, "thehive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            return writer.commit(Facts()).id

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = propolis([*arguments, "--config", str(self.config)])
        told = self._capsys.readouterr()
        return code, told.out, told.err


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    run("mount", "--bind", str(folder), str(folder))
    try:
        run("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        run("umount", str(folder))


def fill(folder: Path) -> None:
    """Take all the space that is left on a file system, to the last byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    os.sync()


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, tmp_path / "vault", capsys)


def reads(host: Host, backup: str, out: Path) -> None:
    """All that only reads works, and says what it can't do."""
    assert backup in host("list")[1]
    assert host("show", backup)[0] == 0
    code, told, _ = host("verify", backup, "--identity", str(host.folder / "recovery.key"))
    assert code == 0, told
    assert "No lease could be taken" in told
    assert "was not recorded" in told
    remarks = json.loads(host("verify", backup, "--json")[1])["remarks"]
    assert ["No lease" in remarks[0], "not recorded" in remarks[1]] == [True, True]
    code, _, err = host("repository", "check", "--read-data")
    assert code == 0
    assert "No lease could be taken" in err
    code, told, _ = host("repository", "copy", "--to", str(out / "copy"))
    assert code == 0
    assert "No lease could be taken" in told
    full = Repository.open(Location(str(host.repository)), [host.recovery])
    restore_folder(full, full.manifest(full.resolve(backup)), TREE, out / "restored")
    assert (out / "restored" / "data").read_bytes() == (host.folder / "source" / "data").read_bytes()


def test_a_repository_mounted_read_only_is_read_with_a_warning(host: Host, tmp_path: Path) -> None:
    backup = host.backup(100_000)
    with read_only(host.repository):
        reads(host, backup, tmp_path)
        code, _, err = host("repository", "prune")
        assert (code, "Read-only file system" in err) == (13, True)
    assert host("verify", backup)[0] == 0
    assert len(list((host.repository / "verified").iterdir())) == 1


def test_a_repository_on_a_full_disk_is_read_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted("ext4", tmp_path, 32) as point:
        host = Host(tmp_path, point / "vault", capsys)
        backup = host.backup(100_000)
        fill(point)
        reads(host, backup, tmp_path)
