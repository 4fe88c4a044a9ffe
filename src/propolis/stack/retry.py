"""Asking a service again and again until it answers or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable

from propolis.errors import PreflightError

_PAUSE = 0.25
"""Seconds between two attempts: short, since each of them is downtime."""


class NotYet(Exception):
    """The service doesn't answer for real yet; the text says what is still missing."""


Alive = Callable[[], bool]
"""Says whether the service's process still runs: there is no use in waiting for one that ended."""


def until(attempt: Callable[[float], None], what: str, timeout: float, alive: Alive | None = None) -> None:
    """Call `attempt(seconds left)` until it returns; it raises NotYet while the service isn't ready.

    Any other exception passes through at once. Raises PreflightError naming `what` and its last state when
    `timeout` seconds have passed, or when it isn't `alive` any more; at least one attempt is made.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            attempt(max(deadline - time.monotonic(), 1.0))
        except NotYet as missing:
            if alive is not None and not alive():
                raise PreflightError(
                    f"{what} ended before it answered: {missing}", next="Its own log says why; mend that first"
                ) from None
            if time.monotonic() + _PAUSE >= deadline:
                raise PreflightError(
                    f"{what} did not answer within {timeout:g} s: {missing}",
                    next="Look into its log; if it only needs longer, raise `timeouts.start` in propolis.yaml",
                ) from None
            time.sleep(_PAUSE)
        else:
            return
