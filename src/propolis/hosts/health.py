"""How the hosts of a stack are: one that can't be reached, or that doesn't understand, is a failed check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from propolis.config.schema import Config
from propolis.errors import PropolisError
from propolis.hosts.asking import Reach, understood
from propolis.hosts.rules import CORRECT, PartFacts, disagreements, own_facts
from propolis.stack.rules import Check
from propolis.stack.stack import services

LINK = "link"
"""The check that a host can be reached."""

AGREEMENT = "hosts of the stack"
"""The check that all of them fit together."""


class _Doctored(msgspec.Struct, frozen=True):
    checks: list[Check]
    facts: PartFacts


def host_checks(reach: Reach, names: Iterable[str] | None = None) -> dict[str, list[Check]]:
    """What the doctor says on each of these hosts (all others, if none are named)."""
    return {name: checks for name, (checks, _) in _asked(reach, names).items()}


def checks_of_all(reach: Reach) -> tuple[list[Check], dict[str, list[Check]]]:
    """What the doctor says on every other host, and of all of them together: the rules that a backup asks, too."""
    asked = _asked(reach, None)
    facts = {reach.config.host or "": msgspec.convert(facts_now(reach.config), PartFacts)}
    facts |= {name: found for name, (_, found) in asked.items() if found is not None}
    wrong = [Check(AGREEMENT, "fail", text, CORRECT) for text in disagreements(facts)]
    unknown = [name for name, (_, found) in asked.items() if found is None]
    if unknown:
        message = f"not compared with {', '.join(unknown)}, which can't be asked"
        wrong = [Check(AGREEMENT, "fail", message, "Check the link to it")]
    together = wrong or [Check(AGREEMENT, "ok", f"{len(facts)}, which fit together")]
    return together, {name: checks for name, (checks, _) in asked.items()}


def failed(checks: Mapping[str, Sequence[Check]]) -> list[str]:
    """One line for each host that isn't ready: which checks failed, or why it can't be reached."""
    found = []
    for name, of_host in checks.items():
        wrong = [check for check in of_host if check.result == "fail"]
        if [check.name for check in wrong] == [LINK]:
            found.append(wrong[0].message)
        elif wrong:
            names = ", ".join(check.name for check in wrong)
            found.append(f"{name}: {len(wrong)} of {len(of_host)} checks failed ({names})")
    return found


def facts_now(config: Config) -> dict[str, Any]:
    """What this host says of its part of a backup, for the doctor, who expects every service to run."""
    return own_facts(config, services(config), "backup")


def _asked(reach: Reach, names: Iterable[str] | None) -> dict[str, tuple[list[Check], PartFacts | None]]:
    found: dict[str, tuple[list[Check], PartFacts | None]] = {}
    for name, reply in reach.ask_all("doctor", names).items():
        try:
            if reply.error is not None:
                raise reply.error
            said = understood(name, reply.value, _Doctored)
            link = Check(LINK, "ok", "answers, in the same version")
            found[name] = [link, *said.checks], said.facts
        except PropolisError as error:
            found[name] = [Check(LINK, "fail", error.what, error.next)], None
    return found
