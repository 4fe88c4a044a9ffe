"""One host of a run, as its coordinator has it: what it was asked, what it answered, whether it is still there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from propolis.errors import PropolisError
from propolis.link.messages import Closed, FromAgent, Note, Progress, ToAgent


class Link(Protocol):
    """Carries messages to an agent and back; both ends say now and then that they are there."""

    sent: int
    """Bytes, with all that frames them."""

    @property
    def received(self) -> int:
        """Bytes, with all that frames them."""

    def send(self, message: ToAgent) -> None:
        """Send it. Raises PropolisError once the link is lost."""

    def receive(self) -> FromAgent | None:
        """Wait for the next message. Raises PropolisError, saying why there is none any more."""

    def close(self) -> None:
        """End it in good order. Idempotent."""


Told = Callable[[str, Progress | Note], None]
"""Takes what a host tells while it works, with the host's name."""


class Host:
    """One host. Only one thread asks it; `news` wakes that one."""

    def __init__(self, name: str, link: Link, news: SimpleQueue[None], told: Told) -> None:
        self.name = name
        self.answer: FromAgent | None = None
        """What it answered to what it was asked last; None: nothing yet."""
        self.lost: PropolisError | None = None
        """Why there is no link to it any more; None while there is one, or where it was closed in good order."""
        self.begun: set[int] = set()
        """Steps that it was told to do, and not to undo since."""
        self.heard = time.monotonic()
        """When it last said anything but that it is there, by the monotonic clock; at first, when it was reached."""
        self.link = link
        self._news = news
        self._told = told
        self._closed = False
        threading.Thread(target=self._read, name=f"link to {name}", daemon=True).start()

    @property
    def is_there(self) -> bool:
        """Whether it neither was lost nor is through."""
        return self.lost is None and not self._closed

    def ask(self, message: ToAgent) -> None:
        """Send what is to be answered."""
        self.answer = None
        self.tell(message)

    def tell(self, message: ToAgent) -> None:
        """Send what isn't; a host that doesn't take it any more is lost."""
        try:
            self.link.send(message)
        except PropolisError as error:
            self._lose(error)

    def close(self) -> None:
        """End the link to a host that is through. Idempotent."""
        self._closed = True
        self.link.close()

    def _read(self) -> None:
        try:
            while True:
                message = self.link.receive()
                if isinstance(message, Progress | Note):
                    self._told(self.name, message)
                elif message is not None:
                    # Its agent ends then, while others may still be at it: that is no loss.
                    self._closed = self._closed or isinstance(message, Closed)
                    self.answer = message
                    self._news.put(None)
        except PropolisError as error:
            self._lose(error)

    def _lose(self, why: PropolisError) -> None:
        if self.is_there:
            self.lost = why
            self.heard = time.monotonic()
        self._news.put(None)
