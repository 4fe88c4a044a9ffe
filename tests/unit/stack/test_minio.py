"""MinIO as a service of the stack: who holds the keys of its encryption, and which versions fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config
from propolis.stack.minio.encryption import Encryption, encryption
from propolis.stack.minio.server import MinioFacts
from propolis.stack.minio.service import Minio
from propolis.stack.model import BackedUp
from propolis.stack.rules import Check, Once
from sections import with_everything

SECRET = "CGBPZ5ZZ5AIpfvFxjLhL8ARi2ImEJyIXTUxzlCdmKEo="


class Asking:
    """A look at a stack whose services all run."""

    force_unhealthy = False

    def wait(self, service: str) -> None:
        """Nothing is waited for."""

    def asks(self, service: str) -> bool:
        return True

    def has(self, service: str) -> bool:
        return True


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "propolis.yaml"
    file.write_text(sample())
    found = with_everything(load(file))
    for name in ("services", "minio"):
        (tmp_path / name).mkdir()
    assert found.minio is not None
    minio = found.minio.model_copy(update={"config": tmp_path / "minio"})
    services = found.platform.model_copy(update={"services": tmp_path / "services"})
    return found.model_copy(update={"minio": minio, "platform": services})


def service_of(stack: Config, **changes: Any) -> Minio:
    """With some keys of its section changed."""
    assert stack.minio is not None
    found = Minio.of(stack.model_copy(update={"minio": stack.minio.model_copy(update=changes)}))
    assert found is not None
    return found


def describe(config: Config, **environment: str) -> Path:
    """The description of its service; gives its file."""
    file = config.platform.services / "minio.yaml"
    file.write_text(json.dumps({"command": ["minio"], "environment": environment}))
    return file


def said(service: Minio) -> Check:
    (rule,) = [rule for rule in service.rules() if rule.name == "minio encryption"]
    (check,) = rule.look(Asking())
    return check


def test_a_key_in_the_environment_alone_is_named_as_not_in_the_backup_and_never_shown(config: Config) -> None:
    file = describe(config, MINIO_KMS_SECRET_KEY=f"my-key:{SECRET}")
    service = service_of(config)
    check = said(service)
    assert check.result == "warn"
    assert f"the key my-key ({file}), which is not in the backup" in check.message
    kept = MinioFacts("2025-09-07T16:13:09Z", encryption(service.config, service.section)).kept
    assert kept == {"minio_encryption": "key my-key"}
    assert SECRET not in f"{check}{kept}"


def test_a_key_in_a_file_of_its_configuration_is_in_the_backup(config: Config, tmp_path: Path) -> None:
    key = tmp_path / "minio/kms.key"
    key.write_text(f"filed:{SECRET}\n")
    describe(config, MINIO_KMS_SECRET_KEY_FILE=str(key))
    check = said(service_of(config))
    assert (check.result, check.message) == (
        "ok",
        "MinIO encrypts with the key filed, which is backed up in config/minio",
    )
    assert said(service_of(config, config=None)).result == "warn"
    assert SECRET not in repr(encryption(config, service_of(config).section))


def test_the_file_of_its_environment_counts_before_its_description(config: Config, tmp_path: Path) -> None:
    describe(config)
    environment = tmp_path / "minio/environment"
    environment.write_text(f"# of the package\nMINIO_KMS_SECRET_KEY='in-file:{SECRET}'\n")
    found = service_of(config, environment=environment)
    assert encryption(found.config, found.section) == Encryption("key in-file", str(environment), kept=True)


def test_the_keys_of_a_server_are_never_in_the_backup(config: Config) -> None:
    describe(config, MINIO_KMS_KES_ENDPOINT="https://kes:7373", MINIO_KMS_KES_KEY_NAME="minio")
    check = said(service_of(config))
    assert check.result == "warn"
    assert "the server minio (https://kes:7373), which is not in the backup" in check.message


def test_without_a_kms_nothing_is_missed_and_without_an_environment_that_is_said(config: Config) -> None:
    describe(config, MINIO_ROOT_USER="root")
    assert said(service_of(config)).message == "MinIO does not encrypt: no KMS is set"
    (config.platform.services / "minio.yaml").unlink()
    assert "can't be determined" in said(service_of(config)).message


def compared(service: Minio, release: str | None, here: str, key: str = "") -> dict[str, str]:
    """What a restore says of another release, or of a backup that is encrypted with `key`."""
    facts = {"minio_encryption": key}
    service.told = Once(lambda: MinioFacts(here, Encryption()))
    return {check.name: check.result for check in service.same(BackedUp(release, facts), Asking())}


def test_data_of_a_newer_minio_is_refused_and_what_cant_be_compared_is_not(config: Config) -> None:
    describe(config)
    service = service_of(config)
    newer, older = "2025-09-07T16:13:09Z", "2024-01-01T00:00:00Z"
    assert compared(service, f"minio {older}", newer) == {}
    assert compared(service, f"minio {newer}", older) == {"version of MinIO": "fail"}
    assert compared(service, "minio DEVELOPMENT.GOGET", newer) == {}
    assert compared(service, None, newer) == {"version of MinIO": "warn"}


def test_a_backup_that_is_encrypted_with_a_key_that_is_not_here_is_refused(config: Config) -> None:
    describe(config)
    assert compared(service_of(config), "minio", "", "key my-key") == {"minio encryption": "fail"}
    describe(config, MINIO_KMS_SECRET_KEY=f"my-key:{SECRET}")
    assert compared(service_of(config), "minio", "", "key my-key") == {}
