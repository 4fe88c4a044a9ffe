"""A bucket that keeps versions, read as it was at some time. Nothing is ever written.

What counts of an object is its newest version that isn't younger; where that marks a deletion, there was no object.
Versions are listed once for each folder, then read by their own IDs.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import obstore

from propolis.errors import ConfigError, RepositoryError
from propolis.repository.io.stream import Stream
from propolis.repository.storage.base import MissingObjectError, Stored, check_size, checked_name
from propolis.repository.storage.bucket import S3Storage
from propolis.repository.storage.location import Location
from propolis.s3.api import S3Api
from propolis.s3.endpoint import PATIENT, Patience
from propolis.s3.errors import S3_ERRORS, AnswerError, explain

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class _Version:
    id: str
    size: int
    time: datetime.datetime
    deletion: bool


class PastStorage(S3Storage):
    """A bucket as it was at a moment."""

    def __init__(self, location: Location, at: datetime.datetime, patience: Patience = PATIENT) -> None:
        super().__init__(location, patience)
        self.at = self._moment = at
        self._place += f" as of {at.astimezone(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}"
        self._api = S3Api(location.server, patience)
        self._folders: dict[str, dict[str, _Version]] = {}
        self._listing = threading.Lock()
        self._checked = False

    def prepare(self) -> None:
        """Refuse."""
        self._refuse()

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        """Refuse."""
        self._refuse()

    def delete(self, name: str) -> None:
        """Refuse."""
        self._refuse()

    @contextlib.contextmanager
    def stream(self, name: str, limit: int) -> Iterator[Stream]:
        """See `Storage.stream`."""
        yield Stream.of(self.get(name, limit))

    def get(self, name: str, limit: int) -> memoryview:
        """See `Storage.get`."""
        version = self._version(name)
        check_size(version.size, limit, name)
        return self._read(name, {"version": version.id})

    def head(self, name: str, count: int) -> memoryview:
        """See `Storage.head`."""
        version = self._version(name)
        if version.size == 0:
            return memoryview(b"")
        return self._read(name, {"version": version.id, "range": (0, max(count, 1))})[:count]

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        version = self._folder(checked_name(name)).get(name)
        return None if version is None else version.size

    def list(self, prefix: str) -> Iterator[Stored]:
        """See `Storage.list`."""
        start = f"{prefix}/" if prefix else ""
        for name, version in self._folder(start).items():
            if name.startswith(start):
                yield Stored(name, version.size, int(version.time.timestamp() * 1_000_000) * 1000)

    def _read(self, name: str, options: dict[str, Any]) -> memoryview:
        try:
            found = self._ask(lambda store: obstore.get(store, name, options=options))  # type: ignore[arg-type]
            return memoryview(found.bytes())
        except S3_ERRORS as error:
            raise self._unread(error, name) from None

    def _version(self, name: str) -> _Version:
        found = self._folder(checked_name(name)).get(name)
        if found is None:
            raise MissingObjectError(
                f"{name} is missing from the repository {self.place}",
                next="Give a later or earlier time to --at, or use another backup",
            )
        return found

    def _folder(self, name: str) -> dict[str, _Version]:
        """The objects that there were in the folder (of the first level) of a name; all of them for no name."""
        folder, slash, _ = name.partition("/")
        key = folder + slash
        with self._listing:
            known = self._folders.get("", self._folders.get(key))
            if known is None:
                known = self._folders[key] = self._list_versions(key)
            return known

    def _list_versions(self, start: str) -> dict[str, _Version]:
        before = f"{self.prefix.strip('/')}/".lstrip("/")
        found: dict[str, _Version] = {}
        try:
            self._require_versions()
            for page in self._api.pages("list_object_versions", Bucket=self.bucket, Prefix=before + start):
                for kind, deletion in (("Versions", False), ("DeleteMarkers", True)):
                    for item in page.get(kind, ()):
                        self._take(found, item["Key"].removeprefix(before), item, deletion=deletion)
        except AnswerError as error:
            raise explain(error, f"The versions in the repository {self.place}", "be listed") from None
        return {name: version for name, version in found.items() if not version.deletion}

    def _take(self, found: dict[str, _Version], name: str, item: dict[str, Any], *, deletion: bool) -> None:
        """Keep a version if it is the newest so far that isn't too young. They come newest first."""
        time = _told_by_id(item["VersionId"]) or item["LastModified"]
        if time > self._moment:
            return
        known = found.get(name)
        # Of an object and its deletion in the same moment, the object counts: rather too much than too little.
        if known is None or time > known.time or (time == known.time and known.deletion and not deletion):
            found[name] = _Version(item["VersionId"], item.get("Size", 0), time, deletion)

    def _require_versions(self) -> None:
        if self._checked:
            return
        # Suspended: what was there before is kept.
        if not self._api.call("get_bucket_versioning", Bucket=self.bucket).get("Status"):
            raise ConfigError(
                f"The bucket of {self.place} keeps no former versions",
                next="Leave out --at. A bucket with versioning or Object Lock can be read as it was",
            )
        self._checked = True

    def _refuse(self) -> NoReturn:
        raise RepositoryError(
            f"The repository {self.place} is opened as of an earlier time and is read-only",
            left="It was not changed",
            next="Leave out --at",
        )


def _told_by_id(id: str) -> datetime.datetime | None:
    """When a version was stored if its ID tells: versitygw's are ULIDs, which begin with milliseconds since 1970.

    versitygw dates a former version by the time it was replaced, so that its date is too late.
    """
    if not _ULID.fullmatch(id):
        return None
    milliseconds = 0
    for digit in id[:10]:
        milliseconds = milliseconds * 32 + _ULID_DIGITS.index(digit)
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
