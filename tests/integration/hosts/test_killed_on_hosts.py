"""A run on several hosts loses somebody after every single step: every service runs again, and all hosts end alike.

Whoever dies: the coordinator, an agent, an agent with its watchdog (a host's crash, then its boot), or the relay
between them, killed (a cut link) or stopped (one that is half open). Each step is tried with one of them, in turn,
and every other one, while services are down, with a second. `PROPOLIS_WHOLE_MATRIX=1` tries each with all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.hosts import FakeHost, FakeHosts
from propolis.errors import BusyError
from propolis.recovery import recover_stack
from propolis.run import SilentObserver
from propolis.run.journals import open_runs

BACKUP_STEPS = 23
RESTORE_STEPS = 32
DOWN = {"backup": range(6, 17), "restore": range(12, 28)}
"""From the first service's stop until all hosts are known to keep what they have."""

KINDS = ("coordinator", "killed", "cut", "crashed", "frozen")
WHOLE = bool(os.environ.get("PROPOLIS_WHOLE_MATRIX"))

Content = dict[str, dict[str, str]]


def cases(command: str, steps: int) -> list[tuple[int, str]]:
    """After the last step nobody is left to lose but the coordinator."""
    found = []
    for step in range(steps - 1):
        first, second = KINDS[step % len(KINDS)], KINDS[(step + 2) % len(KINDS)]
        kinds = (first, second) if step in DOWN[command][::2] else (first,)
        found += [(step, kind) for kind in (KINDS if WHOLE else kinds)]
    return [*found, (steps - 1, "coordinator")]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHosts]:
    with FakeHosts.up(tmp_path_factory.mktemp("hosts"), nodes=1) as hosts:
        for host in hosts.hosts.values():
            with host.propolis.config_file.open("a") as file:
                file.write(f"restore: {{identity: {host.key}}}\n")
        hosts.back_up()
        yield hosts


@pytest.fixture(scope="module")
def backed_up(hosts: FakeHosts) -> Content:
    return hosts.content()


@pytest.fixture(scope="module")
def newer(hosts: FakeHosts, backed_up: Content) -> Content:
    """What the hosts hold once users went on."""
    hosts.change()
    return hosts.content()


def boot(host: FakeHost) -> None:
    """What runs when a host starts again: `propolis recover`, after a run of somebody else."""
    deadline = time.monotonic() + 120
    while open_runs(host.journals).states:
        try:
            recover_stack(host.config.state, SilentObserver())
        except BusyError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def lose(hosts: FakeHosts, step: int, kind: str, *arguments: str | Path) -> None:
    """Run it, lose somebody after that step, and wait until all is settled without any help."""
    if kind == "coordinator":
        hosts.propolis.killed(step, "after", *arguments)
    else:
        lost = hosts["db1"] if kind in ("cut", "frozen") or step % 2 else hosts.hive
        ran = hosts.propolis.disturbed(step, getattr(lost, kind), *arguments)
        assert ran.code >= 0, ran.err
        assert "Traceback" not in ran.out + ran.err
        if ran.code:
            assert f"host {lost.name}" in ran.err, "who was lost is named"
        if kind == "crashed":
            boot(lost)
    hosts.wait_until_recovered(120)
    hosts.assert_serving()
    hosts.assert_nothing_left()


def test_the_plans_have_as_many_steps_as_are_tried_here(hosts: FakeHosts) -> None:
    backup, restore = hosts.propolis.plan("backup"), hosts.propolis.plan("restore", "latest")
    assert (len(backup), len(restore)) == (BACKUP_STEPS, RESTORE_STEPS)
    assert "stop TheHive" in backup[DOWN["backup"].start]
    assert "wait for TheHive" in backup[DOWN["backup"].stop - 1]
    assert "stop TheHive" in restore[DOWN["restore"].start]
    assert "record in the repository that all hosts keep" in restore[DOWN["restore"].stop - 1]


@pytest.mark.parametrize(("step", "kind"), cases("backup", BACKUP_STEPS))
def test_a_backup_that_loses_somebody_costs_no_service(
    hosts: FakeHosts, backed_up: Content, step: int, kind: str
) -> None:
    lose(hosts, step, kind, "backup")
    assert hosts.content() == backed_up


def test_the_next_backup_is_whole(hosts: FakeHosts, backed_up: Content) -> None:
    """Parts of lost runs are left to prune, which waits for the grace time; it leaves none of its own."""
    parts = set((hosts.hive.repository / "parts").glob("*"))
    report = hosts.back_up()
    assert {tree.host for tree in report.summary.header.trees} == {"hive", "db1"}
    assert set((hosts.hive.repository / "parts").glob("*")) == parts


@pytest.mark.parametrize(("step", "kind"), cases("restore", RESTORE_STEPS))
def test_a_restore_that_loses_somebody_is_kept_by_all_hosts_or_by_none(
    hosts: FakeHosts, backed_up: Content, newer: Content, step: int, kind: str
) -> None:
    if hosts.content() == backed_up:
        hosts.change()
    assert hosts.content() == newer
    lose(hosts, step, kind, "restore", "latest")
    assert hosts.content() in (backed_up, newer)


def test_a_restore_that_loses_nobody_brings_all_back(hosts: FakeHosts, backed_up: Content) -> None:
    hosts.change()
    hosts.propolis.ok("restore", "latest")
    assert hosts.content() == backed_up
