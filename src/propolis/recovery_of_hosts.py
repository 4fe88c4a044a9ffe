"""Brings every host of a stack back: the runs that this one coordinates, then each host's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from propolis.config.schema import Config
from propolis.errors import PreflightError, PropolisError, ServicesDownError
from propolis.hosts.asking import Reach, Reply, coordinator_state, understood
from propolis.hosts.words import kind_of
from propolis.recovery import Recovered, recover_stack
from propolis.run import Observer


@dataclass(frozen=True)
class HostRecovery:
    """What was half done on one host; `error` says why that isn't known, or what could not be put right."""

    recovered: tuple[Recovered, ...] = ()
    error: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class RecoveredHosts:
    """What became of each host, this one first."""

    hosts: dict[str, HostRecovery] = field(default_factory=dict)

    def error(self) -> PropolisError | None:
        """All that could not be put right as one error; None if nothing is left."""
        wrong = {name: one for name, one in self.hosts.items() if one.error}
        if not wrong:
            return None
        what = "; ".join(f"{name}: {one.error.rstrip('.')}" for name, one in wrong.items())
        worst = max(wrong.values(), key=lambda one: one.exit_code)
        return kind_of(worst.exit_code)(
            f"Not all hosts were recovered: {what}", next="Fix the cause, then run `propolis recover` again"
        )


def recover_all(config: Config, file: Path, observer: Observer) -> RecoveredHosts:
    """Recover the runs that this host coordinates, itself, then all others side by side.

    A host that can't be reached recovers by itself, but whether its services run isn't known then.
    """
    reach = Reach(config, file)
    own: list[Recovered] = []
    errors: list[PropolisError] = []
    for state in (coordinator_state(config), config.state):
        try:
            own += recover_stack(state, observer)
        except PropolisError as error:
            errors.append(error)
    found = {config.host or "": _of(tuple(own), errors)}
    # As long as services may take to stop and to start; a host that says nothing meanwhile is lost much earlier.
    seconds = 2 * (config.timeouts.stop + config.timeouts.start)
    for name, reply in reach.ask_all("recover", observer=observer, seconds=seconds).items():
        found[name] = _of_reply(name, reply)
    return RecoveredHosts(found)


def _of(recovered: tuple[Recovered, ...], errors: list[PropolisError]) -> HostRecovery:
    code = max((error.exit_code for error in errors), default=0)
    return HostRecovery(recovered, " ".join(map(str, errors)), code)


def _of_reply(name: str, reply: Reply) -> HostRecovery:
    error = reply.error
    try:
        if error is None:
            return HostRecovery(understood(name, reply.value, tuple[Recovered, ...]))
    except PropolisError as misunderstood:
        error = misunderstood
    if error.exit_code in (PropolisError.exit_code, PreflightError.exit_code):  # no link, or one that was lost
        error = ServicesDownError(f"It is not known whether its services run: {error.what}", next=error.next)
    return _of((), [error])
