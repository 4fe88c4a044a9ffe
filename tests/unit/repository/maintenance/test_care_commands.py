"""`repository check` and `repository repair` on the command line."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from propolis.cli import run
from propolis.config.sample import sample
from propolis.report.streams import ENCODED
from propolis.repository import BackupSummary
from unit.repository.repository_tools import Vault, fill

Command = Callable[..., tuple[int, str, str]]

TREE = "files/folder"


@pytest.fixture
def command(vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command below `repository`; its exit code and what it said."""
    for name, identity in (("host.key", vault.host_key), ("recovery.key", vault.recovery_key)):
        (tmp_path / name).write_text(identity.secret())
        (tmp_path / name).chmod(0o600)
    text = (
        sample()
        .replace("/backup/thehive", str(vault.folder))
        .replace("/etc/propolis/host.key", str(tmp_path / "host.key"))
        .replace("/opt/thp/thehive/files", str(tmp_path / "source"))
        .replace("# state: /var/lib/propolis", f"state: {tmp_path}/state")
    )
    assert str(tmp_path / "source") in text
    config = tmp_path / "propolis.yaml"
    config.write_text(text)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        for stream in (sys.stdout, sys.stderr):  # as the whole command has them
            stream.reconfigure(errors=ENCODED)  # type: ignore[union-attr]
        code = run(["repository", *arguments, "--config", str(config)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def damaged(vault: Vault, tmp_path: Path) -> BackupSummary:
    """A backup of the stack's files, one of its packs gone."""
    summary = vault.backup(fill(tmp_path / "source"), TREE)
    vault.objects("packs")[0].unlink()
    return summary


def test_a_check_of_a_whole_repository_says_what_it_did_not_check(
    command: Command, vault: Vault, source: Path
) -> None:
    vault.backup(source)
    code, out, _ = command("check")
    assert code == 0
    assert "No problems were found" in out
    assert "not checked: the bytes of packs" in out
    assert command("check", "--quiet", "--read-data=all") == (0, "", "")


def test_findings_end_a_check_with_14_and_name_backup_and_files(
    command: Command, damaged: BackupSummary, tmp_path: Path
) -> None:
    code, out, err = command("check", "--read-data=1/1", "--identity", str(tmp_path / "recovery.key"))
    assert code == 14
    assert f"backup {damaged.id} loses" in out
    assert "It is missing" in err
    code, out, _ = command("check", "--json")
    assert code == 14
    assert json.loads(out)["findings"][0]["hits"][0]["backup"] == damaged.id


@pytest.mark.parametrize("asked", [["--read-data"], ["--read-data=all"], ["--read-data", "all"], ["--read-data=1/1"]])
def test_all_data_is_read_unless_a_share_is_asked_for(
    command: Command, vault: Vault, source: Path, asked: list[str]
) -> None:
    vault.backup(source)
    code, out, _ = command("check", "--json", *asked)
    assert code == 0
    assert json.loads(out)["packs_read"] == json.loads(out)["packs"] > 1


def test_an_amount_that_means_nothing_is_a_usage_error(command: Command) -> None:
    assert command("check", "--read-data=some")[0] == 2


def test_repair_takes_pieces_from_the_stack_and_its_plan_touches_nothing(
    command: Command, vault: Vault, damaged: BackupSummary
) -> None:
    before = sorted(path for path in vault.folder.rglob("*") if path.is_file())
    code, out, _ = command("repair", "--plan")
    assert code == 0
    assert "Every backup would be complete" in out
    assert sorted(path for path in vault.folder.rglob("*") if path.is_file()) == before
    assert command("repair", "--not-from-stack", "--plan")[0] == 3
    code, out, _ = command("repair", "--json")
    assert code == 0
    assert json.loads(out)["from_stack"] > 0
    assert command("check", "--read-data=all")[0] == 0


def test_what_stays_lost_ends_a_repair_with_3_and_is_named(command: Command, damaged: BackupSummary) -> None:
    code, out, err = command("repair", "--not-from-stack")
    assert code == 3
    assert f"backup {damaged.id} loses" in out
    assert "can't be restored completely" in err


def test_a_lost_file_whose_name_is_no_text_is_named_all_the_same(
    command: Command, vault: Vault, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / os.fsdecode(b"odd \xff\xfe")).write_bytes(b"content")
    vault.backup(tmp_path / "source", TREE)
    vault.objects("packs")[0].unlink()
    code, out, _ = command("repair", "--not-from-stack")
    assert code == 3
    assert r"files/folder/odd \udcff\udcfe" in out
    code, out, _ = command("check", "--json")
    assert code == 14
    assert json.loads(out)["findings"][0]["hits"][0]["examples"] == [r"files/folder/odd \udcff\udcfe"]


def test_a_repair_waits_for_nobody_but_says_who_is_in_the_way(
    command: Command, vault: Vault, damaged: BackupSummary
) -> None:
    with vault.host.lease("shared"):
        assert command("repair")[0] == 11
        assert command("repair", "--plan")[0] == 0
