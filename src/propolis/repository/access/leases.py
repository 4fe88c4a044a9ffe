"""Leases: who uses a repository at the moment. Made of creating and deleting objects only.

A lease is an object `locks/<kind>-<expiry>-<token>`. Its holder renews it by creating one with a later expiry and
deleting the old one; one whose holder died expires by itself. Shared leases (backup, restore, verify) go together;
an exclusive one (prune) goes with no other.

Expiries are told by the clocks of different hosts. Each holder compares its own clock with the storage's, which dates
every object, and refuses to go on when they differ by more than `MOST_SKEW`; a lease is taken for expired only
`GRACE` seconds after its expiry. So no two hosts can differ by enough to make a live lease look expired. A lease
whose holder ran on this very host and is surely gone (`holder`) has expired at once.

A holder that slept through its lease must not go on as if nothing had happened: whoever takes a lease first deletes
the expired ones that it couldn't have gone together with, and `Lease.check` looks for its own object.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import secrets
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import msgspec

from propolis.clock import utc_now
from propolis.errors import BusyError, IntegrityError, PropolisError, RepositoryError
from propolis.repository.access.holder import Holder
from propolis.repository.format.names import SMALL_LIMIT
from propolis.repository.storage.base import Storage, Stored

LeaseKind = Literal["shared", "exclusive"]
MOST_SKEW = 30.0
"""Seconds by which a host's clock may differ from the storage's."""
GRACE = 2 * MOST_SKEW
"""Seconds after which an expired lease really counts as expired."""
_NAME = re.compile(r"locks/(shared|exclusive)-(\d{8}T\d{6}Z)-([0-9a-f]{32})")
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class LeaseInfo:
    """One lease that is in a repository."""

    name: str
    """The object's name."""
    kind: LeaseKind
    token: str
    expires: str
    """UTC, as `2026-11-23T22:45:00Z`."""
    expired: bool
    """Whether it no longer counts."""
    holder: str
    """Who took it, for people."""
    dead: bool = False
    """Whether it expired because its holder, a process of this host, is gone."""


class Lease:
    """A lease held while the `with` block runs, renewed by a thread."""

    def __init__(self, storage: Storage, kind: LeaseKind, seconds: float = 300) -> None:
        self._storage = storage
        self._kind = kind
        self._seconds = seconds
        self._owner = msgspec.json.encode(Holder.this())
        self._token = secrets.token_hex(16)
        self._name = ""
        self._expires = 0.0
        self._expiry = utc_now()
        self._problem = ""
        self._lost = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self.storage_time_ns = 0
        """When the storage dated the lease: now, by its own clock."""

    def __enter__(self) -> Lease:
        try:
            self._create()
            self._make_way()
        except BaseException:
            if self._name:
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
        """Raise `RepositoryError` unless the lease is surely held: others may be at work otherwise.

        Asks the storage, too: a holder that was frozen may not know by its own clock that its lease ran out.
        """
        self.check_time()
        with self._lock:
            there = self._storage.size(self._name) is not None
        if not there:
            self._lost = True
        self.check_time()

    def confirm(self, name: str) -> None:
        """`check` after an object was written; raises `RepositoryError` unless it surely was under the lease.

        Then it has to be deleted. But what was written in time must stay, even if the holder slept right after it:
        whoever took the lease's place has seen it, and may have counted on it.
        """
        try:
            self.check()
        except RepositoryError:
            # Nobody took the lease away before this, by the storage's clock, however the hosts' clocks differ.
            limit = self.storage_time_ns + int((self._seconds - GRACE) * 1e9)
            dates = [
                stored.modified_ns for stored in self._storage.list(name.partition("/")[0]) if stored.name == name
            ]
            if not dates or dates[0] > limit:
                raise

    def check_time(self) -> None:
        """`check` as far as it goes without asking the storage: for each of many steps.

        The lease has to have time left for a request that is retried.
        """
        late = _elapsed() > self._expires - 0.4 * self._seconds
        wall = (self._expiry - utc_now()).total_seconds()
        if self._problem or self._lost or late or wall < 0:
            raise RepositoryError(
                self._problem
                or f"The lease on the repository {self._storage.place} ran out: it could not be renewed in time",
                left="What was stored or removed so far does no harm",
                next="Check the storage and this host's clock, then run the command again: it continues where it "
                "stopped",
            )

    def _create(self) -> None:
        """Write the lease with a new expiry, then drop the one before."""
        before, began = _elapsed(), time.time()
        expiry = utc_now() + datetime.timedelta(seconds=self._seconds)
        name = f"locks/{self._kind}-{expiry.strftime(_STAMP)}-{self._token}"
        if name == self._name:
            return
        self._storage.put(name, self._owner, create=True)
        ended = time.time()
        old, self._name = self._name, name
        found = {stored.name: stored for stored in self._storage.list("locks")}
        if name not in found or (old and old not in found):
            # Somebody took it for expired, and deleted it before going on.
            self._lost = True
            return
        self.storage_time_ns = found[name].modified_ns
        self._problem = _skew(found[name], began, ended, self._storage.place)
        self._expires, self._expiry = before + self._seconds, expiry
        if old:
            self._storage.delete(old)

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 5):
            if _elapsed() > self._expires:
                self._lost = True
            if self._lost:
                return
            try:
                with self._lock:
                    self._create()
            except PropolisError:
                continue  # tried again soon; `check` tells when it was too late

    def _make_way(self) -> None:
        """Fail when somebody is in the way. Before the lease counts, expired ones that would be are deleted."""
        if self._problem:
            raise RepositoryError(self._problem, left="Nothing was changed", next="Set the clocks, e.g. with chrony")
        self.check_time()
        while True:
            others = [lease for lease in leases(self._storage) if lease.token != self._token]
            for lease in others:
                if not lease.expired and "exclusive" in (self._kind, lease.kind):
                    raise _busy(self._storage, lease)
            expired = [lease for lease in others if lease.expired and "exclusive" in (self._kind, lease.kind)]
            if not expired:
                return
            # Looked at again afterwards: a holder that woke up meanwhile either finds its lease gone, or is seen.
            for lease in expired:
                self._storage.delete(lease.name)


class _Unleased(Lease):
    """What stands for a lease where nothing can change: the past."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def check(self) -> None:
        """Nothing: nobody can be in the way."""

    def check_time(self) -> None:
        """Nothing: nobody can be in the way."""


def lease(storage: Storage, kind: LeaseKind) -> Lease:
    """A lease for a `with` block. None is taken of the past; to change that raises `RepositoryError`."""
    if storage.at is None:
        return Lease(storage, kind)
    if kind == "exclusive":
        storage.prepare()  # refuses
    return _Unleased(storage, kind)


class ReadingLease:
    """A shared lease of somebody who only reads, for a `with` block: who can't have one goes on without.

    Reading needs no writing. What is read is checked all the same; but nobody is told to leave it there meanwhile.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lease = lease(storage, "shared")
        self._held = False
        self.missing = ""
        """Why there is no lease; empty when there is one. Set when the block begins."""

    def __enter__(self) -> Self:
        """Raises `BusyError` when somebody who removes things is at work."""
        try:
            self._lease.__enter__()
            self._held = True
        except BusyError:
            raise
        except RepositoryError as error:
            exclusive = [other for other in leases(self._storage) if other.kind == "exclusive" and not other.expired]
            if exclusive:
                raise _busy(self._storage, exclusive[0]) from None
            self.missing = error.what
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            with contextlib.suppress(PropolisError):  # it expires by itself
                self._lease.__exit__(kind, error, trace)

    @property
    def warning(self) -> str:
        """What to tell people when there is no lease; empty when there is one."""
        return (
            f"No lease could be taken: {self.missing}. A prune that starts in the meantime doesn't know of this "
            "command and may remove the backup"
            if self.missing
            else ""
        )

    def check(self) -> None:
        """See `Lease.check`; without a lease, it raises `RepositoryError`."""
        if not self._held:
            raise RepositoryError(self.missing)
        self._lease.check()


def leases(storage: Storage) -> list[LeaseInfo]:
    """All leases, oldest expiry first. Whether one expired is told by this host's clock, and by its processes."""
    limit = (utc_now() - datetime.timedelta(seconds=GRACE)).strftime(_STAMP)
    found = []
    for stored in storage.list("locks"):
        match = _NAME.fullmatch(stored.name)
        if match:
            kind: LeaseKind = "shared" if match[1] == "shared" else "exclusive"
            # Not parsed: a name may hold digits that are no time.
            expires = re.sub(r"(....)(..)(..)T(..)(..)(..)Z", r"\1-\2-\3T\4:\5:\6Z", match[2])
            holder = _holder(storage, stored.name)
            dead = holder is not None and holder.is_gone()
            told = _describe(holder, stored.name, kind)
            found.append(LeaseInfo(stored.name, kind, match[3], expires, dead or match[2] < limit, told, dead))
    return sorted(found, key=lambda lease: (lease.expires, lease.name))


def unlock(storage: Storage, force: tuple[str, ...] = (), *, plan: bool = False) -> tuple[list[LeaseInfo], list[str]]:
    """Delete expired leases, and those named in `force` (a name, or the beginning of a token) even if they live.

    Gives all leases that there were, and the names of those deleted (with `plan`: that would be). Raises
    `RepositoryError` when a name in `force` fits none or several, or when this host's clock can't be trusted.
    """
    if not plan:
        _compare_clocks(storage)
    found = leases(storage)
    chosen = {lease.name for lease in found if lease.expired}
    for text in force:
        fitting = [lease for lease in found if lease.name == text or (text and lease.token.startswith(text))]
        if len(fitting) != 1:
            raise RepositoryError(
                f"{text!r} matches {f'{len(fitting)} of the {len(found)} leases' if fitting else 'no lease'}",
                left="No lease was removed",
                next="See `propolis repository unlock --plan` for their names",
            )
        chosen.add(fitting[0].name)
    if not plan:
        for name in sorted(chosen):
            storage.delete(name)
    return found, sorted(chosen)


def _compare_clocks(storage: Storage) -> None:
    """Raise `RepositoryError` when this host's clock can't tell what expired; takes a shared lease for a moment."""
    lease = Lease(storage, "shared")
    lease._create()
    storage.delete(lease._name)
    if lease._problem:
        raise RepositoryError(lease._problem, left="No lease was removed", next="Set the clocks, e.g. with chrony")


def _busy(storage: Storage, lease: LeaseInfo) -> BusyError:
    return BusyError(
        f"The repository {storage.place} is in use by {lease.holder}",
        left="Nothing was changed",
        next="Wait until that is finished. The lease of a dead process expires by itself: at once on its own host, "
        "within minutes on others (see `propolis repository unlock`)",
    )


def _elapsed() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _skew(own: Stored, began: float, ended: float, place: str) -> str:
    """What is wrong with the clocks: an object was written between these two moments of this host's clock."""
    dated = own.modified_ns / 1e9
    # Storages date objects in whole seconds.
    ahead = began - 1 - dated if dated < began - 1 else ended - dated if dated > ended else 0.0
    if abs(ahead) <= MOST_SKEW:
        return ""
    return (
        f"This host's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of the repository "
        f"{place}: a lease that is held could look expired"
    )


def _holder(storage: Storage, name: str) -> Holder | None:
    try:
        return msgspec.json.decode(storage.get(name, SMALL_LIMIT), type=Holder)
    except (IntegrityError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _describe(holder: Holder | None, name: str, kind: str) -> str:
    if holder is None:
        return f"someone ({name})"
    return f"process {holder.pid} on {holder.host} since {holder.since} ({kind})"
