"""A restore of several hosts, on fake services: the restored data on all of them, or the former on all."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.hosts import FakeHosts
from integration.restore.test_question import Terminal
from propolis.command.stores import open_repository
from propolis.errors import BusyError, InDoubt, ServicesDownError
from propolis.hosts.asking import coordinator_state
from propolis.recovery import recover_held, recover_stack
from propolis.repository import Repository
from propolis.repository.records.verdicts import ask, give
from propolis.restore.woven.plan import WovenRequest, restore_hosts
from propolis.restore.woven.steps import GiveVerdict, PreparedOnHosts
from propolis.run import SilentObserver
from propolis.run.journals import open_runs
from propolis.run.lock import held

PEERS = "cassandra/data/system/peers-37f71aca7dc2383ba70672528af04d4f/nb-1-big-Data.db"


@pytest.fixture(scope="module")
def module_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHosts]:
    with FakeHosts.up(tmp_path_factory.mktemp("hosts")) as hosts:
        for name, host in hosts.hosts.items():
            with host.propolis.config_file.open("a") as file:
                file.write(f"restore: {{identity: {host.key}}}\n")
            if host is not hosts.hive:
                (host.root / "cassandra/data/thehive/edgestore/whose").write_text(name)
                (host.root / PEERS).parent.mkdir()
                (host.root / PEERS).write_text("the others' addresses")
        hosts.back_up()
        yield hosts


@pytest.fixture
def hosts(module_hosts: FakeHosts) -> Iterator[FakeHosts]:
    module_hosts.change()
    yield module_hosts
    module_hosts.assert_serving()
    module_hosts.assert_nothing_left()


def request(hosts: FakeHosts, **options: Any) -> WovenRequest:
    return WovenRequest(config=hosts.config, file=hosts.propolis.config_file, backup="latest", **options)


def restore(hosts: FakeHosts, **options: Any) -> Any:
    return restore_hosts(request(hosts, **options), SilentObserver(), recover_held)


def states(hosts: FakeHosts) -> set[bool]:
    """Of each host, whether it has the restored data; one that has some of each has both."""
    since = {"hive": ["files/attachment/3f/since"], None: ["cassandra/data/thehive/edgestore/c"]}
    since[None] += ["elasticsearch/indices/thehive_global/_2.cfs"]
    return {
        not (host.root / path).exists() for name, host in hosts.hosts.items() for path in since.get(name, since[None])
    }


def step(hosts: FakeHosts, title: str) -> int:
    """The number of the coordinator's step of that title."""
    (found,) = [number for number, line in enumerate(hosts.propolis.plan("restore", "latest")) if title in line]
    return found


def recover(hosts: FakeHosts, state: Path) -> None:
    """Recover at once, and again as a watchdog would: one may be at it, or be taking down a store on another host."""
    deadline = time.monotonic() + 180
    while open_runs(state / "journal").states:
        try:
            recover_stack(state, SilentObserver())
        except (BusyError, ServicesDownError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


READY, VERDICT = "wait until all are ready", "record in the repository that all hosts keep"


def test_all_hosts_are_restored_as_one(hosts: FakeHosts) -> None:
    report = json.loads(hosts.propolis.ok("restore", "latest", "--yes", "--json").out)
    assert states(hosts) == {True}
    assert report["files"] > 10
    assert report["downtime"] > 0
    assert sorted(name for name, _ in report["hosts"]) == ["db1", "db2", "hive"]
    assert [(hosts[name].root / "cassandra/data/thehive/edgestore/whose").read_text() for name in ("db1", "db2")] == [
        "db1",
        "db2",
    ]


def test_a_plan_shows_what_each_does_and_changes_nothing(hosts: FakeHosts) -> None:
    lines = hosts.propolis.plan("restore", "latest")
    text = "\n".join(lines)
    assert "hive, db1, db2" in text or "db1, db2" in text
    (ready,) = [number for number, line in enumerate(lines) if READY in line]
    (verdict,) = [number for number, line in enumerate(lines) if VERDICT in line]
    (accept,) = [number for number, line in enumerate(lines) if "accept the restored data" in line]
    assert ready < verdict < accept
    assert states(hosts) == {False}


def test_on_a_terminal_every_hosts_loss_is_shown_and_only_a_yes_restores(hosts: FakeHosts) -> None:
    for answer, code in ((b"n\n", 130), (b"y\n", 0)):
        terminal = Terminal(hosts.hive, "latest")
        shown = terminal.read_until(b"[y/N]")
        for name in hosts.hosts:
            assert f"{name} (" in shown
        assert "replaces data on 3 hosts" in shown
        assert "changed here since the backup" in shown
        assert not any(held(host.root / "state") for host in hosts.hosts.values()), "nothing is locked meanwhile"
        terminal.type(answer)
        assert terminal.end() == code, terminal.shown
        assert states(hosts) == {answer == b"y\n"}


def test_hosts_of_other_names_get_what_they_are_to(hosts: FakeHosts) -> None:
    restore(hosts, renames={"db1": "db2", "db2": "db1"}, stores=("database", "index"))
    whose = [(hosts[name].root / "cassandra/data/thehive/edgestore/whose").read_text() for name in ("db1", "db2")]
    assert whose == ["db2", "db1"]
    assert (hosts.hive.root / "files/attachment/3f/since").exists(), "the files were not asked for"
    restore(hosts)


def test_all_hosts_put_back_what_a_restore_replaced(hosts: FakeHosts) -> None:
    restore(hosts, keep_days=3)
    assert states(hosts) == {True}
    lines = hosts.propolis.plan("restore", "--undo", "--no-keep-old")
    assert any(VERDICT in line for line in lines)
    report = json.loads(hosts.propolis.ok("restore", "--undo", "--no-keep-old", "--yes", "--json").out)
    assert states(hosts) == {False}
    assert report["stores"] == ["database", "index", "files", "config"]
    assert report["files"] > 10
    assert report["downtime"] > 0


def test_another_number_of_hosts_is_refused_by_name(hosts: FakeHosts) -> None:
    ran = hosts.propolis.run("restore", "latest", "--yes", "--from-host", "db1=db2")
    assert ran.code == 12
    assert "db2 is two hosts of this stack: db1, db2" in ran.err
    assert states(hosts) == {False}
    restore(hosts)


def test_every_host_without_a_key_is_named_before_anything_is_touched(hosts: FakeHosts) -> None:
    texts = {}
    for host in hosts.stores:
        texts[host.name] = host.propolis.config_file.read_text()
        host.propolis.config_file.write_text(texts[host.name].replace(f"restore: {{identity: {host.key}}}\n", ""))
    try:
        ran = hosts.propolis.run("restore", "latest", "--yes")
    finally:
        for host in hosts.stores:
            host.propolis.config_file.write_text(texts[host.name])
    assert ran.code == 13
    assert "db1 has no key" in ran.err
    assert "db2 has no key" in ran.err
    assert "restore.identity" in ran.err
    assert states(hosts) == {False}


@pytest.mark.parametrize(
    ("title", "moment", "outcome"),
    [
        (READY, "after", {False}),  # the coordinator dies before it said anything: a host says undo
        (VERDICT, "after", {True}),  # it dies right after its word
        (READY, "db1 cut", None),  # who speaks first is open; but all do the same
        (READY, "db1 crashed", {True}),  # nobody on db1 can say undo
    ],
)
def test_whatever_is_lost_once_all_are_ready_all_hosts_end_alike(
    hosts: FakeHosts, title: str, moment: str, outcome: set[bool] | None
) -> None:
    host, _, what = moment.partition(" ")
    where = getattr(hosts[host], what) if what else moment
    ran = hosts.propolis.disturbed(step(hosts, title), where, "restore", "latest", "--yes")
    if what == "crashed":
        assert "All hosts keep what they have done" in ran.err, "it was lost after the verdict"
        recover(hosts, hosts[host].config.state)  # as its boot would
    hosts.wait_until_recovered()
    assert len(states(hosts)) == 1
    assert outcome is None or states(hosts) == outcome


@pytest.mark.parametrize("said", [None, "keep"])
def test_all_stay_up_in_doubt_and_end_alike_once_the_repository_is_back(
    hosts: FakeHosts, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    repository = hosts.hive.repository
    away = repository.with_name("away")
    run: list[str] = []

    def vanish(step: PreparedOnHosts, context: Any, results: Any) -> None:
        run.append(context.run_id)
        if said:
            give(shared(hosts), context.run_id, said)
        repository.rename(away)

    monkeypatch.setattr(PreparedOnHosts, "do", vanish)
    with pytest.raises(InDoubt):
        restore(hosts)
    hosts.assert_serving()
    assert states(hosts) == {True}
    assert all(open_runs(host.journals).states for host in hosts.hosts.values())
    for state in (coordinator_state(hosts.config), hosts["db1"].config.state):
        with pytest.raises(InDoubt):
            recover(hosts, state)
    hosts.assert_serving()
    away.rename(repository)
    for host in hosts.hosts.values():
        recover(hosts, host.config.state)
    recover(hosts, coordinator_state(hosts.config))
    hosts.wait_until_recovered()
    assert states(hosts) == {said == "keep"}
    assert ask(shared(hosts), run[0]) == (said or "undo")


def shared(hosts: FakeHosts) -> Repository:
    return open_repository(hosts.config)


def test_the_coordinators_word_that_got_lost_on_the_way_is_obeyed(
    hosts: FakeHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(step: GiveVerdict, context: Any, results: Any) -> None:
        give(shared(hosts), context.run_id, "keep")
        raise OSError("the answer was lost")

    monkeypatch.setattr(GiveVerdict, "do", lost)
    with pytest.raises(Exception, match="the answer was lost"):
        restore(hosts)
    monkeypatch.undo()
    hosts.wait_until_recovered()
    assert states(hosts) == {True}
