"""Errors of storages: read from their own words, and never forgotten."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError, NotFoundError

from propolis.errors import RepositoryError
from propolis.repository.storage import folder as folder_module
from propolis.repository.storage.base import ObjectExistsError
from propolis.repository.storage.folder import FolderStorage
from propolis.s3.errors import explain, is_missing, told

NAME = "packs/50/403507tlscertificateUnknownIssuer"


def answer(status: str, body: str) -> str:
    return (
        f"Generic S3 error: Error performing PUT http://127.0.0.1:9002/bucket/{NAME} in 1ms - "
        f"Server returned non-2xx status code: {status}: {body}\n\nDebug source:\nGeneric {{\n    uri: Some(\n"
        f"        http://127.0.0.1:9002/{NAME},\n    ),\n}}"
    )


def broken(kind: str, inner: str) -> str:
    return (
        "Generic S3 error: Error performing GET - HTTP error: error sending request\n\nDebug source:\nRetryError(\n"
        f"    uri: Some(\n        http://127.0.0.1:9002/{NAME},\n    ),\n    HttpError {{\n"
        f"        kind: {kind},\n        source: {inner}\n    }}\n)"
    )


def xml(code: str, message: str = "Something &#39;odd&#39;\nhappened.") -> str:
    return f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{message}</Message><Key>{NAME}</Key></Error>'


@pytest.mark.parametrize(
    ("text", "reason", "passing"),
    [
        (answer("403 Forbidden", xml("RequestTimeTooSkewed")), "clock", False),
        (answer("403 Forbidden", xml("AccessDenied")), "may not do this", False),
        (answer("403 Forbidden", xml("SignatureDoesNotMatch")), "key is wrong", False),
        (answer("403 Forbidden", ""), "may not do this", False),
        (answer("401 Unauthorized", ""), "key is wrong", False),
        (answer("301 Moved Permanently", xml("PermanentRedirect")), "another region", False),
        (answer("404 Not Found", xml("NoSuchBucket")), "no such bucket", False),
        (answer("507 Insufficient Storage", xml("XMinioStorageFull")), "storage is full", False),
        (answer("503 Service Unavailable", xml("SlowDown")), "overloaded", True),
        (answer("500 Internal Server Error", ""), "overloaded", True),
        (answer("502 Bad Gateway", "<html><h1>nginx</h1></html>"), "it answers 502: nginx", True),
        (answer("400 Bad Request", xml("Strange")), "it answers 400: Something 'odd' happened", False),
        (answer("418 I'm a teapot", ""), "it answers 418", False),
        (broken("Connect", 'ConnectError("tcp connect error", refused)'), "doesn't answer", True),
        (broken("Connect", 'ConnectError("dns error", x)'), "host name is not known", True),
        (broken("Connect", "InvalidCertificate(Expired)"), "not valid at this time", False),
        (broken("Timeout", "reqwest::Error { kind: Request, source: TimedOut }"), "in time", True),
        (broken("Interrupted", "hyper::Error(IncompleteMessage)"), "connection broke", True),
        ("Could not parse path: it is odd", "Could not parse path: it is odd", False),
    ],
)
def test_an_s3_error_is_read_by_its_code_and_not_by_names_in_it(text: str, reason: str, passing: bool) -> None:
    error = GenericError(text)
    explained = explain(error, "The repository", "be written")
    assert reason in explained.what
    assert "\n" not in str(explained)
    assert "Debug source" not in str(explained)
    assert told(error).passing is passing


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (NotFoundError(answer("404 Not Found", xml("NoSuchKey"))), True),
        (FileNotFoundError(answer("404 Not Found", "")), True),
        (FileNotFoundError(answer("404 Not Found", xml("NoSuchBucket"))), False),
        (FileNotFoundError(answer("404 Not Found", xml("XAdminUserNotFound"))), False),
        (GenericError(answer("400 Bad Request", xml("NoSuchKey"))), False),
    ],
)
def test_only_an_object_that_is_not_there_is_missing(error: Exception, missing: bool) -> None:
    assert is_missing(error) is missing


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    storage = FolderStorage(tmp_path / "vault")
    storage.prepare()
    return storage


def test_a_write_that_was_lost_once_is_never_called_durable(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("packs/aa/one", b"x")

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "_sync", fail)
        with pytest.raises(RepositoryError, match="Input/output error"):
            storage.flush()
    for _ in range(2):
        with pytest.raises(RepositoryError, match="Input/output error"):
            storage.flush()


def test_what_is_deleted_before_a_flush_is_no_loss(storage: FolderStorage) -> None:
    storage.put("packs/aa/one", b"x")
    storage.put("packs/bb/two", b"x")
    storage.delete("packs/aa/one")
    storage.flush()
    assert [stored.name for stored in storage.list("packs")] == ["packs/bb/two"]


@pytest.mark.parametrize("links", [True, False])
def test_a_created_object_is_whole_or_not_there(
    storage: FolderStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refuse(self: Path, target: Path) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    storage.put("locks/one", b"mine", create=True)
    with pytest.raises(ObjectExistsError):
        storage.put("locks/one", b"others", create=True)
    assert bytes(storage.get("locks/one", 10)) == b"mine"

    def full(file: int, data: Any, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(RepositoryError, match="No space left"):
            storage.put("locks/two", b"x", create=True)
    assert storage.size("locks/two") is None
    assert [path.name for path in (tmp_path / "vault").rglob("*") if path.is_file()] == ["one"]
