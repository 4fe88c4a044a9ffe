"""A file that this user may not read is told by whoever needs it, with what to do: no mistake of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ordinary import ordinary_user, reachable_folder
from propolis.cli import run
from propolis.config.sample import sample
from propolis.repository import Identity, Location, Repository, write_identity


@pytest.fixture
def folder() -> Iterator[Path]:
    """A configuration and a repository that anybody may read, and a recovery key."""
    with reachable_folder() as folder:
        text = sample().replace("/backup/thehive", f"{folder}/vault").replace("/etc/propolis/", f"{folder}/")
        text = text.replace("# state: /var/lib/propolis", f"state: {folder}/state")
        (folder / "propolis.yaml").write_text(text)
        (folder / "propolis.yaml").chmod(0o644)
        recovery = Identity.generate()
        Repository.init(Location(f"{folder}/vault"), [recovery.recipient], Identity.generate())
        write_identity(folder / "recovery.key", recovery)
        yield folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and the error that an ordinary user gets."""
    run(list(arguments))  # first as who runs the tests: all that is loaded on the way is there then
    capsys.readouterr()
    with ordinary_user():
        code = run(list(arguments))
    return code, " ".join(capsys.readouterr().err.split())


def test_an_unreadable_configuration_is_an_error_of_the_configuration(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "propolis.yaml"
    file.chmod(0)
    code, error = told(capsys, "config", "check", "--config", str(file))
    assert code == 10
    assert f"{file}: can't be read: Permission denied." in error
    assert "Run Propolis as root, or name another file with --config." in error


def test_an_unreadable_recovery_key_is_an_error_of_the_repository(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = folder / "recovery.key"
    key.chmod(0)
    code, error = told(capsys, "list", "--config", f"{folder}/propolis.yaml", "--identity", str(key))
    assert code == 13
    assert f"The key file {key} can't be read: Permission denied." in error
    assert "Run Propolis as root, or as the user that the file belongs to." in error


def test_a_missing_recovery_key_is_an_error_of_the_repository(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = told(capsys, "list", "--config", f"{folder}/propolis.yaml", "--identity", f"{folder}/no.key")
    assert code == 13
    assert f"There is no key file {folder}/no.key. Give the file with the age identity." in error


def test_an_unreadable_public_key_is_an_error_of_the_repository(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = folder / "id.pub"
    key.touch(mode=0)
    arguments = ["--config", f"{folder}/propolis.yaml", "--identity", f"{folder}/recovery.key"]
    (folder / "recovery.key").chmod(0o600)
    code, error = told(capsys, "repository", "key", "add", "jo", "--recipient-file", str(key), *arguments)
    assert code == 13
    assert "Run Propolis as root" in error


def test_another_stack_that_cannot_be_seen_is_an_error_of_the_configuration(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0)
    code, error = told(
        capsys,
        "restore",
        "latest",
        "--plan",
        "--config",
        f"{folder}/propolis.yaml",
        "--to",
        f"{closed}/propolis.yaml",
    )
    assert code == 10
    assert f"--to {closed}/propolis.yaml: Permission denied." in error
    assert "Run Propolis as root." in error
