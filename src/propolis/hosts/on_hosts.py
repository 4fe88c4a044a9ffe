"""The steps of a plan on several hosts: each is done by some of them, side by side.

A host's own journal tells what it has to undo, and its own watchdog sees to it. So the coordinator's journal, once
its process is gone, only has to tell which hosts were there: each of them is asked to recover.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from propolis.errors import PropolisError
from propolis.hosts.coordination import Coordination
from propolis.hosts.hosts import Answers
from propolis.hosts.words import HostLost, kind_of, together
from propolis.link.messages import Close, Closed, Do, Done, Undo
from propolis.run import Results, Step
from propolis.run.step import tag_of

Given = Mapping[str, Mapping[str, Any]]
"""What the hosts' journals keep of a step, by host."""


class BeginOnHosts(Step[Coordination, None], frozen=True, kw_only=True, tag="begin-on-hosts"):
    """The hosts have planned and wait. Undone last: nothing is half done on any of them any more."""

    hosts: tuple[tuple[str, ...], ...]
    """By turns: those of one turn recover side by side, those of the next one need them."""

    turn = "begin"

    def _title(self) -> str:
        return f"start the run on {', '.join(_flat(self.hosts))}"

    def do(self, context: Coordination, results: Results) -> None:
        """Nothing: they have planned."""

    def undo(self, context: Coordination) -> None:
        """Close the hosts' journals; have those recover that can't be told to."""
        if context.is_recovery:
            _recover(context, self.hosts)
            return
        there = [host.name for host in context.hosts.all if host.is_there and host.name not in context.failed]
        closed = context.hosts.exchange({name: Close(outcome="undone") for name in there})
        lost = [host.name for host in context.hosts.all if host.lost is not None]
        _raise([*_without_lost(closed), *context.see_back(lost)])


class OnHosts(Step[Coordination, Given], frozen=True, kw_only=True, tag="on-hosts"):
    """Steps of several hosts that are of one phase."""

    during: str
    """The phase."""
    calls: tuple[tuple[str, int], ...]
    """Which host does which step of its plan."""
    what: str
    """The title."""
    turns: tuple[tuple[str, ...], ...] = ()
    """Of the promise to bring services back: in which order hosts keep it, since some services need others."""

    @property
    def phase(self) -> str:
        """That of its hosts' steps."""
        return self.during

    def _title(self) -> str:
        return self.what

    def do(self, context: Coordination, results: Results) -> Given:
        """Have them done. The first failure cuts the others short, and is raised once they have ended."""
        if context.is_recovery:
            return {}  # the hosts are asked to recover by the last step, which closes the run
        if self.turns:
            context.owed.update(host for host, _ in self.calls)
        for host, number in self.calls:
            context.hosts[host].begun.add(number)
        answers = context.hosts.exchange({host: Do(step=number) for host, number in self.calls}, cancel=True)
        _raise_first(context, answers)
        numbers = dict(self.calls)
        return {
            host: answer.result
            for host, answer in answers.given.items()
            if isinstance(answer, Done) and answer.step == numbers[host]
        }

    def summary(self, result: Given) -> Given:
        """What each host's journal keeps."""
        return result

    def undo(self, context: Coordination) -> None:
        """Have those undo it that began it, in the order in which services need each other."""
        if context.is_recovery:
            if self.turns:
                context.owed.update(host for host, _ in self.calls)
            return  # by the first step, which is undone last: each host is asked to recover
        numbers = dict(self.calls)
        failures: list[PropolisError] = []
        for turn in self.turns or (tuple(numbers),):
            hosts = [context.hosts[name] for name in turn]
            began = [host.name for host in hosts if host.is_there and numbers[host.name] in host.begun]
            answers = context.hosts.exchange({name: Undo(step=numbers[name]) for name in began})
            context.failed.update(answers.failed)
            failures += _without_lost(answers)
            if self.turns:
                failures += context.see_back([host.name for host in hosts if host.lost is not None])
        _raise(failures)


class EndOnHosts(Step[Coordination, Given], frozen=True, kw_only=True, tag="end-on-hosts"):
    """Ends the run on all hosts: their journals are closed, their watchdogs go."""

    hosts: tuple[tuple[str, ...], ...]
    """By turns, as for their beginning."""

    turn = "end"

    def _title(self) -> str:
        return f"record the end of the run on {', '.join(_flat(self.hosts))}"

    def do(self, context: Coordination, results: Results) -> Given:
        """Close them; in a recovery each host finishes its part by itself, and says so."""
        if context.is_recovery:
            _recover(context, self.hosts)
            return {}
        answers = context.hosts.exchange({name: Close(outcome="done") for name in _flat(self.hosts)})
        _raise_first(context, answers)
        return {host: answer.facts for host, answer in answers.given.items() if isinstance(answer, Closed)}


def _raise_first(context: Coordination, answers: Answers) -> None:
    """Raise what the first failure was, if there is one; behind the commit point also say what is complete."""
    if (error := answers.error()) is not None:
        error.left = ". ".join(part.rstrip(".") for part in (context.completed, error.left) if part)
        raise error


def _recover(context: Coordination, turns: Iterable[Iterable[str]]) -> None:
    failures: list[PropolisError] = []
    for turn in turns:
        failures += context.see_back(tuple(turn))
    _raise(failures)


def _raise(failures: list[PropolisError]) -> None:
    """Raise them as one, with the gravest exit code."""
    if failures:
        worst = max(failures, key=lambda error: error.exit_code)
        told = together(failures)
        raise kind_of(worst.exit_code)(told.what, left=told.left, next=told.next) from worst


def _without_lost(answers: Answers) -> list[PropolisError]:
    """Failures but those of hosts that were lost just now: whether they are seen back counts."""
    return [error for error in answers.failed.values() if not isinstance(error, HostLost)]


def _flat(turns: Iterable[Iterable[str]]) -> list[str]:
    return [name for turn in turns for name in turn]


_STEPS: tuple[type[Step[Coordination, Any]], ...] = (BeginOnHosts, OnHosts, EndOnHosts)

HOSTS_STEPS = {tag_of(step): step for step in _STEPS}
"""Every step on hosts that a coordinator's journal may name."""
