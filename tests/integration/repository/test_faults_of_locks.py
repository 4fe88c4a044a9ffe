"""Retention and versions go through another client: what is wrong with it is named, what passes is tried again."""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.repository import s3_lab
from integration.repository.fault_proxies import Fault, relay
from integration.repository.lock_lab import LockedVault, assert_protected, files, new_location
from propolis.config.places import ObjectLockConfig
from propolis.errors import ConfigError, PropolisError, RepositoryError
from propolis.repository import Facts, Location, Repository
from propolis.repository.storage.locked import LockedStorage
from propolis.repository.storage.past import PastStorage
from propolis.repository.write.begin import begin
from propolis.s3.endpoint import Patience
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import S3Server
from unit.repository.repository_tools import TREE

HASTY = Patience(retries=1, first_wait=0.05, longest_wait=0.1, total=5, connect=2, silence=5)
STUBBORN = Patience(retries=8, first_wait=0.02, longest_wait=0.05, total=60, connect=5, silence=20)
BUSY, UNHEARD, DROPPED = Fault(503, False), Fault(500, True), Fault(None, True)
LOCK = ObjectLockConfig(mode="governance", days=1)
LONG = ObjectLockConfig(mode="governance", days=90)

Use = Callable[[Location], object]
USES: dict[str, Use] = {
    "locks": lambda location: LockedStorage(location, LOCK, HASTY).require_lock(),
    "retention": lambda location: LockedStorage(location, LOCK, HASTY).retention("config"),
    "extend": lambda location: LockedStorage(location, LOCK, HASTY).extend(
        ["config"], datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)
    ),
    "versions": lambda location: PastStorage(location, datetime.datetime.now(datetime.UTC), HASTY).size("config"),
}


@pytest.fixture(scope="module", params=["minio", "versitygw"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with s3_stores.run(request.param) as running:
        yield running


def refused(location: Location, use: str) -> str:
    with pytest.raises(PropolisError) as caught:
        USES[use](location)
    text = str(caught.value)
    assert isinstance(caught.value, RepositoryError | ConfigError)
    assert "\n" not in text
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
        ({"endpoint": "http://127.0.0.1:1"}, "it doesn't answer"),
        ({"endpoint": "http://no-such-host.invalid:9000"}, "its host name is not known"),
    ],
)
def test_what_is_set_wrong_is_named(server: S3Server, change: dict[str, str], reason: str, use: str) -> None:
    assert reason in refused(replace(new_location(server), **change), use)  # type: ignore[arg-type]


def test_an_authority_of_its_own_is_trusted_when_it_is_named(tmp_path: Path) -> None:
    made = s3_lab.certificates(tmp_path / "tls")
    with s3_lab.special_minio(tmp_path, certs=made.folder) as server:
        (tmp_path / "data" / "present").mkdir()
        place = Location("s3://present/x", server.endpoint, "us-east-1", server.keys.access, server.keys.secret)
        for use in USES:
            assert "no known authority signed its TLS certificate" in refused(place, use)
            elsewhere = replace(place, endpoint=server.endpoint.replace("127.0.0.1", "localhost"), ca=made.ca)
            assert "its TLS certificate is for another name" in refused(elsewhere, use)
            plain = replace(place, endpoint=server.endpoint.replace("https", "http"))
            told = refused(plain, use)
            # Mostly this server's words are lost with the connection, which it ends before they are read.
            assert "it speaks TLS only" in told or "the connection broke" in told
            # Reached and understood: this bucket neither locks nor keeps versions.
            told = refused(replace(place, ca=made.ca), use)
            assert "made without Object Lock" in told or "keeps no former versions" in told
        with pytest.raises(ConfigError, match="can't be read"):
            LockedStorage(replace(place, ca=tmp_path / "absent"), LOCK)


@pytest.fixture
def vault(server: S3Server) -> LockedVault:
    return LockedVault(new_location(server)).init()


@pytest.mark.parametrize("fault", [BUSY, UNHEARD, DROPPED], ids=["503", "500 after doing it", "no answer after it"])
def test_passing_faults_while_it_locks_delay_a_backup(
    vault: LockedVault, server: S3Server, tmp_path: Path, fault: Fault
) -> None:
    source = files(tmp_path / "source")
    vault.backup(source)
    with relay(server.endpoint) as between:
        place = replace(vault.location, endpoint=between.endpoint)
        seen = iter(range(10**6))
        between.choose = lambda method, path: fault if "retention" in path and next(seen) % 3 == 1 else None
        repository = Repository(LockedStorage(place, LONG, STUBBORN), [vault.host])
        vault.backup(source, repository)
        assert between.faults > 4
    assert assert_protected(vault) == 18


@pytest.mark.parametrize("after", [0, 3])
def test_a_server_that_stops_locking_fails_the_backup(
    vault: LockedVault, server: S3Server, tmp_path: Path, after: int
) -> None:
    source = files(tmp_path / "source")
    first = vault.backup(source)
    with relay(server.endpoint) as between:
        place = replace(vault.location, endpoint=between.endpoint)
        seen = iter(range(10**6))
        between.choose = lambda method, path: (
            BUSY if method == "PUT" and "retention" in path and next(seen) >= after else None
        )
        repository = Repository(LockedStorage(place, LONG, HASTY), [vault.host])
        with (
            pytest.raises(RepositoryError, match=r"The lock of \S+ in .* can't be extended: it is overloaded"),
            begin(repository, "hive") as writer,
        ):
            writer.add_folder("files", TREE, source, Path("/original"))
            writer.commit(Facts())
    assert [summary.id for summary in vault.open().backups()] == [first.id]
    assert_protected(vault)
    assert list(vault.storage.list("locks")) == []
