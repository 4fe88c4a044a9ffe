"""`hold`, `repository prune`, `repository unlock`, and what `list` and `verify` have to do with them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from propolis.cli import run
from propolis.config.sample import sample
from propolis.repository import BackupId, Facts
from propolis.repository.write.begin import begin
from unit.repository.prune_tools import age, remaining
from unit.repository.repository_tools import TREE, Vault, pack_of

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on the vault; its exit code and what it said."""
    keys = {"host.key": vault.host_key, "recovery.key": vault.recovery_key}
    for path, identity in ((tmp_path / name, identity) for name, identity in keys.items()):
        path.write_text(identity.secret())
        path.chmod(0o600)
    text = (
        sample()
        .replace("/backup/thehive", str(vault.folder))
        .replace("/etc/propolis/host.key", f"{path.parent}/host.key")
        .replace("# state: /var/lib/propolis", f"state: {tmp_path}/state")
    )
    text = text.replace("# retention:\n", "retention:\n  keep:\n    last: 1\n  min_verified: 0\n")
    config = tmp_path / "propolis.yaml"
    config.write_text(text)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*arguments, "--config", str(config)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def backups(vault: Vault, tmp_path: Path) -> list[BackupId]:
    source = tmp_path / "small"
    source.mkdir()
    for number in range(3):
        (source / "file").write_bytes(os.urandom(5000 + number))
        with begin(vault.host, "thehive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            writer.commit(Facts())
    age(vault.folder)
    return remaining(vault)


def test_prune_tells_its_plan_with_reasons_and_then_does_it(
    command: Command, vault: Vault, backups: list[BackupId]
) -> None:
    code, out, _ = command("repository", "prune", "--plan")
    assert code == 0
    assert f"remove {backups[0]}  no rule keeps it" in out
    assert "2 of 3 packs would be removed" in out
    assert remaining(vault) == backups
    assert command("repository", "prune", "--quiet") == (0, "", "")
    assert remaining(vault) == backups[2:]
    assert len(vault.objects("packs")) == 1


def test_a_hold_is_shown_and_heeded_until_it_is_released(
    command: Command, vault: Vault, backups: list[BackupId]
) -> None:
    assert "is held" in command("hold", backups[0], "--reason", "case 12")[1]
    assert "held" in command("list")[1]
    assert "case 12" in command("show", backups[0])[1]
    found = json.loads(command("list", "--json")[1])
    assert [len(backup["holds"]) for backup in found] == [1, 0, 0]
    assert json.loads(command("repository", "prune", "--json")[1])["removed"] == [backups[1]]
    assert "no longer" in command("hold", backups[0], "--release")[1]
    assert json.loads(command("repository", "prune", "--json")[1])["removed"] == [backups[0]]


def test_the_result_of_a_verification_is_kept_and_shown_unless_unwanted(
    command: Command, vault: Vault, backups: list[BackupId]
) -> None:
    assert command("verify", backups[1], "--no-record", "--quiet")[0] == 0
    assert vault.objects("verified") == []
    assert command("verify", backups[1], "--identity", str(vault.folder.with_name("recovery.key")), "--quiet")[0] == 0
    for path in vault.objects("packs"):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert command("verify", backups[2], "--quiet")[0] == 14
    marks = [backup["verification"] for backup in json.loads(command("list", "--json")[1])]
    assert marks[0] is None
    assert (marks[1]["level"], marks[1]["ok"], marks[1]["decrypted"]) == ("full", True, True)
    assert (marks[2]["level"], marks[2]["ok"]) == ("full", False)
    assert "FAILED" in command("list")[1]
    assert vault.objects("locks") == []


def test_while_a_run_uses_the_repository_prune_is_busy_and_unlock_tells_who_it_is(
    command: Command, vault: Vault, backups: list[BackupId]
) -> None:
    with vault.host.lease("shared") as lease:
        code, _, err = command("repository", "prune")
        assert code == 11
        assert f"process {os.getpid()} on" in err
        assert f"process {os.getpid()} on" in command("repository", "unlock")[1]
        lease.check()
        assert command("repository", "unlock", "--force", "nobody")[0] == 13
        found = json.loads(command("repository", "unlock", "--plan", "--force", lease._token, "--json")[1])
        assert found["removed"] == [found["leases"][0]["name"]]
        lease.check()
        assert command("repository", "unlock", "--force", lease._token, "--quiet") == (0, "", "")
        assert vault.objects("locks") == []
    assert remaining(vault) == backups
    assert "Nobody is using" in command("repository", "unlock")[1]


def test_damage_that_prune_comes_across_has_its_exit_code(
    command: Command, vault: Vault, backups: list[BackupId]
) -> None:
    table = vault.host.load_table()
    entry = next(e for e in vault.host.manifest(backups[2]).entries() if e.size)
    digest = table.packs[pack_of(table, entry.segments.decode())].hash
    (vault.folder / "packs" / digest[:2] / digest).unlink()
    code, out, err = command("repository", "prune")
    assert code == 14
    assert "missing or cut short" in out
    assert "check" in err
    assert remaining(vault) == backups[2:]
