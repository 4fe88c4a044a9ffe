"""A bucket whose server ignores `If-None-Match`, as some makers' do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.repository.conftest import Minio
from integration.repository.fault_proxies import relay
from propolis.checks import look
from propolis.cli import run
from propolis.errors import BusyError, RepositoryError
from propolis.repository import Facts, Identity, Location, Repository, verify, write_identity
from propolis.repository.access.conditional import creates_once
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.storage.opening import open_storage
from propolis.repository.write.begin import begin
from unit.repository.repository_tools import TREE, fill

CONFIG = """
name: hive
state: {root}/state
platform: {{kind: process, services: {root}}}
thehive: {{url: "http://127.0.0.1:9", config: {root}/thehive}}
database: {{host: 127.0.0.1, port: 9, cluster_name: thp, config: {root}/c, data: [{root}/d],
  commitlog: {root}/l, hints: {root}/h, saved_caches: {root}/s}}
index: {{url: "http://127.0.0.1:9", config: {root}/e, data: {root}/i}}
files: {{kind: folder, folder: {root}/files}}
repository:
  url: {url}
  endpoint: {endpoint}
  access_key: {{file: {root}/access}}
  secret_key: {{file: {root}/secret}}
  host_key: {root}/host.key
"""


@pytest.fixture
def careless(minio: Minio) -> Iterator[Location]:
    """A bucket of a real MinIO behind a proxy that overwrites what was only to be created."""
    with relay(minio.endpoint, careless=minio.server) as proxy:
        yield Location(
            f"s3://{minio.bucket()}/vault", proxy.endpoint, access_key=minio.access_key, secret_key=minio.secret_key
        )


@pytest.fixture
def careful(careless: Location, minio: Minio) -> Location:
    """The same place without the proxy."""
    return Location(careless.url, minio.endpoint, access_key=minio.access_key, secret_key=minio.secret_key)


def objects(location: Location) -> list[str]:
    return [stored.name for stored in open_storage(location).list("")]


def test_it_is_found_out_and_nothing_is_left_of_the_trial(careless: Location, careful: Location) -> None:
    assert creates_once(open_storage(careful))
    assert not creates_once(open_storage(careless))
    assert objects(careful) == []


def test_no_repository_is_made_there(careless: Location, careful: Location, tmp_path: Path) -> None:
    recovery = Identity.generate()
    with pytest.raises(RepositoryError, match=r"can't be created at .*ignores If-None-Match") as caught:
        Repository.init(careless, [recovery.recipient])
    assert caught.value.exit_code == 13
    source = Location(str(tmp_path / "vault"))
    Repository.init(source, [recovery.recipient])
    with pytest.raises(RepositoryError, match=r"can't be created at .*ignores If-None-Match"):
        copy_repository(open_storage(source), open_storage(careless))
    assert objects(careful) == []
    Repository.init(careful, [recovery.recipient])


def test_doctor_says_what_still_holds_in_one_that_is_there_already(
    careless: Location,
    careful: Location,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(look, "PATIENCE", 0.05)
    host, recovery = Identity.generate(), Identity.generate()
    Repository.init(careful, [recovery.recipient], host)
    write_identity(tmp_path / "host.key", host)
    for name, secret in (("access", careful.access_key), ("secret", careful.secret_key)):
        (tmp_path / name).write_text(str(secret))
        (tmp_path / name).chmod(0o600)
    found = {}
    for place in (careful, careless):
        config = tmp_path / "propolis.yaml"
        config.write_text(CONFIG.format(root=tmp_path, url=place.url, endpoint=place.endpoint))
        run(["doctor", "--json", "--config", str(config)])
        found[place] = {check["name"]: check for check in json.loads(capsys.readouterr().out)}["repository locks"]
    assert found[careful]["result"] == "ok"
    assert found[careless]["result"] == "warn"
    assert "ignores If-None-Match" in found[careless]["message"]
    assert "Leases have unique names" in found[careless]["hint"]


def test_leases_hold_even_there(careless: Location, careful: Location, tmp_path: Path) -> None:
    host, recovery = Identity.generate(), Identity.generate()
    Repository.init(careful, [recovery.recipient], host)
    there = Repository.open(careless, [host])
    with begin(there, "hive") as writer:
        with pytest.raises(BusyError), there.lease("exclusive"):
            pass
        writer.add_folder("files", TREE, fill(tmp_path / "source"), Path("/original"))
        made = writer.commit(Facts())
    with there.lease("exclusive"), pytest.raises(BusyError), there.lease("shared"):
        pass
    assert verify(Repository.open(careful, [recovery]), made.id, "full").ok
