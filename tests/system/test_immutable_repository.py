"""A host that can only add backups, a vandal who can do everything, and the restore of what was there before."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from integration.repository.lock_lab import LockedVault as Vault
from integration.repository.lock_lab import assert_protected, host_credential, new_location
from propolis.repository import Location, read_identities
from propolis.repository.storage.opening import open_storage
from propolis_lab.proof import compare, snapshot
from propolis_lab.servers import minio as s3_stores
from propolis_lab.servers.minio import Keys, S3Server
from system.command import Propolis
from system.conftest import Scene


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_stores.run("minio") as running:
        yield running


def configured(scene: Scene, folder: Path, name: str, location: Location, keys: Keys) -> Propolis:
    """The scene's Propolis with a repository in a bucket that locks, and one of its credentials."""
    for secret in ("access", "secret"):
        path = folder / f"{name}-{secret}"
        path.write_text(getattr(keys, secret))
        path.chmod(0o600)
    yaml = YAML()
    config = yaml.load(scene.propolis.config_file.read_text())
    config["repository"] = {
        "url": location.url,
        "endpoint": location.endpoint,
        "access_key": {"file": str(folder / f"{name}-access")},
        "secret_key": {"file": str(folder / f"{name}-secret")},
        "host_key": str(folder / "host.key"),
        "object_lock": {"mode": "compliance", "days": 30},
    }
    file = folder / f"{name}.yaml"
    with file.open("w") as stream:
        yaml.dump(config, stream)
    file.chmod(0o600)
    return Propolis(file)


def test_a_vandal_with_every_credential_cannot_prevent_the_restore(
    settled: Scene, server: S3Server, tmp_path: Path
) -> None:
    location = new_location(server, 30, "compliance")
    care = configured(settled, tmp_path, "care", location, server.keys)
    key = tmp_path / "recovery.key"
    care.ok("repository", "init", "--recovery-key", key)
    host = configured(settled, tmp_path, "host", location, host_credential(server, location, tmp_path))

    # The host has the credential that can only add, and that does for its daily work.
    host.ok("backup")
    before = snapshot(settled.lab)
    second = host.ok("backup", "--json").json
    assert second["stats"]["unchanged"] > 60
    assert len(host.ok("list", "--json").json) == 2
    found = {check["name"]: check for check in host.run("doctor", "--json").json}
    for name in ("repository", "repository writable", "object lock", "backups"):
        assert found[name]["result"] == "ok", found[name]
    vault = Vault(location, read_identities(tmp_path / "host.key")[0], read_identities(key)[0])
    assert assert_protected(vault) > 5

    time.sleep(1.1)
    moment = datetime.now(UTC).isoformat()
    time.sleep(1.1)

    # The vandal has the owner's.
    bare = open_storage(replace(location, object_lock=None))
    for number, stored in enumerate(list(bare.list(""))):
        if number % 2:
            bare.put(stored.name, b"destroyed")
        bare.delete(stored.name)
    assert list(bare.list("")) == []
    shutil.rmtree(settled.lab.layout.attachments / "attachment")
    assert compare(before, snapshot(settled.lab)) != []
    assert "There is no repository" in care.run("restore", "latest", "--identity", key).one_clear_error(13)

    care.ok("verify", "latest", "--identity", key, "--at", moment)
    care.ok("restore", "latest", "--identity", key, "--at", moment)
    assert compare(before, snapshot(settled.lab)) == []
    assert list(bare.list("")) == []
