"""Packs are received straight into the reader's memory; whatever goes wrong with that, obstore's way is left."""

import os
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.repository import s3_lab
from integration.repository.conftest import Minio
from integration.repository.fault_proxies import Fault, Relay, relay
from propolis.errors import RepositoryError
from propolis.repository import Location
from propolis.repository.io.stream import PIECE
from propolis.repository.storage.bucket import S3Storage
from propolis.s3.endpoint import Patience

HASTY = Patience(retries=2, first_wait=0.05, longest_wait=0.2, total=20, connect=2, silence=2)
SIZE = 5 * PIECE + 77


@pytest.fixture
def server(minio: Minio) -> Iterator[Relay]:
    with relay(minio.endpoint) as running:
        yield running


@pytest.fixture
def storage(server: Relay, minio: Minio) -> S3Storage:
    return opened(Location(f"s3://{minio.bucket()}/x", server.endpoint), minio)


@pytest.fixture
def content(storage: S3Storage) -> bytes:
    content = os.urandom(SIZE)
    storage.put("packs/ab/one", content)
    return content


def opened(place: Location, minio: Minio) -> S3Storage:
    keyed = replace(place, access_key=minio.access_key, secret_key=minio.secret_key)
    return S3Storage(keyed, HASTY)


def read(storage: S3Storage) -> bytes:
    with storage.stream("packs/ab/one", SIZE) as stream:
        return b"".join(map(bytes, stream.pieces))


class Asked:
    """What a store was asked for, and what goes wrong with the quick way."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault
        self.quick = self.others = 0

    def __call__(self, method: str, path: str) -> Fault | None:
        quick = method == "GET" and "X-Amz-Signature" in urllib.parse.urlsplit(path).query
        self.quick += quick
        self.others += not quick
        return self.fault if quick else None


def test_an_object_is_received_by_one_request(server: Relay, storage: S3Storage, content: bytes) -> None:
    server.choose = asked = Asked()
    for number in range(1, 4):
        assert read(storage) == content
        assert (asked.quick, asked.others) == (number, 0)


@pytest.mark.parametrize("keeps", [1, PIECE - 1, PIECE, 2 * PIECE + 5, SIZE - 1])
def test_where_it_breaks_off_the_rest_is_asked_for(
    server: Relay, storage: S3Storage, content: bytes, keeps: int
) -> None:
    server.choose = asked = Asked(Fault(None, reaches_the_store=True, keeps=keeps))
    for number in range(1, 4):
        assert read(storage) == content
        assert (asked.quick, asked.others) == (number, number)


def test_a_connection_that_the_server_ended_is_replaced(server: Relay, storage: S3Storage, content: bytes) -> None:
    server.choose = asked = Asked(Fault(None, reaches_the_store=True, keeps=SIZE))
    for _ in range(5):
        assert read(storage) == content
    assert asked.others == 0


@pytest.mark.parametrize("fault", [Fault(None, reaches_the_store=False), Fault(403, reaches_the_store=False)])
def test_a_server_that_does_not_serve_it_so_is_asked_otherwise_and_no_longer_tried(
    server: Relay, storage: S3Storage, content: bytes, fault: Fault
) -> None:
    server.choose = asked = Asked(fault)
    for _ in range(15):
        assert read(storage) == content
    assert (asked.quick, asked.others) == (10, 15)


def test_where_a_proxy_is_to_be_used_no_connection_passes_it_by(
    server: Relay, minio: Minio, monkeypatch: pytest.MonkeyPatch, content: bytes, storage: S3Storage
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.choose = asked = Asked()
    assert read(opened(Location(storage.place.split(" at ")[0], endpoint=server.endpoint), minio)) == content
    assert (asked.quick, asked.others) == (0, 1)
    monkeypatch.delenv("NO_PROXY")
    with pytest.raises(RepositoryError, match="doesn't answer"):
        read(opened(Location(storage.place.split(" at ")[0], endpoint=server.endpoint), minio))
    assert (asked.quick, asked.others) == (0, 1)


def test_it_trusts_an_authority_of_ones_own_only_when_it_is_named(tmp_path: Path) -> None:
    certified = s3_lab.certificates(tmp_path / "tls")
    with s3_lab.special_minio(tmp_path / "secure", certs=certified.folder) as secure:
        (tmp_path / "secure" / "data" / "present").mkdir()
        minio = Minio(secure)
        trusting = opened(Location("s3://present/x", secure.endpoint, ca=certified.ca), minio)
        content = os.urandom(SIZE)
        trusting.put("packs/ab/one", content)
        with trusting._downloads.open("packs/ab/one") as download:
            assert download is not None
            assert download.size == SIZE
        assert read(trusting) == content
        with opened(Location("s3://present/x", secure.endpoint), minio)._downloads.open("packs/ab/one") as download:
            assert download is None
