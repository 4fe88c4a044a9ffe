"""Brings a stack back from whatever an earlier run left half done."""

from __future__ import annotations

from dataclasses import dataclass

from propolis import clone
from propolis.backup import BACKUP_STEPS
from propolis.backup.context import BackupContext
from propolis.command.runner import journal_folder
from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.restore import RESTORE_STEPS
from propolis.restore.context import RestoreContext
from propolis.run import JournalState, Observer, StackLock
from propolis.run.interrupts import Interrupts
from propolis.run.journal import open_journals
from propolis.run.plan import recover
from propolis.stack.model import trees


@dataclass(frozen=True)
class Recovered:
    """One run that was half done, and what became of it: `undone` or `finished`."""

    run_id: str
    command: str
    started: str
    outcome: str


def recover_stack(config: Config, observer: Observer) -> list[Recovered]:
    """Take the stack's lock and recover it. Raises BusyError while a run is going on."""
    interrupts = Interrupts()
    with StackLock(config.state), interrupts.active():
        return recover_held(config, observer)


def recover_held(config: Config, observer: Observer) -> list[Recovered]:
    """Undo or finish every open run, the newest first; the caller holds the lock. Idempotent.

    Raises ServicesDownError, or the first failure, once every run was tried; what failed stays open.
    """
    recovered: list[Recovered] = []
    failures: list[PropolisError] = []
    for state in reversed(open_journals(journal_folder(config))):
        try:
            recovered.append(Recovered(state.run_id, state.command, state.started, _recover_one(state, observer)))
        except PropolisError as error:
            failures.append(error)
    if failures:
        raise max(failures, key=lambda error: error.exit_code)
    # With every run closed, whatever else a killed one left (a clone it was just trying out) is nobody's.
    for leftover in clone.leftovers(tree.path for tree in trees(config) if tree.path is not None):
        clone.drop(leftover)
    return recovered


def _recover_one(state: JournalState, observer: Observer) -> str:
    observer.note(f"`propolis {state.command}` of {state.started} was cut short: putting things right")
    config = Config.model_validate(state.facts["config"])
    if state.command.startswith("restore"):
        with RestoreContext(None, config, observer, state.run_id) as restoring:
            return recover(state, RESTORE_STEPS, restoring, observer, Interrupts())
    with BackupContext(config, observer, state.run_id) as backing_up:
        return recover(state, BACKUP_STEPS, backing_up, observer, Interrupts())
