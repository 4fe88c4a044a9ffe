"""The script of docs/restore-without-propolis.md restores a backup by itself."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest

from propolis.repository import Facts, Identity, ObjectMeta, write_identity
from unit.repository.repository_tools import TREE, fill, snapshot

PAGE = Path(__file__).parents[3] / "docs" / "restore-without-propolis.md"
TOOLS = [
    *("age", "zstd", "awk", "sh", "mktemp", "rm", "mv", "head", "sed", "basename", "dirname", "mkdir", "sort", "dd"),
    *("tac", "stat", "id", "chown", "chmod", "touch", "ln", "wc", "cat", "base64"),
]


@pytest.fixture
def script(tmp_path: Any) -> Any:
    """The page's script, and a PATH on which only the promised programs are."""
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, f"the program {tool} is missing"
        (tmp_path / "bin" / tool).symlink_to(found)
    path = tmp_path / "restore.sh"
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
    assert block, f"{PAGE} holds no script"
    path.write_text(block[1])

    def run(*arguments: Any) -> Any:
        return subprocess.run(
            ["/bin/sh", str(path), *map(str, arguments)],
            env={"PATH": str(tmp_path / "bin")},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def key(vault: Any, tmp_path: Any) -> Any:
    write_identity(tmp_path / "recovery.key", vault.recovery_key)
    return tmp_path / "recovery.key"


class Bucket:
    """A bucket in memory."""

    objects: ClassVar = {"attachment/a b": b"content", "attachment/é\\": os.urandom(2 << 20), "empty": b""}

    def list(self) -> Any:
        for name, content in sorted(self.objects.items(), key=lambda item: item[0].encode()):
            yield ObjectMeta(name, len(content), f'"{name}"', 1_600_000_000_000_000_000)

    def open_object(self, key: Any) -> Any:
        content = self.objects[key]
        meta = ObjectMeta(key, len(content), f'"{key}"', 1_600_000_000_000_000_000, "text/x\\y", {"owner": "é"})
        return meta, iter([content[:5], content[5:]])


def test_the_script_restores_byte_identically(vault: Any, source: Any, key: Any, script: Any, tmp_path: Any) -> None:
    vault.backup(source)
    (source / "added").write_bytes(b"later")
    with vault.host.writer("hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        writer.add_folder("database", "database/data-0", fill(tmp_path / "second", 2), Path("/data"))
        writer.add_bucket("files", "files/bucket", Bucket(), "s3://bucket")
        writer.commit(Facts())
    done = script(vault.folder, key, "latest", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert snapshot(tmp_path / "out" / TREE) == snapshot(source)
    assert snapshot(tmp_path / "out" / "database/data-0") == snapshot(tmp_path / "second")
    bucket = tmp_path / "out" / "files/bucket"
    for name, content in Bucket.objects.items():
        assert (bucket / name).read_bytes() == content
    assert b'{"etag":"\\"empty\\"","content_type":"text/x\\\\y"' in (tmp_path / "out" / "objects.tsv").read_bytes()
    assert b'"original":"s3://bucket"' in (tmp_path / "out" / "header.json").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "database",
        "files",
        "header.json",
        "objects.tsv",
    ]


def test_the_script_stops_at_damage_and_at_another_key(
    vault: Any, source: Any, key: Any, script: Any, tmp_path: Any
) -> None:
    summary = vault.backup(source)
    write_identity(tmp_path / "other.key", Identity.generate())
    done = script(vault.folder, tmp_path / "other.key", summary.id[:17], tmp_path / "one")
    assert done.returncode == 1
    assert "the identity is another's" in done.stderr
    pack = vault.objects("packs")[0]
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    done = script(vault.folder, key, summary.id[:17], tmp_path / "two")
    assert done.returncode == 1
    assert pack.name in done.stderr
    done = script(vault.folder, key, "2000", tmp_path / "three")
    assert "there is no backup 2000" in done.stderr
