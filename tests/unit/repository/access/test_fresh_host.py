"""A fresh host in an emergency: nothing but the configuration, the repository and the recovery key."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from propolis.checks import look
from propolis.cli import run
from propolis.command.host_key import add_host_key
from propolis.repository import Facts, Identity, Location, Repository, write_identity
from propolis.repository.write.begin import begin
from unit.repository.access.test_keys_on_the_command_line import CONFIG
from unit.repository.repository_tools import TREE, fill

ADD = "propolis repository key add --host --identity RECOVERY-KEY-FILE"


class FreshHost:
    """Calls the command as its user does."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.key = folder / "recovery.key"
        self._capsys = capsys

    def run(self, *arguments: Any, code: int = 0) -> str:
        self._capsys.readouterr()
        found = run([*map(str, arguments), "--config", str(self.folder / "propolis.yaml")])
        shown = self._capsys.readouterr()
        assert found == code, shown.out + shown.err
        assert "Traceback" not in shown.err
        return re.sub(r"\s+", " ", str(shown.out + shown.err))

    def checks(self, *arguments: Any) -> dict[str, dict[str, str]]:
        self._capsys.readouterr()
        run(["doctor", "--json", *map(str, arguments), "--config", str(self.folder / "propolis.yaml")])
        return {check["name"]: check for check in json.loads(self._capsys.readouterr().out)}


@pytest.fixture
def backup(tmp_path: Path) -> str:
    """A backup that a host made which is lost now."""
    lost, recovery = Identity.generate(), Identity.generate()
    repository = Repository.init(Location(str(tmp_path / "vault")), [recovery.recipient], lost)
    with begin(repository, "hive") as writer:
        writer.add_folder("files", TREE, fill(tmp_path / "source"), Path("/original"))
        id = writer.commit(Facts()).id
    write_identity(tmp_path / "recovery.key", recovery)
    return id


@pytest.fixture(params=["no key", "a key that the repository doesn't know"])
def host(
    request: pytest.FixtureRequest, backup: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> FreshHost:
    (tmp_path / "propolis.yaml").write_text(CONFIG.format(root=tmp_path))
    (tmp_path / "services").mkdir()
    if request.param != "no key":
        write_identity(tmp_path / "host.key", Identity.generate())
    return FreshHost(tmp_path, capsys)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this stack answers: it is not waited for."""
    monkeypatch.setattr(look, "PATIENCE", 0.05)


@pytest.mark.parametrize("command", ["list", "show latest", "hold latest", "verify latest --level manifest"])
def test_with_the_recovery_key_everything_about_backups_can_be_read(
    host: FreshHost, backup: str, command: str
) -> None:
    assert "--identity" in host.run(*command.split(), code=13)
    assert backup in host.run(*command.split(), "--identity", host.key)


def test_status_and_doctor_show_the_backups_and_how_this_host_goes_on(host: FreshHost, backup: str) -> None:
    assert "--identity" in host.run("status")
    shown = host.run("status", "--identity", host.key)
    assert backup in shown
    add = f"{ADD} --config {host.folder}/propolis.yaml"
    assert f"To back up from this host, run: {add}" in shown

    assert host.checks()["repository"]["result"] == "fail"
    found = host.checks("--identity", host.key)
    assert found["repository"]["result"] == found["repository writable"]["result"] == "ok"
    assert backup in found["backups"]["message"]
    assert found["host key"]["result"] == "fail"
    assert found["host key"]["hint"].endswith(add)


@pytest.mark.parametrize(
    ("file", "named"),
    [(None, ""), ("/srv/my hive.yaml", " --config '/srv/my hive.yaml'"), ("a.yaml", " --config {here}/a.yaml")],
)
def test_the_command_names_the_configuration_unless_it_is_the_default_one(
    file: str | None, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert add_host_key(Path(file) if file else None) == ADD + named.format(here=tmp_path)


def test_once_its_key_is_added_the_host_needs_no_other(host: FreshHost, backup: str) -> None:
    host.run(*ADD.removeprefix("propolis ").replace("RECOVERY-KEY-FILE", str(host.key)).split())
    assert backup in host.run("list")
    shown = host.run("status")
    assert backup in shown
    assert "To back up from this host" not in shown
    found = host.checks()
    assert found["host key"]["result"] == found["repository"]["result"] == "ok"


@pytest.mark.parametrize(
    ("command", "shown"), [("key list", "recovery"), ("check", "No problems"), ("unlock", "Nobody is using")]
)
def test_the_repository_itself_can_be_looked_at(host: FreshHost, command: str, shown: str) -> None:
    assert shown in host.run("repository", *command.split(), "--identity", host.key)


def test_a_wrong_key_is_named_with_the_right_one(host: FreshHost, tmp_path: Path) -> None:
    write_identity(tmp_path / "other.key", Identity.generate())
    shown = host.run("list", "--identity", tmp_path / "other.key", code=13)
    assert "doesn't open the repository" in shown
    assert "recovery (age1" in shown


def test_without_a_repository_it_is_not_said_that_a_key_is_to_be_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "propolis.yaml").write_text(CONFIG.format(root=tmp_path))
    (tmp_path / "services").mkdir()
    host = FreshHost(tmp_path, capsys)
    assert "key add" not in host.run("status")
    assert "propolis repository init" in host.checks()["host key"]["hint"]
