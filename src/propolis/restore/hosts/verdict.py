"""Whether a restore that several hosts prepared is kept or undone: one word in the repository, which all obey.

Until a host has prepared its part it may undo that by itself. From then on it asks, whoever tells it what: so no host
goes back to its former data while others keep the restored data, even if the coordinator is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from propolis.command.context import Context
from propolis.command.stores import open_repository
from propolis.errors import InDoubt, PropolisError
from propolis.repository import Repository
from propolis.repository.records.verdicts import Verdict, ask, give
from propolis.run import Results, Step

R = TypeVar("R")

DOWNTIME = "downtime_seconds"

_LEFT = "The restored services were left running, and what was replaced is still there"
_NEXT = "Propolis asks again every minute; `propolis recover` asks at once"


def verdict_on(context: Context) -> Verdict:
    """The verdict on this run; where nobody spoke yet, it is undone. Raises InDoubt if that can't be learned now."""
    return _asked(context, lambda repository: give(repository, context.run_id, "undo"))


def open_shared(context: Context) -> Repository:
    """The repository as this host alone can open it: with its own keys. Raises PropolisError."""
    return open_repository(context.config, context.config.restore.identity)


def require_verdict(context: Context) -> None:
    """Raise PropolisError unless the verdict is to keep this run, InDoubt if that can't be learned now."""
    if _asked(context, lambda repository: ask(repository, context.run_id)) != "keep":
        raise PropolisError(
            "The restore can't be accepted: no verdict of all hosts keeps it",
            left="What was replaced is still there",
            next="Run `propolis recover`",
        )


class Prepare(Step[Context, Any], frozen=True, kw_only=True, tag="prepare"):
    """This host's part is done, serves and passed its checks. From here on the verdict of all hosts decides."""

    turn = "prepare"

    prepares = True

    services: tuple[str, ...]
    """Those that run on the restored data."""

    def _title(self) -> str:
        return "record that this host's part is ready (from here on all hosts keep it, or none)"

    def do(self, context: Context, results: Results) -> Any:
        """Check that the verdict can be asked for; give TheHive's downtime, where it is on this host."""
        self.require_undecided(context)
        return {} if context.services.downtime is None else {DOWNTIME: context.services.downtime}

    def summary(self, result: Any) -> Mapping[str, Any] | None:
        """The journal keeps it, and the coordinator reports it."""
        return result  # type: ignore[no-any-return]

    def require_undecided(self, context: Context) -> None:
        """Raise PropolisError if the verdict can't be asked for, or if another host has given up already."""
        if ask(open_shared(context), context.run_id) is not None:
            raise PropolisError(
                "Another host has undone the restore", next="Find out why, by that host's journal, and restore again"
            )


def _asked(context: Context, question: Callable[[Repository], R]) -> R:
    try:
        return question(open_shared(context))
    except PropolisError as error:
        raise InDoubt(
            f"It can't be determined whether all hosts keep the restore or undo it: {error.what}",
            left=_LEFT,
            next=f"{error.next.rstrip('.')}. {_NEXT}" if error.next else _NEXT,
        ) from error
