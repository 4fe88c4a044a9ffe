"""What a user sees from outside: when TheHive answers and when it doesn't."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Self

INTERVAL = 0.05


class Watcher:
    """Asks `/api/status` twenty times a second, from a thread of its own.

    `downtime` is the longest span, in seconds, from the last good answer to the next one.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/status"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.answers: list[tuple[float, bool]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def downtime(self) -> float:
        """Seconds of the longest outage; 0 if there was none."""
        longest = 0.0
        last_good: float | None = None
        failed = False
        for moment, good in self.answers:
            if good:
                if failed and last_good is not None:
                    longest = max(longest, moment - last_good)
                last_good, failed = moment, False
            else:
                failed = True
        return longest

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.answers.append((time.monotonic(), self._answers()))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
