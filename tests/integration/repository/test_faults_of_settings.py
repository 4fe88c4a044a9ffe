"""What is set wrong about a bucket is named in one clear line, by real servers' own answers."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.repository import s3_lab
from propolis.errors import ConfigError, RepositoryError
from propolis.repository import Identity, Location, Repository
from propolis.repository.storage.base import Storage
from propolis.repository.storage.bucket import S3Storage
from propolis.repository.storage.opening import open_storage
from propolis.s3.endpoint import Endpoint, Patience
from propolis.stack.files.bucket import S3Bucket
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server

HASTY = Patience(retries=1, first_wait=0.05, longest_wait=0.1, total=5, connect=2, silence=5)
LATE = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += 7200;
    return (int)failed;
}
"""
USE = """
import sys
from propolis.errors import RepositoryError
from propolis.repository import Location, Repository
access, secret = sys.stdin.read().split()
try:
    Repository.open(Location(sys.argv[1], sys.argv[2], access_key=access, secret_key=secret), [])
except RepositoryError as error:
    print(error)
"""

Use = Callable[[Storage], object]
USES: dict[str, Use] = {
    "put": lambda storage: storage.put("packs/aa/x", b"x"),
    "create": lambda storage: storage.put("config", b"x", create=True),
    "get": lambda storage: storage.get("config", 10),
    "stream": lambda storage: storage.stream("config", 10).__enter__(),
    "head": lambda storage: storage.head("config", 10),
    "size": lambda storage: storage.size("config"),
    "list": lambda storage: list(storage.list("manifests")),
    "delete": lambda storage: storage.delete("config"),
}


@pytest.fixture(scope="module", params=["minio", "versitygw"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with s3_stores.run(request.param) as running:
        running.make_bucket("present")
        yield running


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> s3_lab.Certificates:
    return s3_lab.certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(certified: s3_lab.Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("secure")
    with s3_lab.special_minio(folder, certs=certified.folder) as running:
        (folder / "data" / "present").mkdir()
        yield running


def place(server: S3Server) -> Location:
    return Location("s3://present/x", server.endpoint, server.region, server.keys.access, server.keys.secret)


def refused(location: Location, use: Use) -> str:
    with pytest.raises(RepositoryError) as caught:
        use(S3Storage(location, HASTY))
    text = str(caught.value)
    assert "\n" not in text
    assert "Debug source" not in text
    assert len(text) < 300
    assert caught.value.next
    assert not location.secret_key or location.secret_key not in text
    return text


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"secret_key": "not-the-secret"}, "the access key or secret key is wrong"),
        ({"access_key": "nobody"}, "the access key or secret key is wrong"),
        ({"url": "s3://absent/x"}, "there is no such bucket"),
        # Marks of other errors in a name must not mislead.
        ({"url": "s3://absent-tls-403-507-certificate/UnknownIssuer"}, "there is no such bucket"),
    ],
)
def test_wrong_keys_and_buckets_are_named(server: S3Server, change: dict[str, str], reason: str, use: str) -> None:
    assert reason in refused(replace(place(server), **change), USES[use])  # type: ignore[arg-type]


@pytest.mark.parametrize("use", USES)
def test_a_wrong_region_is_named(tmp_path: Path, use: str) -> None:
    with s3_lab.special_minio(tmp_path, region="eu-test-1") as strict:
        (tmp_path / "data" / "present").mkdir()
        S3Storage(place(strict), HASTY).put("config", b"x")
        text = refused(replace(place(strict), region="us-east-1"), USES[use])
        assert "the region is wrong" in text
        assert "Correct region" in text


def test_a_clock_that_is_wrong_is_named(server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "late.c").write_text(LATE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "late.so", tmp_path / "late.c"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", USE, "s3://present/x", server.endpoint],
        input=f"{server.keys.access} {server.keys.secret}",
        env={"LD_PRELOAD": str(tmp_path / "late.so")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "clock" in done.stdout
    assert "chrony" in done.stdout


def test_an_authority_of_ones_own_is_trusted_when_it_is_named(
    secure: S3Server, certified: s3_lab.Certificates, tmp_path: Path
) -> None:
    host, recovery = Identity.generate(), Identity.generate()
    location = replace(place(secure), ca=certified.ca)
    Repository.init(location, [recovery.recipient], host)
    assert Repository.open(location, [recovery]).backups() == []
    bucket = S3Bucket.open(
        "present",
        "",
        Endpoint(secure.endpoint, access_key=secure.keys.access, secret_key=secure.keys.secret, ca=certified.ca),
    )
    assert [meta.key.partition("/")[0] for meta in bucket.list()]


@pytest.mark.parametrize("use", USES)
def test_an_unknown_authority_is_named(secure: S3Server, use: str) -> None:
    text = refused(place(secure), USES[use])
    assert "no known authority signed its TLS certificate" in text
    assert "Set ca to the authority's file" in text


def test_another_authority_and_another_name_are_not_trusted(
    secure: S3Server, certified: s3_lab.Certificates, tmp_path: Path
) -> None:
    other = s3_lab.certificates(tmp_path / "other")
    # An authority of the same name and another key: the signature fails.
    assert "TLS certificate" in refused(replace(place(secure), ca=other.ca), USES["get"])
    elsewhere = secure.endpoint.replace("127.0.0.1", "localhost")
    text = refused(replace(place(secure), endpoint=elsewhere, ca=certified.ca), USES["get"])
    assert "its TLS certificate is for another name" in text


def test_a_file_without_certificates_is_refused_before_anything_is_sent(secure: S3Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        open_storage(replace(place(secure), ca=tmp_path / "none.pem"))
    (tmp_path / "key.pem").write_text("not a certificate")
    with pytest.raises(ConfigError, match="holds no PEM certificate"):
        open_storage(replace(place(secure), ca=tmp_path / "key.pem"))
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError, match="holds no PEM certificate"):
        open_storage(replace(place(secure), ca=tmp_path / "bad.pem"))


def test_tls_and_plain_http_taken_for_each_other_are_named(
    server: S3Server, secure: S3Server, certified: s3_lab.Certificates
) -> None:
    plain = replace(place(secure), endpoint=secure.endpoint.replace("https:", "http:"))
    assert "it speaks TLS only" in refused(plain, USES["put"])
    encrypted = replace(place(server), endpoint=server.endpoint.replace("http:", "https:"))
    assert "it doesn't speak TLS" in refused(encrypted, USES["get"])


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [("http://127.0.0.1:9", "it doesn't answer"), ("http://no-such-host.invalid:9", "its host name is not known")],
)
def test_an_endpoint_that_is_not_there_is_named(endpoint: str, reason: str, use: str) -> None:
    location = Location("s3://bucket/x", endpoint, access_key="a", secret_key="bcdefgh")
    assert reason in refused(location, USES[use])
