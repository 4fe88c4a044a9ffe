"""What goes wrong on one host, or with the coordinator, stops no service that ran, and is told by the host's name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.hosts import FakeHost, FakeHosts
from system.command import KILLER, UNMEASURED

NO_WATCHDOG = """
from propolis.run.watchdog import Watchdog, WatchdogFailed
def fails(*arguments, **more): raise WatchdogFailed("there is no room for it")
Watchdog.__init__ = fails
"""
OTHER_VERSION = "import propolis; propolis.__version__ = '0.0.9'\n"
RUN = "import sys; from propolis.cli import main; main(sys.argv[1:])"


@contextmanager
def agent_with(host: FakeHost, change: str) -> Iterator[None]:
    """An agent that is changed so before it begins."""
    file = host.root / "agent.json"
    before = file.read_text()
    command = [sys.executable, "-c", change + RUN, "agent", "--config", str(host.propolis.config_file)]
    file.write_text(json.dumps(command))
    try:
        yield
    finally:
        file.write_text(before)


def pids(hosts: FakeHosts) -> dict[str, str]:
    """The process of every service of every host."""
    return {
        f"{name} {role}": (host.root / "run" / f"{role}.pid").read_text()
        for name, host in hosts.hosts.items()
        for role in host.roles
    }


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("change", "told"),
    [(NO_WATCHDOG, "there is no room for it"), (OTHER_VERSION, "0.0.9")],
    ids=["watchdog", "version"],
)
def test_a_host_that_could_not_bring_its_services_back_alone_is_named_and_nothing_is_stopped(
    fake_hosts: FakeHosts, change: str, told: str
) -> None:
    before = pids(fake_hosts)
    with agent_with(fake_hosts["db2"], change):
        ran = fake_hosts.propolis.run("backup")
    message = ran.one_clear_error(12)
    assert "db2" in message
    assert told in message
    assert pids(fake_hosts) == before


def test_an_output_that_nobody_reads_any_more_changes_nothing(fake_hosts: FakeHosts) -> None:
    before = len(fake_hosts.propolis.ok("list", "--json").json)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "propolis", "backup"],
        env={**os.environ, "PROPOLIS_CONFIG": str(fake_hosts.propolis.config_file)},
        stdout=writing,
        stderr=writing,
        check=False,
    )
    os.close(writing)
    assert done.returncode >= 0
    assert len(fake_hosts.propolis.ok("list", "--json").json) == before + 1


def test_a_coordinator_that_wakes_up_after_the_hosts_acted_by_themselves_stops_nothing(
    fake_hosts: FakeHosts, tmp_path: Path
) -> None:
    step = fake_hosts.step("backup", "db1, db2: drain and stop the database")
    own = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, str(KILLER), str(step), f"stop:{own}", "--", "backup"],
        env={**os.environ, **UNMEASURED, "PROPOLIS_CONFIG": str(fake_hosts.propolis.config_file)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    own.write_text(str(process.pid))
    stat = Path(f"/proc/{process.pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    for host in fake_hosts.hosts.values():
        host.wait_until_recovered(120)
    fake_hosts.assert_serving()
    before = pids(fake_hosts)
    process.send_signal(signal.SIGCONT)
    told, _ = process.communicate(timeout=300)
    assert process.returncode > 0, told
    assert "Traceback" not in told
    assert pids(fake_hosts) == before
    fake_hosts.wait_until_recovered(120)
