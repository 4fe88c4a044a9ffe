"""What hosts say, as a person may read it: nothing that comes over a link is trusted."""

from __future__ import annotations

from propolis.errors import (
    BusyError,
    ConfigError,
    IncompleteError,
    IntegrityError,
    Interrupted,
    PreflightError,
    PropolisError,
    RepositoryError,
    ServicesDownError,
    UsageError,
)
from propolis.link.messages import Failed

_KINDS: dict[int, type[PropolisError]] = {
    kind.exit_code: kind
    for kind in (
        UsageError,
        IncompleteError,
        ConfigError,
        BusyError,
        PreflightError,
        RepositoryError,
        IntegrityError,
        ServicesDownError,
        Interrupted,
    )
}

_LONGEST = 4000


class HostLost(PropolisError):
    """A host that took part in a run doesn't answer any more: it undoes its part by itself. `reason` says why."""

    def __init__(self, reason: PropolisError) -> None:
        super().__init__(
            reason.what,
            left="It undoes its part by itself",
            next=reason.next or "Check that host and the network between",
        )
        self.reason = reason


def clean(text: str) -> str:
    """The text in one line, without anything that a terminal would obey, and no longer than a person reads."""
    shown = "".join(character if character.isprintable() else " " for character in text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown} …"


def kind_of(exit_code: int) -> type[PropolisError]:
    """The class of the errors that end with this exit code."""
    return _KINDS.get(exit_code, PropolisError)


def error_of(host: str, failed: Failed) -> PropolisError:
    """A host's failure as this process raises it: of the same class, and with the host named."""
    return kind_of(failed.exit_code)(
        f"{host}: {clean(failed.what)}", left=clean(failed.left), next=_there(host, clean(failed.next))
    )


def together(errors: list[PropolisError], left: str = "", code: int = PreflightError.exit_code) -> PropolisError:
    """One error that says all of them: with their exit code where they share it, else with this one."""
    if len(errors) == 1:
        return errors[0]
    codes = {error.exit_code for error in errors}
    kind = kind_of(codes.pop() if len(codes) == 1 else code)
    nexts = dict.fromkeys(error.next.rstrip(".") for error in errors if error.next)
    lefts = dict.fromkeys(error.left.rstrip(".") for error in errors if error.left)
    return kind(
        "; ".join(error.what.rstrip(".") for error in errors),
        left=left or "; ".join(lefts),
        next="; ".join(nexts),
    )


def _there(host: str, next: str) -> str:
    return f"On {host}: {next}" if next else ""
