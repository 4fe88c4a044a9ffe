"""Leases: who uses a repository at the moment. Made of creating and deleting objects only.

A lease is an object `locks/<kind>-<expiry>-<token>`. Its holder renews it by creating one with a later expiry and
deleting the old one; one whose holder died expires by itself. Shared leases (backup, restore, verify) go together;
an exclusive one (prune) goes with no other.
"""

from __future__ import annotations

import datetime
import os
import re
import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Literal

import msgspec

from propolis.errors import BusyError, PropolisError, RepositoryError
from propolis.repository.layout import SMALL_LIMIT, utc_now, utc_text
from propolis.repository.storage import MissingObjectError, Storage

LeaseKind = Literal["shared", "exclusive"]
_NAME = re.compile(r"locks/(shared|exclusive)-(\d{8}T\d{6}Z)-([0-9a-f]{32})")
_STAMP = "%Y%m%dT%H%M%SZ"


class LeaseOwner(msgspec.Struct, frozen=True):
    """What a lease object says, for people."""

    host: str
    pid: int
    since: str


class Lease:
    """A lease held while the `with` block runs, renewed by a thread."""

    def __init__(self, storage: Storage, kind: LeaseKind, seconds: float = 300) -> None:
        self._storage = storage
        self._kind = kind
        self._seconds = seconds
        self._owner = msgspec.json.encode(LeaseOwner(socket.gethostname(), os.getpid(), utc_text(utc_now())))
        self._token = secrets.token_hex(16)
        self._name = ""
        self._expires = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._create()
        try:
            others = self._conflicts()
            if others:
                raise BusyError(
                    f"The repository {self._storage.place} is in use by {others[0]}",
                    left="Nothing was changed",
                    next="Wait until it is done; a lease whose holder died expires by itself within minutes",
                )
        except BaseException:
            self._storage.delete(self._name)
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            self._storage.delete(self._name)
        except PropolisError:
            if error is None:
                raise
            # The error on its way out matters more; the lease expires by itself.

    def check(self) -> None:
        """Raise `RepositoryError` when the lease could not be renewed in time: others may be at work."""
        if time.monotonic() > self._expires:
            raise RepositoryError(
                f"The lease on the repository {self._storage.place} ran out: it could not be renewed",
                left="No backup was recorded",
                next="Check the storage, then start again: what was stored is not stored again",
            )

    def _create(self) -> None:
        started = time.monotonic()
        expiry = utc_now() + datetime.timedelta(seconds=self._seconds)
        name = f"locks/{self._kind}-{expiry.strftime(_STAMP)}-{self._token}"
        if name == self._name:
            return
        self._storage.put(name, self._owner, create=True)
        old, self._name = self._name, name
        self._expires = started + self._seconds
        if old:
            self._storage.delete(old)

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 5):
            try:
                self._create()
            except PropolisError:
                continue  # tried again soon; `check` tells when it was too late

    def _conflicts(self) -> list[str]:
        now = utc_now().strftime(_STAMP)
        found = []
        for stored in self._storage.list("locks"):
            match = _NAME.fullmatch(stored.name)
            if not match or match[3] == self._token or match[2] < now:
                continue
            if self._kind == "exclusive" or match[1] == "exclusive":
                found.append(self._describe(stored.name, match[1]))
        return found

    def _describe(self, name: str, kind: str) -> str:
        try:
            owner = msgspec.json.decode(self._storage.get(name, SMALL_LIMIT), type=LeaseOwner)
        except (MissingObjectError, msgspec.MsgspecError):
            return f"someone ({name})"
        return f"process {owner.pid} on {owner.host} since {owner.since} ({kind})"
