"""`propolis host …` as a user types it, with hosts that are folders of this machine, reached over real links."""

import sys
from pathlib import Path

import pytest

from propolis.config.hosts import HostConfig
from propolis.config.load import load
from propolis.hosts import asking
from propolis.hosts.setup import with_host, without_host, write_document
from unit.hosts.spread import AGENT, COMMENT, Stack, as_json


@pytest.fixture
def stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Stack:
    return Stack(tmp_path, capsys)


def test_a_host_is_added_with_its_configuration_and_its_key_once_and_what_is_to_be_done_is_said(stack: Stack) -> None:
    said = stack.run("add", "db2", *stack.link(), "--identity", stack.recovery, code=12)
    config = load(stack.db2)
    assert (config.host, config.name, config.thehive) == ("db2", "lab", None)
    assert config.require_cassandra().keyspace == "hive"
    assert config.require_cassandra().username == "thehive"
    assert "database at 127.7.0.1:9042" in said
    assert f"Wrote {stack.db2} on db2" in said
    assert f"database.password: The secret's file {stack.db2.parent}/database.password can't be read" in said
    assert "db2" in stack.key_names()
    assert load(stack.file).hosts["db2"].command == (sys.executable, str(AGENT), str(stack.db2))
    assert COMMENT in stack.file.read_text()
    assert stack.file.stat().st_mode & 0o777 == 0o640
    assert said.splitlines()[-1] == "propolis: db2: 1 of 9 checks failed (database). db2 was added."
    before = stack.db2.read_bytes(), stack.file.read_bytes(), stack.key_names()
    said = stack.run("add", "db2", *stack.link(), code=12)
    assert (stack.db2.read_bytes(), stack.file.read_bytes(), stack.key_names()) == before
    assert "already has the key" in said
    assert "is already in the configuration" in said


def test_a_plan_shows_what_is_on_the_host_and_writes_nothing(stack: Stack) -> None:
    before = stack.file.read_bytes()
    said = stack.run("add", "db2", *stack.link(), "--plan", "--json")
    assert as_json(said)["services"] == {"database": "127.7.0.1:9042", "index": "http://127.7.0.1:9201"}
    assert not stack.db2.exists()
    assert stack.file.read_bytes() == before


def test_without_the_recovery_key_the_repository_lets_no_host_in_and_what_was_done_is_said(stack: Stack) -> None:
    before = stack.file.read_bytes()
    said = stack.run("add", "db2", *stack.link(), code=12)
    assert "doesn't know the key of db2 yet" in said
    assert f"{stack.db2} was written on db2. {stack.file} was not changed" in said
    assert "--identity RECOVERY-KEY-FILE" in said
    assert stack.file.read_bytes() == before
    stack.run("add", "db2", *stack.link(), "--identity", stack.recovery, code=12)
    assert "db2" in load(stack.file).hosts


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/nowhere/ssh"], "can't be started: No such file or directory"),
        (["sh", "-c", "echo 'Host key verification failed.' >&2; exit 255"], "ssh doesn't know db2 yet"),
        (
            ["sh", "-c", "echo 'root@db2: Permission denied (publickey).' >&2; exit 255"],
            "Let this user's ssh key log",
        ),
        (["sh", "-c", "echo 'sh: 1: propolis: not found' >&2; exit 127"], "Install Propolis"),
        (["sh", "-c", "echo 'ssh: connect to host db2 port 22: Connection refused' >&2; exit 255"], "Check the name"),
        (["sh", "-c", "echo Welcome"], "not Propolis answered"),
        (["sh", "-c", "exit 3"], "ended with exit code 3"),
    ],
)
def test_a_host_that_can_not_be_reached_is_told_with_what_to_do(stack: Stack, command: list[str], said: str) -> None:
    before = stack.file.read_bytes()
    told = stack.run("add", "db2", *(f"--command={part}" for part in command), code=12)
    assert said in told
    assert "db2" in told
    assert stack.file.read_bytes() == before


def test_a_host_that_is_not_root_is_refused(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.geteuid = lambda: 1000\n")
    link = [f"--command={part}" for part in ("env", f"PYTHONPATH={tmp_path}", sys.executable, AGENT, stack.db2)]
    assert "Have the link run `sudo propolis agent` there" in stack.run("add", "db2", *link, code=12)


def test_a_configuration_there_that_is_of_another_stack_is_left_alone(stack: Stack) -> None:
    stack.db2.parent.mkdir(parents=True)
    stack.db2.write_text(stack.file.read_text().replace("name: lab", "name: other"))
    said = stack.run("add", "db2", *stack.link(), "--identity", stack.recovery, code=12)
    assert "`host` is hive, not db2; `name` is other, not lab" in said
    assert "name: other" in stack.db2.read_text()


def test_a_coordinator_has_a_name(stack: Stack) -> None:
    stack.file.write_text(stack.file.read_text().replace("\nhost: hive", "\n# host:"))
    assert "Give it one with `host: NAME`" in stack.run("add", "db2", *stack.link(), code=10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Give one of --ssh"),
        (["--ssh", "a", "--container", "b"], "Give one of --ssh"),
        (["--ssh", "-oProxyCommand=x"], "--ssh: must be a host as ssh takes it"),
        (["--pod", "a/b"], "--pod a/b is not NAMESPACE/POD/CONTAINER"),
        (["--pod", "A/b/c"], "--pod: "),
        (["--container", "--privileged"], "--container: "),
    ],
)
def test_a_host_is_reached_in_one_way(stack: Stack, options: list[str], said: str) -> None:
    assert said in stack.run("add", "db2", *options, code=2)


def test_hosts_are_listed_checked_and_removed(stack: Stack) -> None:
    stack.run("add", "db2", *stack.link(), "--identity", stack.recovery, code=12)
    assert as_json(stack.run("list", "--json"))["hosts"] == {"db2": [sys.executable, str(AGENT), str(stack.db2)]}
    listed = stack.run("list")
    assert "this host" in listed
    assert str(AGENT) in listed
    checks = as_json(stack.run("check", "--json", code=12))["hosts"]["db2"]
    assert checks[0] == {"name": "link", "result": "ok", "message": "answers, in the same version", "hint": ""}
    assert {"host key", "repository"} <= {check["name"] for check in checks if check["result"] == "ok"}
    assert "names no host db9; hosts are db2" in stack.run("check", "db9", code=2)
    assert "would be removed" in stack.run("remove", "db2", "--plan")
    assert "repository key remove db2" in stack.run("remove", "db2")
    assert load(stack.file).hosts == {}
    assert COMMENT in stack.file.read_text()
    assert stack.db2.exists()
    assert "There are no other hosts" in stack.run("list")
    assert "names no other hosts" in stack.run("check", code=10)


def test_a_check_names_every_host_that_does_not_answer_and_hides_no_other(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.run("add", "db2", *stack.link(), "--identity", stack.recovery, code=12)
    argv = load(stack.file).hosts["db2"].argv
    for name in ("nonsense", "loud", "hangs", "gone"):
        stack.attach(name, ("/nowhere",) if name == "gone" else (*argv, name))
    monkeypatch.setattr(asking, "SECONDS", 4.0)
    text = stack.run("check", "--json", code=12)
    checks = as_json(text)["hosts"]
    assert list(checks) == ["db2", "nonsense", "loud", "hangs", "gone"]
    assert len(checks["db2"]) > 3
    for name in ("nonsense", "loud", "hangs", "gone"):
        (link_check,) = checks[name]
        assert (link_check["name"], link_check["result"]) == ("link", "fail")
        assert name in text.splitlines()[-1]
    assert "\x1b" not in text


def test_a_hosts_section_of_somebodys_own_style_keeps_its_comments(stack: Stack) -> None:
    own = "\nhosts:  # the cluster\n  # first rack\n  db1: {ssh: db1.example}  # slow\n"
    stack.file.write_text(stack.file.read_text() + own)
    config = load(stack.file)
    db2 = HostConfig(ssh="db2.example")
    text = with_host(stack.file, "db2", db2)
    write_document(stack.file, text, config.model_copy(update={"hosts": {**config.hosts, "db2": db2}}))
    for comment in ("# the cluster", "# first rack", "# slow", COMMENT):
        assert comment in stack.file.read_text()
    write_document(stack.file, without_host(stack.file, "db2"), config)
    assert load(stack.file) == config
    assert "# first rack" in stack.file.read_text()
    assert list(stack.file.parent.glob(".propolis*")) == []
