"""A stack of fake services whose attachments lie in a real bucket."""

from __future__ import annotations

from collections.abc import Mapping

import obstore
from obstore.store import S3Store

from fakes.stack import FakeStack
from propolis_lab.servers.minio import S3Server


def use_bucket(stack: FakeStack, server: S3Server, bucket: str) -> None:
    """Let the stack's configuration name this bucket in place of its folder of files."""
    for name, key in (("access", server.keys.access), ("secret", server.keys.secret)):
        (stack.root / name).write_text(key)
        (stack.root / name).chmod(0o600)
    file = stack.propolis.config_file
    folder = f"{{kind: folder, folder: {stack.root}/files}}"
    keys = f"access_key: {{file: {stack.root}/access}}, secret_key: {{file: {stack.root}/secret}}"
    assert folder in file.read_text()
    section = f"{{kind: s3, bucket: {bucket}, endpoint: {server.endpoint}, region: us-east-1, {keys}}}"
    file.write_text(file.read_text().replace(folder, section))


def contents(store: S3Store) -> dict[str, bytes]:
    """Every object, by key."""
    names = [item["path"] for item in obstore.list(store).collect()]
    return {name: bytes(obstore.get(store, name).bytes()) for name in names}


def refill(store: S3Store, objects: Mapping[str, bytes]) -> None:
    """Let the bucket hold these objects and nothing else."""
    if present := list(contents(store)):
        obstore.delete(store, present)
    for name, content in objects.items():
        obstore.put(store, name, content)
