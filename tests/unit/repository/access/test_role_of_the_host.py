"""A bucket without keys: those count that AWS hands to the host. AWS itself is played by a server here."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from propolis.command.stores import open_bucket
from propolis.config.schema import S3Files
from propolis.errors import RepositoryError

ROLE = "/latest/meta-data/iam/security-credentials/"
LISTING = """<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>1</KeyCount>
<IsTruncated>false</IsTruncated><Contents><Key>attachment/a</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"e"</ETag><Size>3</Size>
</Contents></ListBucketResult>"""


class Aws:
    """What it handed out, and what it was shown."""

    def __init__(self) -> None:
        self.has_role = True
        self.seen: list[str] = []
        self.url = ""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """The instance's metadata (version 2) and the bucket, on one port."""
    played = Aws()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer("token" if played.has_role else None)

        def do_GET(self) -> None:
            if self.path == ROLE:
                self._answer("backup-role")
            elif self.path == ROLE + "backup-role":
                keys = {"AccessKeyId": "ROLEKEY", "SecretAccessKey": "s", "Token": "t", "Code": "Success"}
                self._answer(json.dumps({**keys, "Expiration": "2099-01-01T00:00:00Z"}))
            elif "list-type=2" in self.path:
                played.seen.append(f"{self.headers['Authorization']} {self.headers['x-amz-security-token']}")
                self._answer(LISTING)
            else:
                self._answer(None)

        def _answer(self, text: str | None) -> None:
            body = (text or "").encode()
            self.send_response(200 if text is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        played.url = f"http://127.0.0.1:{running.server_address[1]}"
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", played.url)
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield played
        finally:
            running.shutdown()
            thread.join()


def test_the_keys_of_the_hosts_role_open_the_bucket(aws: Aws) -> None:
    bucket = open_bucket(S3Files(bucket="b", endpoint=aws.url))
    assert [meta.key for meta in bucket.list()] == ["attachment/a"]
    (shown,) = aws.seen
    assert "Credential=ROLEKEY/" in shown
    assert shown.endswith(" t")


def test_a_host_without_a_role_is_told_so_in_time(aws: Aws) -> None:
    aws.has_role = False
    with pytest.raises(RepositoryError) as caught:
        list(open_bucket(S3Files(bucket="b", endpoint=aws.url)).list())
    assert "role" in str(caught.value)
    assert aws.seen == []
