"""A bucket's keys are tried before a restore: those of this host, and those that the restored settings bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from propolis.config import hocon
from propolis.config.fields import SecretRef
from propolis.config.schema import S3Files
from propolis.errors import ConfigError, PreflightError, RepositoryError
from propolis.restore.bucket import keys as bucket_keys
from propolis.restore.bucket.keys import try_keys

GOOD = ("good-access", "good-secret")


class FakeBucket:
    def __init__(self, keys: tuple[str, str] | None, tried: list[tuple[str, str] | None]) -> None:
        self.keys = keys
        self.tried = tried

    def list(self) -> Iterator[object]:
        self.tried.append(self.keys)
        if self.keys != GOOD:
            raise RepositoryError("The bucket s3://files can't be listed: the access key is wrong")
        yield from ()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str] | None]:
    tried: list[tuple[str, str] | None] = []
    monkeypatch.setattr(bucket_keys, "open_bucket", lambda bucket, keys: FakeBucket(keys, tried))
    return tried


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> S3Files:
    monkeypatch.setenv("ACCESS", GOOD[0])
    monkeypatch.setenv("SECRET", GOOD[1])
    return S3Files(bucket="files", access_key=SecretRef(env="ACCESS"), secret_key=SecretRef(env="SECRET"))


def backed_up(access: str, secret: str) -> Callable[[], hocon.Hocon]:
    text = f'storage.s3 {{ accessKey = "{access}", secretKey = "{secret}" }}'
    return lambda: hocon.parse(text, Path("backup"))


def test_keys_of_this_host_that_open_it_are_enough(bucket: S3Files, tried: list[object]) -> None:
    try_keys(bucket, None)
    try_keys(bucket, backed_up(*GOOD))
    assert tried == [GOOD, GOOD]


def test_refused_keys_of_this_host_are_named_before_anything_is_touched(
    bucket: S3Files, tried: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "wrong")
    with pytest.raises(
        PreflightError, match=r"files\.access_key and files\.secret_key.*Nothing was changed"
    ) as caught:
        try_keys(bucket, None)
    assert "wrong'" not in str(caught.value)


def test_refused_keys_of_the_restored_settings_are_named(bucket: S3Files, tried: list[object]) -> None:
    with pytest.raises(PreflightError, match=r"storage\.s3.*--only database,index,files") as caught:
        try_keys(bucket, backed_up("old-access", "old-secret"))
    assert "old-secret" not in str(caught.value)


def test_settings_that_can_not_be_had_are_no_reason_to_refuse(bucket: S3Files, tried: list[object]) -> None:
    def unreadable() -> hocon.Hocon:
        raise ConfigError("no settings")

    try_keys(bucket, unreadable)
    assert tried == [GOOD]
