"""What a coordinator and an agent say to each other. No step, path or secret is among it: numbers and words only."""

from __future__ import annotations

from typing import Any

import msgspec

PROTOCOL = 1


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", omit_defaults=True):
    """One frame. Subclasses set `tag=`."""


class Open(Message, frozen=True, kw_only=True, tag="open"):
    """Begins a run on a host: it plans its own part of `command`, from its own configuration, and answers `Part`."""

    protocol: int
    propolis: str
    """The coordinator's version: the agent's must be equal."""
    host: str
    """What the coordinator calls the host: the agent's configuration must say the same."""
    stack: str
    run: str
    """The run's ID: every host's journal has this name, and so has the verdict."""
    command: str
    """`backup` or `restore`."""
    options: dict[str, Any] = {}
    """The command's options, as plain values."""
    parent: str | None = None
    """The backup whose unchanged files needn't be read: every host takes the same."""
    silence: float = 30.0
    """Seconds without a word after which the host acts by itself, and the coordinator takes it for lost."""


class Ask(Message, frozen=True, kw_only=True, tag="ask"):
    """Asks something that needs no plan, e.g. `status`; the answer is `Answer` or `Failed`, then the link ends."""

    protocol: int
    propolis: str
    host: str
    stack: str
    question: str
    options: dict[str, Any] = {}


class Do(Message, frozen=True, kw_only=True, tag="do"):
    """Do the step of this number; the answer is `Done` or `Failed`."""

    step: int


class Undo(Message, frozen=True, kw_only=True, tag="undo"):
    """Undo it; the answer is `Done` or `Failed`."""

    step: int


class Cancel(Message, frozen=True, kw_only=True, tag="cancel"):
    """Cut short what is being done: another host failed. The step under way answers `Failed`."""


class Close(Message, frozen=True, kw_only=True, tag="close"):
    """Nothing of the run is half done on this host: close the journal. The answer is `Closed` or `Failed`."""

    outcome: str


class Beat(Message, frozen=True, kw_only=True, tag="beat"):
    """Sent by both sides while there is nothing else to say: the other one is alive, and hears."""


class PlannedStep(msgspec.Struct, frozen=True, array_like=True):
    """A step of a host's plan as the coordinator knows it."""

    number: int
    phase: str
    """When its turn is among the steps of all hosts: `propolis.command.phases`."""
    title: str


class Part(Message, frozen=True, kw_only=True, tag="part"):
    """What a host would do."""

    host: str
    steps: tuple[PlannedStep, ...]
    running: tuple[str, ...] = ()
    """Roles of its services that run now."""
    facts: dict[str, Any] = {}
    """What the coordinator compares across hosts before anything is stopped."""


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """Within a step: see `propolis.run.observer`."""

    done: int
    total: int | None = None
    unit: str


class Note(Message, frozen=True, kw_only=True, tag="note"):
    """Something the user should know, in one line."""

    text: str


class Done(Message, frozen=True, kw_only=True, tag="done"):
    """A step was done, or undone. `result` is what the journal keeps of it."""

    step: int
    result: dict[str, Any] = {}
    seconds: float = 0.0


class Failed(Message, frozen=True, kw_only=True, tag="failed"):
    """It failed: an error as `propolis.errors` has it. `step` None: the whole request was refused."""

    exit_code: int
    what: str
    left: str = ""
    next: str = ""
    step: int | None = None


class Closed(Message, frozen=True, kw_only=True, tag="closed"):
    """The host's journal is closed, its watchdog gone; what is to be reported of the host."""

    facts: dict[str, Any] = {}


class Answer(Message, frozen=True, kw_only=True, tag="answer"):
    """What was asked for."""

    value: Any = None


ToAgent = Open | Ask | Do | Undo | Cancel | Close | Beat
FromAgent = Part | Progress | Note | Done | Failed | Closed | Answer | Beat
