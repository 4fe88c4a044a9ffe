"""A repository on another host: over a real sshd, by keys that may do one thing each, with the user's own ssh."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.stack import FakeStack
from propolis.config.sample import sample
from propolis.run import SilentObserver
from propolis_lab.servers import sshd
from propolis_lab.servers.sshd import Sshd
from system.command import Propolis

GUIDE = (Path(__file__).parents[3] / "docs/user-guide-storage.md").read_text()
HOST, CARE = (
    [sys.executable, "-m", "propolis", *shlex.split(found)]
    for found in re.findall(r'^command="/usr/local/bin/propolis (.*) /srv/backups/thehive",restrict', GUIDE, re.M)
)
"""The commands that the user guide gives to keys, for a folder of ours."""
ASKED = 'eval "$SSH_ORIGINAL_COMMAND"'
"""What a login with a shell does."""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup-host") / "it's a vault"


@pytest.fixture(scope="module")
def server(vault: Path) -> Iterator[Sshd]:
    installed = f"PATH={Path(sys.executable).parent}:$PATH; "
    logins = {
        "host": [*HOST, str(vault)],
        "care": [*CARE, str(vault)],
        "shell": ["sh", "-c", installed + ASKED],
        "bare": ["sh", "-c", f"PATH=/usr/bin:/bin; {ASKED}"],
        "chatty": ["sh", "-c", f"echo Welcome; exec {shlex.join([*HOST, str(vault)])}"],
        "old": ["sh", "-c", "echo \"Error: No such command 'serve'.\" >&2; exit 2"],
        "broken": ["sh", "-c", "echo out of memory >&2; exit 137"],
    }
    with sshd.run(vault.parent / "sshd", logins) as running:
        config = running.config.read_text()
        closed = config.split("Host care")[0].replace("Host host", "Host closed")
        more = [
            closed.replace("Port 2222", "Port 9"),
            closed.replace("Host closed", "Host foreign").replace("known_hosts", "unknown_hosts"),
            closed.replace("Host closed", "Host keyless").replace("host.key", "other.key"),
        ]
        running._new_key("other.key")
        running.config.write_text("\n".join([config, *more]))
        yield running


@pytest.fixture(scope="module")
def _ssh(server: Sshd) -> Iterator[None]:
    """The user's ssh: it has this server in its configuration."""
    programs = server.folder / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {server.ssh("x")[0]} -F {server.config} "$@"\n')
    (programs / "ssh").chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def stack(_ssh: None, vault: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStack]:
    """A stack whose host has the append-only key."""

    def bring(stack: FakeStack) -> None:
        config = stack.propolis.config_file
        config.write_text(config.read_text().replace(f"url: {stack.repository}", f'url: "ssh://host{vault}"'))
        stack.propolis.ok("repository", "init", "--recovery-key", stack.key)

    with FakeStack.up(tmp_path_factory.mktemp("stack"), bring) as stack:
        yield stack


def caring(stack: FakeStack, name: str = "care") -> Propolis:
    """The command with another key."""
    config = stack.root / f"{name}.yaml"
    config.write_text(stack.propolis.config_file.read_text().replace("ssh://host", f"ssh://{name}"))
    return Propolis(config)


def connections() -> list[int]:
    """The ssh processes that this process started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and (folder / "comm").read_text() == "ssh\n":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_a_host_backs_up_and_restores_and_maintenance_is_done_with_a_key_of_its_own(
    stack: FakeStack, vault: Path
) -> None:
    assert "is writable" in stack.propolis.run("doctor").out
    before = stack.content()
    stack.propolis.ok("backup")
    assert len(stack.propolis.ok("list", "--json").json) == 1
    assert "cold" in stack.propolis.ok("status").out
    stack.change()
    stack.propolis.ok("restore", "latest", "--identity", stack.key, "--yes")
    assert stack.content() == before
    stack.assert_serving()
    stack.assert_nothing_left()
    refused = stack.propolis.run("repository", "prune").one_clear_error(13)
    assert "append-only" in refused
    assert "maintenance" in refused
    care = caring(stack)
    care.ok("verify", "latest", "--identity", stack.key)
    care.ok("repository", "prune")
    care.ok("repository", "check", "--read-data", "--identity", stack.key)
    assert list((vault / "locks").iterdir()) == []
    assert list((vault / "tmp").iterdir()) == []
    assert (vault / "reserve").exists()


def test_a_login_with_a_shell_needs_no_command_in_authorized_keys(stack: FakeStack) -> None:
    caring(stack, "shell").ok("repository", "prune")


def test_a_backup_goes_on_when_its_connection_is_killed(stack: FakeStack, vault: Path) -> None:
    killed: list[int] = []

    class Killing(SilentObserver):
        def step_started(self, number: int, total: int, title: str) -> None:
            if title.startswith(("store", "start")):
                for pid in connections():
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    stack.change()
    report = stack.back_up(Killing())
    assert killed
    assert report.summary.id in stack.propolis.ok("list").out
    caring(stack).ok("verify", report.summary.id, "--identity", stack.key)
    assert list((vault / "tmp").iterdir()) == []
    stack.assert_serving()


def test_a_killed_backup_is_recovered_and_the_next_one_works(stack: FakeStack, vault: Path) -> None:
    stack.propolis.killed(stack.propolis.step("backup", "store"), "after", "backup")
    stack.wait_until_recovered()
    stack.assert_serving()
    stack.assert_nothing_left()
    stack.propolis.ok("backup")
    assert list((vault / "tmp").iterdir()) == []


PROBLEMS = {
    "closed": "Connection refused",
    "foreign": "the host's key isn't known here",
    "keyless": "the login was refused",
    "bare": "Propolis is not installed there",
    "chatty": "Remove whatever that host prints at a login",
    "old": "too old to serve a repository",
    "broken": "ended with exit code 137 (out of memory)",
    "nowhere.invalid": "there is no host of that name",
}


@pytest.mark.parametrize("host", PROBLEMS)
@pytest.mark.usefixtures("_ssh")
def test_why_a_repository_cannot_be_reached_is_said_in_one_message(tmp_path: Path, vault: Path, host: str) -> None:
    propolis = configured(tmp_path, f"ssh://{host}{vault}")
    error = propolis.run("list").one_clear_error(13)
    assert PROBLEMS[host] in " ".join(error.split())


@pytest.mark.usefixtures("_ssh")
def test_the_path_is_the_servers(tmp_path: Path, vault: Path) -> None:
    error = configured(tmp_path, "ssh://host/etc").run("repository", "init", "--print").one_clear_error(13)
    assert f"Write the URL with the path {vault}" in " ".join(error.split())


def configured(folder: Path, url: str) -> Propolis:
    text = sample().replace("/backup/thehive", url).replace("/etc/propolis", str(folder))
    config = folder / "propolis.yaml"
    config.write_text(text.replace("# state: /var/lib/propolis", f"state: {folder}/state"))
    return Propolis(config)
