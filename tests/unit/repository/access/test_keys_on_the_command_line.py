"""`repository init` and `repository key …` as a user types them."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propolis.cli import run
from propolis.repository import Identity, Location, Repository, read_identities

CONFIG = """
name: hive
state: {root}/state
platform: {{kind: process, services: {root}/services}}
thehive: {{url: "http://127.0.0.1:9000", config: {root}/thehive}}
database: {{host: 127.0.0.1, cluster_name: thp, config: {root}/c, data: [{root}/d],
  commitlog: {root}/l, hints: {root}/h,
  saved_caches: {root}/s}}
index: {{url: "http://127.0.0.1:9200", config: {root}/e, data: {root}/i}}
files: {{kind: folder, folder: {root}/files}}
repository: {{url: {root}/vault, host_key: {root}/host.key}}
"""


@pytest.fixture
def propolis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    config = tmp_path / "propolis.yaml"
    config.write_text(CONFIG.format(root=tmp_path))
    config.chmod(0o600)

    def call(*arguments: Any, code: int = 0) -> str:
        capsys.readouterr()
        found = run(["repository", *map(str, arguments), "--config", str(config)])
        shown = capsys.readouterr()
        assert found == code, shown.err
        return str(shown.err if code else shown.out)

    return call


def test_a_key_on_paper_is_shown_once_and_kept_nowhere(propolis: Callable[..., str], tmp_path: Path) -> None:
    shown = propolis("init", "--print")
    [secret] = re.findall(r"^AGE-SECRET-KEY-1[0-9A-Z]{58}$", shown, re.M)
    assert shown.count("█") > 100
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    # propolis.yaml, host.key, config, the key ring, its spare, the reserve, and what the host remembers
    assert len(files) == 7
    assert not any(secret.encode() in path.read_bytes() for path in files)
    assert Repository.open(Location(str(tmp_path / "vault")), [Identity(secret)]).reads_packs
    shown = propolis("init", "--print", code=13)
    assert "There is already a repository" in shown


def test_keys_are_added_listed_and_removed(
    propolis: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    propolis("init", "--recovery-key", first)
    assert "Give the recovery key recovery (age1" in propolis("key", "add", "jo", "--new", second, code=13)
    assert not second.exists()
    propolis("key", "add", "jo", "--new", second, "--identity", first, "--plan")
    assert not second.exists()
    assert "Added the key jo" in propolis("key", "add", "jo", "--new", second, "--identity", first)
    assert second.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    propolis("key", "add", "words", "--passphrase", "--identity", second)
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    removed = propolis("key", "remove", "recovery", "--identity", "-")
    assert "stays readable" in removed
    names = [(key["name"], key["role"]) for key in json.loads(propolis("key", "list", "--json"))]
    assert names[:2] == [("jo", "recovery"), ("words", "recovery")]
    assert [role for _, role in names] == ["recovery", "recovery", "host"]


def test_a_new_hosts_key_is_made_and_added(propolis: Callable[..., str], tmp_path: Path) -> None:
    propolis("init", "--recovery-key", tmp_path / "recovery.key")
    (tmp_path / "host.key").unlink()
    propolis("key", "add", "--host", "--identity", tmp_path / "recovery.key")
    assert len([key for key in json.loads(propolis("key", "list", "--json")) if key["role"] == "host"]) == 2
    assert "Give one of" in propolis("key", "add", "--host", "--passphrase", code=2)


def test_a_repository_that_was_exchanged_is_refused(propolis: Callable[..., str], tmp_path: Path) -> None:
    propolis("init", "--recovery-key", tmp_path / "recovery.key")
    [identity] = read_identities(tmp_path / "recovery.key")
    [host] = read_identities(tmp_path / "host.key")
    (tmp_path / "vault").rename(tmp_path / "taken")
    Repository.init(Location(str(tmp_path / "vault")), [identity.recipient], host)
    assert "not the one this host backs up to" in propolis("key", "list", code=14)
    shutil.rmtree(tmp_path / "vault")
    (tmp_path / "taken").rename(tmp_path / "vault")
    propolis("key", "list")


def test_a_repository_set_back_to_older_keys_is_refused(propolis: Callable[..., str], tmp_path: Path) -> None:
    propolis("init", "--recovery-key", tmp_path / "recovery.key")
    recipient = Identity.generate().recipient
    propolis("key", "add", "jo", "--recipient", recipient, "--identity", tmp_path / "recovery.key")
    for folder in ("keys", "spare"):
        max((tmp_path / "vault" / folder).iterdir()).unlink()
    assert "its key ring is number 1; this host has already seen number 2" in propolis("key", "list", code=14)


@pytest.mark.parametrize(
    "arguments",
    [("init", "--print"), ("check",), ("prune",), ("repair",), ("unlock",), ("key", "list")],
    ids=" ".join,
)
def test_a_host_key_that_can_not_be_looked_at_is_told(
    propolis: Callable[..., str], tmp_path: Path, arguments: Any
) -> None:
    propolis("init", "--recovery-key", tmp_path / "recovery.key")
    config = tmp_path / "propolis.yaml"
    # As for want of permission, but also for root: no file can have such a name.
    config.write_text(config.read_text().replace("host.key", "k" * 300))
    told = propolis(*arguments, code=13)
    assert f"The key file {tmp_path / ('k' * 300)} can't be read" in told.replace("\n", "")


def test_keys_are_printed_whole_for_programs(propolis: Callable[..., str], tmp_path: Path) -> None:
    propolis("init", "--recovery-key", tmp_path / "recovery.key")
    [identity] = read_identities(tmp_path / "recovery.key")
    assert str(identity.recipient) in propolis("key", "list")
