"""The lab's sshd: a real one, that gives each key its one command and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from propolis_lab.servers import ports, sshd
from propolis_lab.servers.sshd import Sshd

ECHO = "import sys; sys.stdout.buffer.write(b'one: ' + sys.stdin.buffer.read())"
QUOTED = """print('two "quoted" \\\\ words')"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder = tmp_path_factory.mktemp("ssh")
    logins = {"one": [sys.executable, "-c", ECHO], "two": [sys.executable, "-c", QUOTED]}
    with sshd.run(folder / "sshd", logins) as running:
        yield running
    assert ports.is_free(running.address, running.port)


def ask(command: list[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)


def test_each_name_gets_its_own_command_with_bytes_unchanged(server: Sshd) -> None:
    data = bytes(range(256)) * 5000
    assert ask(server.ssh("one"), data).stdout == b"one: " + data
    assert ask(server.ssh("two")).stdout == b'two "quoted" \\ words\n'


def test_another_command_is_not_run(server: Sshd, tmp_path: Path) -> None:
    assert ask([*server.ssh("one"), "touch", str(tmp_path / "made")], b"x").stdout == b"one: x"
    assert list(tmp_path.iterdir()) == []


def test_neither_a_strange_key_nor_a_strange_host_is_accepted(server: Sshd, tmp_path: Path) -> None:
    other = Sshd(tmp_path / "other", server.address)
    other.configure({"one": ["true"]})
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in ask(other.ssh("one")).stderr
    (other.folder / "known_hosts").write_text((server.folder / "known_hosts").read_text())
    assert b"Permission denied" in ask(other.ssh("one")).stderr
