"""How the other hosts of a stack are: one that can't be reached, or that doesn't understand, is a failed check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from propolis.errors import PropolisError
from propolis.hosts.asking import Reach, understood
from propolis.stack.rules import Check

LINK = "link"
"""The check that a host can be reached."""


def host_checks(reach: Reach, names: Iterable[str] | None = None) -> dict[str, list[Check]]:
    """What the doctor says on each of these hosts (all others, if none are named)."""
    found: dict[str, list[Check]] = {}
    for name, reply in reach.ask_all("doctor", names).items():
        try:
            if reply.error is not None:
                raise reply.error
            link = Check(LINK, "ok", "answers, in the same version")
            found[name] = [link, *understood(name, reply.value, list[Check])]
        except PropolisError as error:
            found[name] = [Check(LINK, "fail", error.what, error.next)]
    return found


def failed(checks: Mapping[str, Sequence[Check]]) -> list[str]:
    """One line for each host that isn't ready: which checks failed, or why it can't be reached."""
    found = []
    for name, of_host in checks.items():
        wrong = [check for check in of_host if check.result == "fail"]
        if [check.name for check in wrong] == [LINK]:
            found.append(wrong[0].message)
        elif wrong:
            found.append(
                f"{name}: {len(wrong)} of {len(of_host)} checks failed ({', '.join(check.name for check in wrong)})"
            )
    return found
