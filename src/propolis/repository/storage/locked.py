"""Object Lock: what a bucket holds stays there for a time, whoever wants it gone.

Every object is locked by the request that stores it. What a new backup needs of older ones is locked anew before the
backup is recorded (`protection`); nothing else moves a date.

Dates lie on a grid of some days (`reach`): all that is stored or locked anew within a period gets the same date. So a
backup needs to ask for nothing that another one of the same period needed, and everything is locked anew but once a
period, however many backups there are. The price is that objects are held for up to a period longer than asked for.
"""

from __future__ import annotations

import datetime
import math
import threading
from collections.abc import Callable, Iterable

from propolis.config.places import ObjectLockConfig
from propolis.errors import ConfigError, IntegrityError, RepositoryError
from propolis.repository.io.parallel import side_by_side
from propolis.repository.storage.base import Retention, checked_name, gone
from propolis.repository.storage.bucket import Clients, S3Storage
from propolis.repository.storage.location import Location
from propolis.s3.api import CONNECTIONS, S3Api
from propolis.s3.endpoint import PATIENT, Patience
from propolis.s3.errors import NOT_LOCKABLE, AnswerError, explain, is_missing, told

_DAY = 86_400
_LONGEST_PERIOD = 7
_NO_RETENTION = "NoSuchObjectLockConfiguration"
_EXEMPT = "locks/"
"""Leases live for minutes and are deleted by those who took them: nothing is lost with them."""


def reach(lock: ObjectLockConfig, now: datetime.datetime | None = None) -> datetime.datetime:
    """Until when what is stored now is locked: `lock.days` from now, and on to the next date of the grid (UTC)."""
    moment = (now or datetime.datetime.now(datetime.UTC)).timestamp() / _DAY
    period = min(_LONGEST_PERIOD, max(1, lock.days // 10))
    day = math.ceil((moment + lock.days) / period) * period
    return datetime.datetime.fromtimestamp(day * _DAY, datetime.UTC)


class LockedStorage(S3Storage):
    """A bucket with Object Lock, all of whose objects but leases are locked when they are stored."""

    def __init__(self, location: Location, rules: ObjectLockConfig, patience: Patience = PATIENT) -> None:
        super().__init__(location, patience)
        self.rules = rules
        self._api = S3Api(location.server, patience)
        self._locking: tuple[datetime.datetime, Clients] | None = None
        self._making = threading.Lock()
        self._lockable = False

    @property
    def lock(self) -> LockedStorage:
        """See `Storage.lock`."""
        return self

    def reach(self) -> datetime.datetime:
        """See `ObjectLock.reach`."""
        return reach(self.rules)

    def prepare(self) -> None:
        """Raise unless the bucket can lock objects."""
        self.require_lock()

    def require_lock(self) -> None:
        """Raise `ConfigError` unless the bucket can lock objects, `RepositoryError` when that can't be determined."""
        if self._lockable:
            return
        try:
            answer = self._api.call("get_object_lock_configuration", Bucket=self.bucket)
            enabled = answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
        except AnswerError as error:
            if told(error).code != "ObjectLockConfigurationNotFoundError":
                raise explain(error, f"Whether the bucket of {self.place} locks objects", "be determined") from None
            enabled = False
        if not enabled:
            self._present()  # MinIO says the same of a bucket that isn't there
            why, advice = NOT_LOCKABLE
            raise ConfigError(
                f"repository.object_lock: nothing in {self.place} can be locked: {why}",
                left="Nothing was stored",
                next=advice,
            )
        self._lockable = True

    def put_until(self, name: str, data: bytes | bytearray | memoryview, until: datetime.datetime) -> None:
        """`put`, locked until that time."""
        self._put(checked_name(name), memoryview(data), self._clients_until(until))

    def retention(self, name: str) -> Retention | None:
        """How an object is locked, None if it isn't; raises `IntegrityError` when there is none of that name."""
        try:
            found = self._api.call("get_object_retention", Bucket=self.bucket, Key=self._key(name))["Retention"]
            return Retention(str(found["Mode"]), found["RetainUntilDate"])
        except KeyError:
            return None
        except AnswerError as error:
            if told(error).code == _NO_RETENTION:
                return None
            raise self._unlocked(error, name, "be determined") from None

    def extend(self, names: Iterable[str], until: datetime.datetime) -> int:
        """Lock objects until that time at least, several side by side; how many weren't.

        No date is ever moved back. Each is asked for first: to ask costs a tenth of setting it, and a server that
        let a date be moved back could not be trusted to refuse that. An object keeps its mode, since to change it
        takes the right to lift locks. Raises `IntegrityError` when an object is gone, `RepositoryError` when the
        storage refuses; some are extended then, which does no harm.
        """
        counted = _Count()

        def one(name: str) -> None:
            present = self.retention(name)
            if present is not None and present.until >= until:
                return
            mode = present.mode if present else self.rules.mode.upper()
            wanted = {"Mode": mode, "RetainUntilDate": until}
            try:
                self._api.call("put_object_retention", Bucket=self.bucket, Key=self._key(name), Retention=wanted)
            except AnswerError as error:
                raise self._unlocked(error, name, "be extended") from None
            counted.add()

        def make() -> Callable[[str], None]:
            return one

        side_by_side(names, make, CONNECTIONS)
        return counted.number

    def _clients_to_put(self, name: str) -> Clients:
        if name.startswith(_EXEMPT):
            return self._clients
        self.require_lock()
        return self._clients_until(self.reach())

    def _clients_until(self, until: datetime.datetime) -> Clients:
        """Clients that lock what they store: a date holds for a whole period, so they are seldom made anew."""
        with self._making:
            if self._locking is None or self._locking[0] != until:
                headers = {
                    "x-amz-object-lock-mode": self.rules.mode.upper(),
                    "x-amz-object-lock-retain-until-date": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
                self._locking = until, self._open(headers)
            return self._locking[1]

    def _key(self, name: str) -> str:
        return f"{self.prefix.strip('/')}/{checked_name(name)}".lstrip("/")

    def _unlocked(self, error: AnswerError, name: str, failed: str) -> RepositoryError | IntegrityError:
        if is_missing(error):
            return gone(self.place, name)
        if told(error).status is not None:
            self._present()  # fails with the reason if the whole bucket is the matter
        return explain(error, f"The lock of {name} in the repository {self.place}", failed)


class _Count:
    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.number += 1
