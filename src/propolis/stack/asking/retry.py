"""Asking a service again and again until it answers or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable

from propolis.errors import PreflightError

_PAUSE = 0.25
"""Seconds between two attempts: short, since each of them is downtime."""


class NotYet(Exception):
    """The service doesn't answer for real yet; the text says what is still missing."""


class Refused(NotYet):
    """It answers, and refuses the login: waiting longer helps only right after a start, for some seconds."""


REFUSAL_GRACE = 15.0
"""Seconds after which a refused login is final: right after a start users may be read late (Cassandra makes the
first role of an empty database 10 s after it began to listen)."""

REFUSED_NEXT = "Correct the user and password that propolis.yaml refers to, or those of the server"

Alive = Callable[[], bool]
"""Says whether the service's process still runs: there is no use in waiting for one that ended."""


def until(attempt: Callable[[float], None], what: str, timeout: float, alive: Alive | None = None) -> None:
    """Call `attempt(seconds left)` until it returns; it raises NotYet while the service isn't ready.

    Any other exception passes through at once. Raises PreflightError naming `what` and its last state when
    `timeout` seconds have passed, when it has refused the login for `REFUSAL_GRACE` seconds, or when it isn't `alive`
    any more; at least one attempt is made.
    """
    deadline = time.monotonic() + timeout
    refused: float | None = None
    while True:
        try:
            attempt(max(deadline - time.monotonic(), 1.0))
        except NotYet as missing:
            if alive is not None and not alive():
                raise PreflightError(
                    f"{what} ended before it answered: {missing}", next="Its own log says why; fix that first"
                ) from None
            refused = (refused or time.monotonic()) if isinstance(missing, Refused) else None
            if refused is not None and time.monotonic() + _PAUSE >= min(refused + REFUSAL_GRACE, deadline):
                raise PreflightError(f"{what} answers, but {missing}", next=REFUSED_NEXT) from None
            if time.monotonic() + _PAUSE >= deadline:
                raise PreflightError(
                    f"{what} did not answer within {timeout:g} s: {missing}",
                    next="Check its log; if it only needs more time, raise `timeouts.start` in propolis.yaml",
                ) from None
            time.sleep(_PAUSE)
        else:
            return
