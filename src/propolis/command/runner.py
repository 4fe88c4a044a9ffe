"""Runs a command's plan: lock, recovery of what an earlier run left, journal, watchdog, steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from propolis.command.context import Context
from propolis.config.schema import Config
from propolis.run import Journal, Observer, Outcome, Plan, StackLock, execute
from propolis.run.interrupts import Interrupts
from propolis.run.journal import new_run_id
from propolis.run.watchdog import Watchdog

C = TypeVar("C", bound=Context)

MakeContext = Callable[[Config, Observer, str], C]
RecoverFirst = Callable[[Config, Observer], object]


def journal_folder(config: Config) -> Path:
    """Where the journals of this stack's runs are."""
    return config.state / "journal"


def run(
    config: Config,
    config_file: Path,
    make_context: MakeContext[C],
    make_plan: Callable[[C], Plan[C]],
    observer: Observer,
    recover_first: RecoverFirst,
) -> tuple[C, Outcome]:
    """Run the plan that `make_plan` gives, as the only run on this stack.

    `recover_first` undoes or finishes what an earlier run left (it is called with the lock held). Raises what the
    plan raises; then the stack is as it was before, or the error is ServicesDownError.
    """
    interrupts = Interrupts()
    with StackLock(config.state), interrupts.active():
        recover_first(config, observer)
        run_id = new_run_id()
        with make_context(config, observer, run_id) as context:
            plan = make_plan(context)
            journal = Journal.create(
                journal_folder(config),
                run_id=run_id,
                command=plan.command,
                steps=plan.builtins(),
                commit=plan.commit,
                facts={"config": config.model_dump(mode="json")},
            )
            watchdog = Watchdog(recovery_command(config_file), config.state / "watchdog.log")
            try:
                outcome = execute(plan, context, journal, observer, interrupts)
            finally:
                interrupts.ignore_from_now_on()
                watchdog.dismiss()
        return context, outcome


def recovery_command(config_file: Path) -> list[str]:
    """The command that brings the stack back after this process was killed."""
    return [sys.executable, "-m", "propolis", "recover", "--quiet", "--config", str(config_file.resolve())]
