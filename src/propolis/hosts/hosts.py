"""All hosts of a run: asked side by side, and the first that fails stops the others."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from propolis.errors import Interrupted, PropolisError
from propolis.hosts.host import Host, Link
from propolis.hosts.words import HostLost, clean, error_of, together
from propolis.link.messages import Cancel, Failed, FromAgent, Note, Progress, ToAgent
from propolis.run import Observer

_LOOK = 0.5
"""Seconds after which whoever waits looks again, should he have missed the news."""


@dataclass
class Answers:
    """What hosts answered, and how those failed that did, the first one first."""

    given: dict[str, FromAgent] = field(default_factory=dict)
    failed: dict[str, PropolisError] = field(default_factory=dict)

    def error(self) -> PropolisError | None:
        """All failures as one, with the exit code of the first; None if there is none.

        One that was only cut short since another failed isn't told.
        """
        errors = list(self.failed.values())
        own = [error for error in errors if not isinstance(error, Interrupted)]
        return together(own or errors[:1], code=(own or errors)[0].exit_code) if errors else None


class _Exchange:
    """One message to each of some hosts, and their answers."""

    def __init__(self, hosts: Mapping[str, Host], watched: Iterable[Host], orders: Mapping[str, ToAgent]) -> None:
        self.found = Answers()
        self.cut = threading.Event()
        """Those that are still at work are to be cut short."""
        self.over = threading.Event()
        self.error: Exception | None = None
        self._orders = orders
        self._pending = {name: hosts[name] for name in orders}
        self._watched = tuple({host.name: host for host in (*watched, *self._pending.values())}.values())

    def run(self, news: SimpleQueue[None], *, cancel: bool) -> None:
        """Send, and wait until each host answered or was lost."""
        if self.cut.is_set():
            return
        for name, message in self._orders.items():
            self._pending[name].ask(message)
        told = False
        while True:
            for host in self._watched:
                self._look_at(host)
            if not self._pending:
                return
            if not told and (self.cut.is_set() or (cancel and self.found.failed)):
                told = True
                for host in self._pending.values():
                    host.tell(Cancel())
            with contextlib.suppress(Empty):
                news.get(timeout=_LOOK)

    def _look_at(self, host: Host) -> None:
        """Take its answer, or notice that it is lost."""
        lost = host.lost  # looked at first: it may have answered before its link ended
        if host.name in self._pending and (answer := host.answer) is not None:
            if isinstance(answer, Failed):
                self.found.failed[host.name] = error_of(host.name, answer)
            else:
                self.found.given[host.name] = answer
            del self._pending[host.name]
        elif lost is not None:
            self.found.failed.setdefault(host.name, HostLost(lost))
            self._pending.pop(host.name, None)


class Hosts:
    """The hosts of a run. For a `with` block, at whose end every link is closed.

    They are asked by a thread of its own, since no signal may cut short what has to be known: who was told what.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._news: SimpleQueue[None] = SimpleQueue()
        self._work: SimpleQueue[tuple[_Exchange, bool] | None] = SimpleQueue()
        self._hosts: dict[str, Host] = {}
        self._progress: dict[str, Progress] = {}
        self._telling = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._ask, name="asking hosts", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.put(None)
        closers = [threading.Thread(target=host.close, name=f"closing {host.name}") for host in self.all]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()

    @property
    def all(self) -> tuple[Host, ...]:
        """Every host, in the order in which they were added."""
        return tuple(self._hosts.values())

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def add(self, name: str, link: Link) -> Host:
        """Take a host in."""
        host = self._hosts[name] = Host(name, link, self._news, self._tell)
        return host

    def exchange(self, orders: Mapping[str, ToAgent], *, cancel: bool = False) -> Answers:
        """Send each host its message, and wait for an answer of each; failures are among what is returned.

        `cancel`: the first failure cuts the others short, and the loss of a host that has nothing to do is one, too.
        An interruption does so as well; it is raised once all of them answered.
        """
        with self._telling:
            self._progress.clear()
        one = _Exchange(self._hosts, self.all if cancel else (), orders)
        try:
            self._work.put((one, cancel))
            one.over.wait()
        except BaseException:
            one.cut.set()
            self._news.put(None)
            # Perhaps the thread doesn't know of it yet; if it does, it skips this one.
            self._work.put((one, cancel))
            one.over.wait()
            raise
        if one.error is not None:
            raise one.error
        return one.found

    def _ask(self) -> None:
        while (work := self._work.get()) is not None:
            one, cancel = work
            try:
                if not one.over.is_set():
                    one.run(self._news, cancel=cancel)
            except Exception as error:
                one.error = error
            finally:
                one.over.set()

    def _tell(self, name: str, told: Progress | Note) -> None:
        """Pass on what a host tells; how far they got is told of all of them together."""
        if isinstance(told, Note):
            self._observer.note(f"{name}: {clean(told.text)}")
            return
        with self._telling:
            self._progress[name] = told
            alike = [one for one in self._progress.values() if one.unit == told.unit]
            totals = [one.total for one in alike]
            total = None if None in totals else sum(total or 0 for total in totals)
            done = sum(one.done for one in alike)
        self._observer.progress(done, total, clean(told.unit))
