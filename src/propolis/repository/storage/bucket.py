"""A repository in an S3 bucket (MinIO, AWS and others), through obstore."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import obstore
from obstore import exceptions
from obstore.store import S3Store

from propolis.errors import ConfigError, PropolisError
from propolis.repository.io.stream import PIECE, Stream, cut
from propolis.repository.storage.base import (
    Disk,
    LocalFolder,
    MissingObjectError,
    ObjectExistsError,
    ObjectLock,
    Stored,
    check_size,
    checked_name,
)
from propolis.repository.storage.location import Location
from propolis.s3.client import open_bucket
from propolis.s3.download import Download, Downloads
from propolis.s3.endpoint import PATIENT, Patience
from propolis.s3.errors import S3_ERRORS, explain, is_missing, told

_FIRST_TRIES = 3
_NO_SUCH_RANGE = 416
T = TypeVar("T")


@dataclass(frozen=True)
class Clients:
    """Clients of one place that differ in patience."""

    patient: S3Store
    hasty: S3Store
    once: S3Store
    """Tries nothing again."""


class S3Storage:
    """Objects below a prefix of a bucket; every put is a single request and durable when it returns."""

    folder: LocalFolder | None = None
    disk: Disk | None = None
    at: datetime.datetime | None = None

    def __init__(self, location: Location, patience: Patience = PATIENT) -> None:
        self.bucket, _, self.prefix = location.url.removeprefix("s3://").partition("/")
        if not self.bucket:
            raise ConfigError(f"repository.url: {location.url!r} names no bucket")
        self._place = f"{location.url} at {location.server}"
        self._server = location.server
        self._patience = patience
        # Who hasn't been reached yet is more likely misnamed than restarting, and who could not be reached for long
        # is down: neither is worth as long a wait again.
        self._brief = replace(patience, retries=min(_FIRST_TRIES, patience.retries))
        self._reached = False
        self._clients = self._open()

    def _open(self, put_headers: Mapping[str, str] | None = None) -> Clients:
        def client(patience: Patience) -> S3Store:
            return open_bucket(self.bucket, self.prefix, self._server, patience=patience, put_headers=put_headers)

        return Clients(client(self._patience), client(self._brief), client(replace(self._patience, retries=0)))

    def _clients_to_put(self, name: str) -> Clients:
        """The clients that store an object of this name; for storages that store some otherwise."""
        return self._clients

    @property
    def lock(self) -> ObjectLock | None:
        """See `Storage.lock`: a bucket without it."""
        return None

    @property
    def place(self) -> str:
        """URL and endpoint."""
        return self._place

    def prepare(self) -> None:
        """Nothing: the bucket has to exist."""

    def put(self, name: str, data: bytes | bytearray | memoryview, *, create: bool = False) -> None:
        """See `Storage.put`."""
        name = checked_name(name)
        self._put(name, memoryview(data), self._clients_to_put(name), create=create)

    def _put(self, name: str, data: memoryview, clients: Clients, *, create: bool = False) -> None:
        if create:
            self._create(name, data, clients.once)
            return
        try:
            self._ask(lambda store: obstore.put(store, name, data, use_multipart=False), clients)
        except S3_ERRORS as error:
            raise explain(error, f"The repository {self.place}", "be written") from None

    def _create(self, name: str, data: memoryview, once: S3Store) -> None:
        """Create an object. The client must not repeat this by itself: a try that got no answer may have worked."""
        waits = (self._patience if self._reached else self._brief).waits()
        unheard = False
        while True:
            try:
                obstore.put(once, name, data, mode="create", use_multipart=False)
                self._reached = True
                return
            except exceptions.AlreadyExistsError:
                # Two writers never create the same name with the same bytes: each puts something random in.
                if unheard and self.size(name) == len(data) and self.get(name, len(data)) == data:
                    return
                raise ObjectExistsError(f"{name} exists already in the repository {self.place}") from None
            except S3_ERRORS as error:
                wait = next(waits, None)
                if wait is None or not told(error).passing:
                    self._reached = told(error).status is not None
                    raise explain(error, f"The repository {self.place}", "be written") from None
                unheard = True
            time.sleep(wait)

    def get(self, name: str, limit: int) -> memoryview:
        """See `Storage.get`."""
        try:
            result = self._ask(lambda store: obstore.get(store, checked_name(name)))
            check_size(result.meta["size"], limit, name)
            return memoryview(result.bytes())
        except S3_ERRORS as error:
            raise self._unread(error, name) from None

    @cached_property
    def _downloads(self) -> Downloads:
        from propolis.s3.download import Downloads

        patience = self._patience
        return Downloads(
            self._clients.patient, connect=patience.connect, silence=patience.silence, ca=self._server.ca
        )

    @contextlib.contextmanager
    def stream(self, name: str, limit: int) -> Iterator[Stream]:
        """See `Storage.stream`."""
        with self._downloads.open(checked_name(name)) as answer:
            if answer is None:
                yield Stream.of(self.get(name, limit))
                return
            check_size(answer.size, limit, name)
            yield Stream(answer.size, self._pieces(answer, name))

    def _pieces(self, answer: Download, name: str) -> Iterator[memoryview]:
        """What arrives. Where it breaks off, the rest is asked for anew."""
        target = memoryview(bytearray(PIECE))
        for offset in range(0, answer.size, PIECE):
            wanted = target[: min(PIECE, answer.size - offset)]
            if not answer.fill(wanted):
                yield from cut(self._range(name, offset, answer.size))
                return
            yield wanted

    def _range(self, name: str, start: int, end: int) -> memoryview:
        try:
            result = self._ask(lambda store: obstore.get(store, name, options={"range": (start, end)}))
            return memoryview(result.bytes())
        except S3_ERRORS as error:
            raise self._unread(error, name) from None

    def head(self, name: str, count: int) -> memoryview:
        """See `Storage.head`."""
        try:
            reach = (0, max(count, 1))
            result = self._ask(lambda store: obstore.get(store, checked_name(name), options={"range": reach}))
            return memoryview(result.bytes())[:count]
        except S3_ERRORS as error:
            if told(error).status == _NO_SUCH_RANGE:
                return memoryview(b"")  # the object is empty
            raise self._unread(error, name) from None

    def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        try:
            return self._ask(lambda store: obstore.head(store, checked_name(name)))["size"]
        except S3_ERRORS as error:
            # An answer to HEAD has no body to tell why: not even whether the bucket is there.
            self._present()
            if is_missing(error):
                return None
            raise self._unread(error, name) from None

    def list(self, prefix: str) -> Iterator[Stored]:
        """See `Storage.list`."""
        try:
            for batch in obstore.list(self._now(self._clients), prefix or None):
                for item in batch:
                    modified = int(item["last_modified"].timestamp() * 1_000_000) * 1000
                    yield Stored(item["path"], item["size"], modified)
        except S3_ERRORS as error:
            raise explain(error, f"The repository {self.place}", "be listed") from None

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        try:
            self._ask(lambda store: obstore.delete(store, checked_name(name)))
        except S3_ERRORS as error:
            if is_missing(error):
                return
            raise explain(error, f"The repository {self.place}", "be changed") from None

    def flush(self) -> None:
        """Nothing: a bucket's objects are durable when stored."""

    def _now(self, clients: Clients) -> S3Store:
        """The client with as much patience as the storage is worth now."""
        return clients.patient if self._reached else clients.hasty

    def _ask(self, request: Callable[[S3Store], T], clients: Clients | None = None) -> T:
        """Make a request, with more patience if the last one was answered."""
        try:
            result = request(self._now(clients or self._clients))
        except S3_ERRORS as error:
            self._reached = told(error).status is not None
            raise
        self._reached = True
        return result

    def _present(self) -> None:
        """Fail, with the reason, when the bucket can't be reached."""
        for _ in self.list("config"):
            return

    def _unread(self, error: Exception, name: str) -> PropolisError:
        if is_missing(error):
            return MissingObjectError(
                f"{name} is missing from the repository {self.place}",
                next="Run `propolis repository check`, and use another backup or a copy of the repository",
            )
        return explain(error, f"{name} in the repository {self.place}", "be read")
