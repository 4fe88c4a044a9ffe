"""A real MinIO, and empty buckets in it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from propolis.s3.endpoint import Endpoint
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server


@dataclass
class Minio:
    """A running MinIO as these tests use it."""

    server: S3Server

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    @property
    def access_key(self) -> str:
        return self.server.keys.access

    @property
    def secret_key(self) -> str:
        return self.server.keys.secret

    @property
    def reached(self) -> Endpoint:
        return Endpoint(self.endpoint, access_key=self.access_key, secret_key=self.secret_key)

    def bucket(self) -> str:
        """A new, empty bucket."""
        name = f"test-{secrets.token_hex(6)}"
        self.server.make_bucket(name)
        return name


@pytest.fixture(scope="session")
def minio() -> Iterator[Minio]:
    with s3_stores.run("minio") as server:
        yield Minio(server)
