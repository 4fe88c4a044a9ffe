"""Agents that live in the test: each answers as a real one would, or fails, hangs or vanishes where it is told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ruamel.yaml import YAML

from propolis.config.sample import sample
from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.hosts.coordination import Coordination
from propolis.link.messages import (
    Answer,
    Ask,
    Cancel,
    Close,
    Closed,
    Do,
    Done,
    Failed,
    FromAgent,
    Open,
    Part,
    PlannedStep,
    Progress,
    ToAgent,
    Undo,
)
from propolis.link.process import LinkFailed, LinkLost
from propolis.run import SilentObserver

PLAN = ("check", "promise", "stop:database", "clone", "start:0", "drop")
FILES = {"roles": ["thehive"], "files": True}


def config_of(*hosts: str, silence: float = 0.2) -> Config:
    """The coordinator's: the first host is its own."""
    values = YAML(typ="safe").load(sample())
    others = {name: {"command": ["true"]} for name in hosts[1:]}
    config = Config.model_validate({**values, "host": hosts[0], "hosts": others})
    return config.model_copy(update={"silence": silence})


class Agent:
    """One host's agent, over as many links as are opened to it."""

    def __init__(self, log: list[str], name: str, plan: Sequence[str] = PLAN, running: Sequence[str] = ()) -> None:
        self.log = log
        self.name = name
        self.plan = plan
        self.running = tuple(running)
        self.facts: Mapping[str, Any] = {}
        self.fails: set[str] = set()
        """What it fails at, e.g. `do clone`."""
        self.hangs: set[str] = set()
        """What it does until it is cut short."""
        self.vanishes: set[str] = set()
        """What it is lost at."""
        self.unreachable = False
        self.busy = 0
        """How often it says that it is, when it is asked to recover."""
        self.refuses: Failed | None = None
        self.tells: dict[str, tuple[FromAgent, ...]] = {}
        """What it says while it does something."""


class Link:
    """A link to an agent."""

    def __init__(self, agent: Agent) -> None:
        self.sent = self.received = 0
        self._agent = agent
        self._out: SimpleQueue[FromAgent | PropolisError] = SimpleQueue()
        self._lost: PropolisError | None = None
        self._doing: int | None = None

    def send(self, message: ToAgent) -> None:
        self.sent += 1
        if self._lost is not None:
            raise self._lost
        for answer in self._answers(message):
            self._out.put(answer)

    def receive(self) -> FromAgent | None:
        found = self._out.get()
        if isinstance(found, PropolisError):
            self._out.put(found)
            raise found
        self.received += 1
        return found

    def close(self) -> None:
        self._lose(LinkLost("closed"))

    def _lose(self, why: PropolisError) -> None:
        self._lost = why
        self._out.put(why)

    def _answers(self, message: ToAgent) -> list[FromAgent]:
        agent = self._agent
        match message:
            case Open():
                agent.log.append(f"{agent.name} open")
                if agent.refuses is not None:
                    return [agent.refuses]
                steps = tuple(PlannedStep(n, phase, f"do {phase}") for n, phase in enumerate(agent.plan))
                return [Part(host=agent.name, steps=steps, running=agent.running, facts=dict(agent.facts))]
            case Do(step=number):
                return self._act("do", number)
            case Undo(step=number):
                return self._act("undo", number)
            case Cancel() if self._doing is not None:
                agent.log.append(f"{agent.name} cancelled")
                number, self._doing = self._doing, None
                return [Failed(exit_code=130, what="cut short", step=number)]
            case Close(outcome=outcome):
                agent.log.append(f"{agent.name} close {outcome}")
                return [Closed()]
            case Ask(question=question):
                if agent.busy:
                    agent.busy -= 1
                    return [Failed(exit_code=11, what="another run is at work")]
                agent.log.append(f"{agent.name} {question}")
                return [Answer()]
        return []

    def _act(self, verb: str, number: int) -> list[FromAgent]:
        agent = self._agent
        what = f"{verb} {agent.plan[number]}"
        agent.log.append(f"{agent.name} {what}")
        told: list[FromAgent] = list(agent.tells.get(what, ()))
        if what in agent.vanishes:
            self._lose(LinkLost(f"The link to the host {agent.name} was lost: it was cut"))
            return []
        if what in agent.hangs:
            self._doing = number
            return told
        if what in agent.fails:
            return [*told, Failed(exit_code=14, what="it broke", left="All is there", next="Mend it", step=number)]
        return [*told, Done(step=number, result={"of": agent.name})]


class Coordinated(Coordination):
    """A run on such agents."""

    def __init__(self, config: Config, agents: Mapping[str, Agent], **more: Any) -> None:
        self.agents = agents
        super().__init__(config, Path("/nowhere"), more.pop("observer", SilentObserver()), "run", **more)

    def open_link(self, host: str) -> Any:
        if self.agents[host].unreachable:
            raise LinkFailed(f"The host {host} can't be reached", next="Switch it on")
        return Link(self.agents[host])


def stack(log: list[str]) -> dict[str, Agent]:
    """TheHive on one host, a database on two others."""
    hive = Agent(log, "hive", ("check", "promise", "stop:thehive", "start:1"), ("thehive",))
    hive.facts = FILES
    databases = {name: Agent(log, name, running=("database",)) for name in ("db1", "db2")}
    return {"hive": hive, **databases}


class Told(SilentObserver):
    """Keeps notes and progress."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.got: list[tuple[int, int | None, str]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: int, total: int | None, unit: str) -> None:
        self.got.append((done, total, unit))


def bytes_done(done: int, total: int | None) -> Progress:
    return Progress(done=done, total=total, unit="bytes")
