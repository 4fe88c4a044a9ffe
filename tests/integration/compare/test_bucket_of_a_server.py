"""A real bucket is compared with its backup, and objects come out of that as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from propolis.compare import compare_live
from propolis.config.fields import SecretRef
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import S3Files
from propolis.repository import BackupId, Facts, Identity, Location, Repository, begin
from propolis.repository.browse.extract import choose, extract
from propolis.s3.endpoint import Endpoint
from propolis.s3.objects import ObjectMeta
from propolis.stack.files.bucket import S3Bucket
from propolis_lab.servers.minio import S3Server

OBJECTS = {
    "3f/3fab": b"one",
    "3f-x": b"between",
    "a": b"x" * 3_000_000,
    "é": b"three",
    "empty": b"",
    "z": b"gone later",
}


def test_a_real_bucket_is_compared_and_extracted(
    minio: S3Server, new_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_ACCESS_KEY", minio.keys.access)
    monkeypatch.setenv("THE_SECRET_KEY", minio.keys.secret)
    files = S3Files(
        bucket=new_bucket,
        prefix="hive",
        endpoint=minio.endpoint,
        access_key=SecretRef(env="THE_ACCESS_KEY"),
        secret_key=SecretRef(env="THE_SECRET_KEY"),
    )
    text = sample().replace("# state: /var/lib/propolis", f"state: {tmp_path}/state")
    (tmp_path / "propolis.yaml").write_text(text)
    config = load(tmp_path / "propolis.yaml").model_copy(update={"files": files})
    bucket = S3Bucket.open(
        new_bucket, "hive", Endpoint(minio.endpoint, access_key=minio.keys.access, secret_key=minio.keys.secret)
    )

    def put(key: str, data: bytes) -> None:
        bucket.put(ObjectMeta(key, len(data), content_type="text/plain", metadata={"from": "here"}), [data])

    for key, data in OBJECTS.items():
        put(key, data)
    host = Identity.generate()
    repository = Repository.init(Location(f"{tmp_path}/vault"), [host.recipient], host)
    with begin(repository, "thehive") as writer:
        writer.add_bucket("files", "files/bucket", bucket, f"s3://{new_bucket}/hive")
        id = writer.commit(Facts()).id

    def changes(content: bool) -> dict[bytes, tuple[str, str]]:
        found = compare_live(config, repository, BackupId(id), ("files",), content=content)
        told: dict[bytes, tuple[str, str]] = {}
        for tree in found.trees:
            told |= {change.path: (change.kind, "".join(change.what[:1])) for change in tree.changes}
        assert found.unread == []
        return told

    assert changes(content=False) == changes(content=True) == {}
    put("3f-x", b"BETWEEN")
    put("new", b"new")
    bucket.delete("z")
    for content, what in ((False, "etag"), (True, "content")):
        assert changes(content) == {b"3f-x": ("changed", what), b"new": ("added", ""), b"z": ("removed", "")}
    result = extract(repository, choose(repository.manifest(id), ["files/bucket"], tmp_path / "out"))
    root = tmp_path / "out/files/bucket"
    assert (result.files, result.unnamable) == (len(OBJECTS), ())
    written = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert written == OBJECTS
