"""An agent: Propolis on a host, driven by a coordinator over standard input and output.

It is crash-only. If its coordinator is gone it exits at once, wherever it is: the watchdog is the only way back, for
a cut link, a killed agent and a dead coordinator alike. What the coordinator says feeds the watchdog, which acts at
silence, too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

import msgspec

from propolis import __version__
from propolis.agent.commands import COMMANDS, Planner, plan_part
from propolis.agent.questions import answer
from propolis.agent.questions.asked import own_config
from propolis.agent.telling import LinkObserver, fit
from propolis.command.apart import require_apart
from propolis.command.context import Context
from propolis.command.runner import Begun, begin, open_stack, stack_facts
from propolis.config.schema import Config
from propolis.errors import PreflightError, PropolisError
from propolis.link.frames import BrokenFrame
from propolis.link.messages import (
    PROTOCOL,
    Answer,
    Ask,
    Beat,
    Cancel,
    Close,
    Closed,
    Do,
    Done,
    Failed,
    FromAgent,
    Open,
    Part,
    ToAgent,
    Undo,
)
from propolis.link.standard import StandardLink
from propolis.recovery import recover_held
from propolis.restore.hosts.verdict import verdict_on
from propolis.run import Execution, Observer, Plan, Telling
from propolis.run.interrupts import Interrupts
from propolis.run.journal import describe, is_run_id, readable

GREETING_SECONDS = 120.0
"""Longest wait for the first word of a coordinator."""

WAITING = 16
"""Orders that may wait; a coordinator gives the next one when it has the answer."""

LEAST_SILENCE, MOST_SILENCE = 0.1, 3600.0

Link = StandardLink[FromAgent, ToAgent]


class Session:
    """One coordinator's session on this host: a question and its answer, or a run."""

    def __init__(self, link: Link, file: Path, commands: Mapping[str, Planner] = COMMANDS) -> None:
        self._link = link
        self._file = file
        self._commands = commands
        self._orders: SimpleQueue[ToAgent] = SimpleQueue()
        self._interrupts = Interrupts((signal.SIGTERM,))
        self._begun: Begun | None = None
        self._putting_right = threading.Lock()
        """Held while what an earlier run left is recovered: that isn't cut short, whoever is gone."""
        self._heard = threading.Event()
        """Set when the coordinator said something since this side last showed a sign of life."""
        self._heard.set()

    def serve(self) -> int:
        """Serve it to its end; give the exit code. Exits at once when the coordinator is gone."""
        try:
            first = self._greeting()
        except PropolisError as error:
            self._send(_failed(error))
            return error.exit_code
        for what in (self._listen, self._keep_alive):
            threading.Thread(target=what, name=f"agent{what.__name__}", daemon=True).start()
        last: FromAgent
        with self._interrupts.active(), self._interrupts.shield():
            try:
                with Telling(LinkObserver(self._send)) as told:
                    last = self._answer(first, told) if isinstance(first, Ask) else self._run(first, told)
            except Exception as error:
                last = _failed(_as_error(error))
            self._interrupts.ignore_from_now_on()
            self._send(last)
        return last.exit_code if isinstance(last, Failed) else 0

    def _greeting(self) -> Open | Ask:
        """Wait for the first message. Raises PreflightError unless this version can understand its sender."""
        too_late = threading.Timer(GREETING_SECONDS, os._exit, (1,))
        too_late.daemon = True
        too_late.start()
        try:
            while (payload := self._link.receive_raw()) is not None:
                said = msgspec.msgpack.decode(payload, type=_Greeting)
                if said.kind != _BEAT:
                    break
            else:
                raise PreflightError("The coordinator went away without saying what it wants")
            if (said.protocol, said.propolis) != (PROTOCOL, __version__):
                raise PreflightError(
                    f"This host has Propolis {__version__} (protocol {PROTOCOL}), its coordinator has "
                    f"{fit(said.propolis) or 'another one'} (protocol {said.protocol})",
                    left="Nothing was changed",
                    next="Install the same version on all hosts",
                )
            first = self._link.decode(payload)
        except (BrokenFrame, OSError, msgspec.MsgspecError, ValueError, RecursionError):
            raise PreflightError(
                "What came over the link is not a greeting of Propolis",
                left="Nothing was changed",
                next="`propolis agent` is started by a coordinator, not by hand",
            ) from None
        finally:
            too_late.cancel()
        if not isinstance(first, Open | Ask):
            raise PreflightError("The coordinator gave an order before it said what it wants")
        return first

    def _answer(self, ask: Ask, told: Observer) -> FromAgent:
        with self._putting_right:
            return Answer(value=readable(answer(ask, self._file, told)))

    def _run(self, opened: Open, told: Observer) -> FromAgent:
        config, planner = self._allowed(opened)
        planned: list[Part] = []

        def make_plan(context: Context) -> Plan[Context]:
            plan, part = plan_part(planner, opened, context)
            planned.append(part)
            return plan

        with begin(
            config.state,
            opened.run,
            partial(open_stack, config),
            make_plan,
            told,
            self._recover,
            stack_facts(config),
            self._interrupts,
            opened.silence,
        ) as (context, plan, begun):
            self._begun = begun
            self._send(*planned)
            return self._obey(Execution(plan, context, begun.journal, told, self._interrupts, verdict_on))

    def _recover(self, state: Path, told: Observer) -> None:
        with self._putting_right:
            recover_held(state, told)

    def _allowed(self, opened: Open) -> tuple[Config, Planner]:
        """This host's configuration, and how the command is planned. Raises PreflightError for what isn't allowed."""
        config = own_config(self._file, opened.host, opened.stack)
        require_apart(config)
        planner = self._commands.get(opened.command)
        wrong = ""
        if planner is None or opened.command not in config.agent.allow:
            allowed = ", ".join(config.agent.allow) or "nothing"
            wrong = (
                f"doesn't let a coordinator run {fit(opened.command)!r}: agent.allow in {self._file} has {allowed}"
            )
        elif not is_run_id(opened.run):
            wrong = f"takes no {fit(opened.run)!r} for the ID of a run"
        elif not LEAST_SILENCE <= opened.silence <= MOST_SILENCE:
            wrong = f"can't watch for a silence of {opened.silence:g} s"
        if planner is None or wrong:
            raise PreflightError(f"The host {opened.host} {wrong}", left="Nothing was changed")
        return config, planner

    def _obey(self, run: Execution[Context]) -> FromAgent:
        """Do and undo what is ordered until the run is to be closed; give what is answered to that."""
        while True:
            order = self._orders.get()
            if isinstance(order, Do):
                reply = self._do(run, order.step)
            elif isinstance(order, Undo):
                reply = self._undo(run, order.step)
            elif isinstance(order, Close):
                return _close(run, order.outcome)
            else:
                raise PropolisError("The coordinator gave an order that no run knows")
            self._send(reply)

    def _do(self, run: Execution[Context], step: int) -> FromAgent:
        try:
            with self._interrupts.exposed():
                run.do(step)
        except BaseException as failure:
            if not run.is_done(step):
                error = _as_error(self._interrupts.reason_of(failure))
                run.journal.failed(error)
                return _failed(error, step)
        ended = run.ended[step]
        return Done(step=step, result=readable(dict(ended.summary or {})), seconds=ended.seconds)

    def _undo(self, run: Execution[Context], step: int) -> FromAgent:
        try:
            run.undo(step)
        except Exception as error:
            return _failed(_as_error(error), step)
        return Done(step=step)

    def _listen(self) -> None:
        """Take what comes, in a thread of its own; exit when nothing can come any more."""
        try:
            while (message := self._link.receive()) is not None and self._orders.qsize() < WAITING:
                self._heard.set()
                if self._begun is not None:
                    self._begun.watchdog.beat()
                if isinstance(message, Cancel):
                    self._interrupts.ask_to_stop("its coordinator")
                elif not isinstance(message, Beat):
                    self._orders.put(message)
        except (BrokenFrame, OSError):
            pass
        self._leave()

    def _keep_alive(self) -> None:
        """Show a sign of life for each one that is heard, so as often as the coordinator wants to hear one."""
        while self._heard.wait():
            self._heard.clear()
            self._send(Beat())

    def _send(self, message: FromAgent) -> None:
        try:
            self._link.send(message)
        except OSError:
            self._leave()

    def _leave(self) -> NoReturn:
        """Exit as if killed: nothing of the run is touched any more, so that its watchdog finds it as it is."""
        with self._putting_right:
            os._exit(1)


class _Greeting(msgspec.Struct, frozen=True):
    """As much of the first message as every version understands."""

    kind: str = msgspec.field(name="is", default="")
    protocol: int = 0
    propolis: str = ""


_BEAT = "beat"


def _close(run: Execution[Context], outcome: str) -> FromAgent:
    settled = run.settled
    if settled is None:
        return _failed(
            PropolisError(
                f"`{run.plan.command}` is unfinished on this host, so its journal stays open",
                left="The journal records what still has to be done",
                next="Propolis keeps retrying in the background",
            )
        )
    if not run.journal.close(settled):
        return _failed(PropolisError(f"The journal {run.journal.path} can't be closed"))
    if settled != outcome and run.begun:
        return _failed(PropolisError(f"`{run.plan.command}` was {settled} on this host, not {fit(outcome)}"))
    return Closed(facts={"warnings": [fit(text) for text in run.context.warnings]})


def _failed(error: PropolisError, step: int | None = None) -> Failed:
    texts = {name: fit(getattr(error, name)) for name in ("what", "left", "next")}
    return Failed(exit_code=error.exit_code, step=step, **texts)


def _as_error(failure: BaseException) -> PropolisError:
    if isinstance(failure, PropolisError):
        return failure
    return PropolisError(f"Unexpected {describe(failure)}")


def serve(file: Path) -> int:
    """Serve the coordinator at standard input and output by the configuration in `file`; give the exit code."""
    decoder: msgspec.msgpack.Decoder[ToAgent] = msgspec.msgpack.Decoder(ToAgent)
    return Session(StandardLink(decoder), file).serve()
