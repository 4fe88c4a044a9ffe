"""A plan on several hosts: done in order, cut short and undone as a whole, seen back where a host was lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from propolis.errors import IntegrityError, Interrupted, PropolisError, ServicesDownError
from propolis.hosts.connect import connect
from propolis.hosts.host import Host
from propolis.hosts.hosts import Answers
from propolis.hosts.on_hosts import HOSTS_STEPS, OnHosts
from propolis.hosts.plan import woven_plan
from propolis.hosts.words import HostLost
from propolis.link.messages import Close, Closed, FromAgent, Note, ToAgent
from propolis.link.process import LinkLost
from propolis.run import Journal, Outcome, Step, execute, read_journal
from propolis.run.interrupts import Interrupts
from propolis.run.journal import journal_file
from propolis.run.recovering import recover
from unit.hosts.fake_agent import Agent, Coordinated, Told, bytes_done, config_of, stack

CONFIG = config_of("hive", "db1", "db2")


def run(folder: Path, agents: dict[str, Agent], told: Told | None = None) -> Outcome:
    """Connect, weave and execute, as a command does."""
    interrupts = Interrupts()
    with interrupts.active(), Coordinated(CONFIG, agents, observer=told or Told()) as context:
        plan = woven_plan("backup", connect(context, "backup", {}, None))
        journal = Journal.create(
            folder, run_id="run", command="backup", steps=plan.builtins(), commit=plan.commit, facts={}
        )
        return execute(plan, context, journal, context.observer, interrupts)


def outcome(folder: Path) -> str | None:
    state = read_journal(journal_file(folder, "run"))
    assert state is not None
    return state.outcome


def of(host: str, log: list[str]) -> list[str]:
    """What one host was told, in order."""
    return [line.partition(" ")[2] for line in log if line.startswith(f"{host} ")]


def test_hosts_do_their_steps_phase_by_phase(tmp_path: Path) -> None:
    log: list[str] = []
    run(tmp_path, stack(log))
    assert of("db1", log) == [
        *("open", "do check", "do promise", "do stop:database", "do clone", "do start:0", "do drop", "close done")
    ]
    assert log.index("hive do stop:thehive") < log.index("db1 do stop:database")
    assert log.index("db2 do start:0") < log.index("hive do start:1")
    assert outcome(tmp_path) == "done"


def test_the_journal_keeps_what_each_host_said(tmp_path: Path) -> None:
    run(tmp_path, stack([]))
    state = read_journal(journal_file(tmp_path, "run"))
    assert state is not None
    assert state.done[1] == {name: {"of": name} for name in ("hive", "db1", "db2")}


def test_the_first_failure_cuts_the_others_short_and_all_are_undone(tmp_path: Path) -> None:
    log: list[str] = []
    agents = stack(log)
    agents["db1"].fails = {"do clone"}
    agents["db2"].hangs = {"do clone"}
    with pytest.raises(IntegrityError, match=r"db1: it broke\. All is there\. On db1: Mend it") as raised:
        run(tmp_path, agents)
    assert "db2" not in str(raised.value)
    assert "db2 cancelled" in log
    undone = ["undo clone", "undo stop:database", "undo promise", "undo check", "close undone"]
    assert of("db1", log)[-5:] == undone
    assert of("db2", log)[-5:] == undone
    assert of("hive", log)[-4:] == ["undo stop:thehive", "undo promise", "undo check", "close undone"]
    assert outcome(tmp_path) == "undone"


def test_stores_are_back_before_thehive_starts(tmp_path: Path) -> None:
    log: list[str] = []
    agents = stack(log)
    agents["hive"].fails = {"do start:1"}
    with pytest.raises(IntegrityError):
        run(tmp_path, agents)
    assert max(log.index(f"{name} undo promise") for name in ("db1", "db2")) < log.index("hive undo promise")


def test_a_lost_host_is_seen_back_before_what_needs_it_starts(tmp_path: Path) -> None:
    log: list[str] = []
    agents = stack(log)
    agents["db1"].vanishes = {"do clone"}
    agents["db1"].busy = 1
    with pytest.raises(HostLost, match=r"the host db1 was lost: it was cut\. It undoes its part by itself"):
        run(tmp_path, agents)
    assert log.index("db2 undo promise") < log.index("hive undo promise")
    assert log.index("db1 recover") < log.index("hive undo promise")
    assert log.count("db1 recover") == 1
    assert "db1 undo clone" not in log
    assert outcome(tmp_path) == "undone"


def test_a_host_that_stays_away_is_named_with_exit_code_16(tmp_path: Path) -> None:
    log: list[str] = []
    agents = stack(log)
    hide_when_lost(agents["db1"], "do clone")
    with pytest.raises(ServicesDownError, match=r"not known whether the services of db1 are running"):
        run(tmp_path, agents)
    assert "hive undo promise" in log
    assert "db2 close undone" in log
    assert outcome(tmp_path) is None


def test_hosts_that_are_lost_at_once_are_all_named(tmp_path: Path) -> None:
    agents = stack([])
    for name in ("db1", "db2"):
        agents[name].vanishes = {"do clone"}
    with pytest.raises(PropolisError, match="undoes its part") as error:
        run(tmp_path, agents)
    assert all(f"the host {name} was lost" in str(error.value) for name in ("db1", "db2"))
    assert error.value.exit_code == 1
    assert outcome(tmp_path) == "undone"


def test_two_failures_have_the_exit_code_of_the_first() -> None:
    cut_short = Interrupted("db3: Interrupted by its coordinator")
    first, then = IntegrityError("db1: it broke"), HostLost(PropolisError("The link to db2 was lost"))
    error = Answers(failed={"db3": cut_short, "db1": first, "db2": then}).error()
    assert error is not None
    assert (error.exit_code, error.what) == (14, "db1: it broke; The link to db2 was lost")


def test_a_host_lost_before_anything_was_promised_is_no_service_down(tmp_path: Path) -> None:
    agents = stack([])
    hide_when_lost(agents["db1"], "do check")
    with pytest.raises(PropolisError, match="db1 was lost") as raised:
        run(tmp_path, agents)
    assert raised.value.exit_code == 1


def test_the_loss_of_a_host_without_anything_to_do_is_a_failure_too(tmp_path: Path) -> None:
    log: list[str] = []
    agents = stack(log)
    agents["db2"].tells = {"do promise": ()}
    agents["hive"].hangs = {"do start:1"}
    context_lost = threading.Event()

    class Losing(Coordinated):
        def open_link(self, host: str) -> Any:
            link = super().open_link(host)
            if host == "db2":
                threading.Thread(target=lambda: (context_lost.wait(), link.close()), daemon=True).start()
            return link

    interrupts = Interrupts()
    with Losing(CONFIG, agents) as context:
        plan = woven_plan("backup", connect(context, "backup", {}, None))
        journal = Journal.create(tmp_path, run_id="run", command="b", steps=plan.builtins(), commit=None, facts={})
        told = WhenStarted("do start:1", context_lost)
        with pytest.raises(PropolisError, match="closed"):
            execute(plan, context, journal, told, interrupts)
    assert "hive cancelled" in log


class WhenStarted(Told):
    """Sets off something as a step begins."""

    def __init__(self, title: str, event: threading.Event) -> None:
        super().__init__()
        self.title, self.event = title, event

    def step_started(self, number: int, count: int, title: str) -> None:
        if self.title in title:
            self.event.set()


class Interrupting(Told):
    """Presses Ctrl-C as a step begins."""

    def step_started(self, number: int, count: int, title: str) -> None:
        if "do clone" in title:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_an_interruption_cuts_all_hosts_short_and_undoes(tmp_path: Path) -> None:
    log: list[str] = []
    agents = stack(log)
    agents["db1"].hangs = agents["db2"].hangs = {"do clone"}
    with pytest.raises(Interrupted):
        run(tmp_path, agents, Interrupting())
    assert {"db1 cancelled", "db2 cancelled", "db1 close undone", "hive close undone"} <= set(log)
    assert outcome(tmp_path) == "undone"


def test_a_host_that_cannot_undo_is_left_to_its_watchdog(tmp_path: Path) -> None:
    log: list[str] = []
    agents = stack(log)
    agents["db1"].fails = {"do clone", "undo promise"}
    with pytest.raises(PropolisError, match=r"Then, while undoing it: db1: it broke"):
        run(tmp_path, agents)
    assert "db1 close undone" not in log
    assert "db2 close undone" in log
    assert outcome(tmp_path) is None


GONE = r"services of db1 are running: .*If db1 is gone for good, move /\S+/coordinator/journal/run\.jsonl away"


def test_after_the_coordinators_end_every_host_is_asked_to_recover_in_turn(tmp_path: Path) -> None:
    log: list[str] = []
    with Coordinated(CONFIG, stack(log)) as context:
        plan = woven_plan("backup", connect(context, "backup", {}, None))
        journal = Journal.create(tmp_path, run_id="run", command="b", steps=plan.builtins(), commit=None, facts={})
        for number in range(4):
            journal.before(number)
            journal.after(number, None)
        journal.leave_open()
    log.clear()
    state = read_journal(journal_file(tmp_path, "run"))
    assert state is not None
    known: dict[str, type[Step[Coordinated, object]]] = dict(HOSTS_STEPS)
    agents = stack(log)
    agents["db1"].unreachable = True
    with Coordinated(CONFIG, agents, is_recovery=True) as context, pytest.raises(ServicesDownError, match=GONE):
        recover(state, known, context, Told())
    assert set(log) == {"hive recover", "db2 recover"}
    agents["db1"].unreachable = False
    state = read_journal(journal_file(tmp_path, "run"))
    assert state is not None
    log.clear()
    with Coordinated(CONFIG, agents, is_recovery=True) as context:
        recover(state, known, context, Told())
    assert log[-1] == "hive recover"
    assert set(log) == {"hive recover", "db1 recover", "db2 recover"}
    assert outcome(tmp_path) == "undone by recovery"


def test_what_hosts_tell_is_told_with_their_names_and_added_up(tmp_path: Path) -> None:
    agents, told = stack([]), Told()
    agents["db1"].tells = {"do clone": (bytes_done(3, 10), Note(text="slow\x1b[2J disk"))}
    agents["db2"].tells = {"do clone": (bytes_done(4, 20),)}
    run(tmp_path, agents, told)
    assert told.notes == ["db1: slow [2J disk"]
    assert (7, 30, "bytes") in told.got


def hide_when_lost(agent: Agent, what: str) -> None:
    """Let the host go down with its link."""

    class Hiding(set[str]):
        def __contains__(self, wanted: object) -> bool:
            if wanted == what:
                agent.unreachable = True
            return wanted == what

    agent.vanishes = Hiding()


def test_a_host_that_is_through_is_not_lost_when_its_agent_ends() -> None:
    """Others may be at it for a while yet."""
    told: SimpleQueue[FromAgent | PropolisError] = SimpleQueue()

    class Ending:
        sent = received = 0

        def send(self, message: ToAgent) -> None:
            told.put(Closed())
            told.put(LinkLost("it ended with exit code 0"))

        def receive(self) -> FromAgent | None:
            if isinstance(found := told.get(), PropolisError):
                raise found
            return found

        def close(self) -> None:
            pass

    news: SimpleQueue[None] = SimpleQueue()
    host = Host("db1", Ending(), news, lambda *_: None)
    host.ask(Close(outcome="done"))
    for _ in range(2):  # the answer, then the end
        news.get(timeout=30)
    assert host.answer == Closed()
    assert (host.lost, host.is_there) == (None, False)


def test_a_step_of_the_coordinator_that_has_no_phase_is_not_left_out_in_silence() -> None:
    with pytest.raises(ValueError, match="promis is not a phase"):
        woven_plan("backup", {}, [OnHosts(during="promis", calls=(), what="")])
