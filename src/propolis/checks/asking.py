"""Asking rules: each is asked even if others fail, and what can't be checked counts as failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from propolis.checks.look import Look
from propolis.errors import PreflightError, PropolisError
from propolis.stack.rules import Check, Command, Rule

_REFUSED = {
    "doctor": "The stack is not ready for a backup",
    "backup": "The backup can't be taken",
    "restore": "The backup can't be restored here",
}


def ask(rules: Iterable[Rule[Look]], look: Look) -> list[Check]:
    """Ask the rules that concern the command, in their order. A failure that doesn't stop it is a warning to it."""
    return [check for rule in rules if rule.concerns(look.command) for check in _found(rule, look)]


def require(rules: Iterable[Rule[Look]], look: Look) -> tuple[Check, ...]:
    """Ask the rules that concern the command; give the warnings. Raises PreflightError naming every failure."""
    found = ask(rules, look)
    refuse(found, look.command)
    return tuple(check for check in found if check.result == "warn")


def refuse(
    found: Iterable[Check], command: Command, left: str = "Nothing was changed", what: str | None = None
) -> None:
    """Raise PreflightError naming every check that failed, if any did, and what was `left` as it was.

    `what` can't be done then, if that isn't what the command is called.
    """
    failed = [check for check in found if check.result == "fail"]
    if failed:
        raise PreflightError(
            f"{what or _REFUSED[command]}: {'; '.join(told(check).rstrip('.') for check in failed)}",
            left=left,
            next=". ".join(dict.fromkeys(check.hint.rstrip(".") for check in failed if check.hint)),
        )


def told(check: Check) -> str:
    """The check in one line, as errors, manifests and reports tell it."""
    return f"{check.name}: {check.message}"


def _found(rule: Rule[Look], look: Look) -> list[Check]:
    """Ask one rule; whatever it raises is a failed check, after those it came to."""
    found: list[Check] = []
    try:
        found.extend(rule.look(look))
    except PropolisError as error:
        found.append(Check(rule.name, "fail", error.what, error.next))
    except Exception as error:
        # A check must never hide the others; what went wrong is named by its kind, as texts may hold secrets.
        found.append(Check(rule.name, "fail", f"it could not be checked ({type(error).__name__})"))
    if look.command in rule.stops:
        return found
    return [replace(check, result="warn") if check.result == "fail" else check for check in found]
