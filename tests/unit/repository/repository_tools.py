"""Helpers: a repository with its keys, a folder worth backing up, and what is in a folder."""
# ruff: noqa: PTH114, PTH115, PTH118, PTH123

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from propolis.repository import BackupSummary, Facts, Identity, Location, Repository, Stats, restore_folder
from propolis.repository.format.table import SegmentTable
from propolis.repository.write.begin import begin

TREE = "files/attachments"


@dataclass
class Vault:
    """A repository in a folder, opened once with the host's key and once with the recovery key."""

    folder: Path
    host_key: Identity
    recovery_key: Identity
    host: Repository
    full: Repository
    stats: Stats = field(default_factory=Stats)

    @property
    def location(self) -> Location:
        return Location(str(self.folder))

    def backup(self, source: Path, tree: str = TREE, **options: Any) -> BackupSummary:
        with begin(self.host, "hive", **options) as writer:
            writer.add_folder("files", tree, source, Path("/original"))
            summary = writer.commit(Facts())
        self.stats = writer.stats
        return summary

    def restore(self, summary: BackupSummary, target: Path, tree: str = TREE, **options: Any) -> Any:
        return restore_folder(self.full, self.full.manifest(summary.id), tree, target, **options)

    def objects(self, prefix: str) -> list[Path]:
        return sorted(path for path in (self.folder / prefix).rglob("*") if path.is_file())


def fill(folder: Path, seed: int = 1) -> Path:
    """Files of all kinds: small, empty, large, compressible or not, oddly named, linked, in empty folders."""
    chance = random.Random(seed)
    folder.mkdir()
    (folder / "empty").mkdir()
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep-er").write_bytes(b"next to a folder of similar name")
    (folder / "nothing").write_bytes(b"")
    (folder / "text").write_bytes(b"".join(b"line %d\n" % chance.randrange(999) for _ in range(30_000)))
    (folder / "deep" / "large").write_bytes(chance.randbytes((3 << 20) + 77))
    (folder / "deep" / "exact").write_bytes(chance.randbytes(1 << 20))
    for number in range(40):
        (folder / "deep" / "er" / f"{number:03}").write_bytes(chance.randbytes(chance.randrange(1, 30_000)))
    for name in (b"new\nline", b"tab\tname", b"back\\slash", b"not utf-8 \xff\xfe", b"-", b" space ", "é".encode()):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(b"odd " + name)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "deep" / "odd link").symlink_to("..\n/text")
    (folder / "text").chmod(0o640)
    (folder / "deep").chmod(0o2751)
    os.utime(folder / "text", ns=(1, 1_500_000_000_123_456_789))
    os.utime(folder / "nothing", ns=(7, 7))
    os.utime(folder / "empty", ns=(1, 1_400_000_000_000_000_001))
    os.utime(folder, ns=(1, 1_300_000_000_000_000_000))
    return folder


def listed(path: bytes) -> list[str]:
    """The names of a file's attributes."""
    return os.listxattr(path, follow_symlinks=False)


def snapshot(folder: Path) -> dict[bytes, tuple[Any, ...]]:
    """All that a restore has to bring back: types, modes, owners, times, contents, attributes."""
    found = {}
    root = os.fsencode(folder)
    for where, directories, files in os.walk(root):
        for name in [b".", *files, *[d for d in directories if os.path.islink(os.path.join(where, d))]]:
            path = os.path.join(where, name)
            status = os.lstat(path)
            if os.path.islink(path):
                content = os.readlink(path)
            else:
                content = b"" if name == b"." else Path(os.fsdecode(path)).read_bytes()
            key = os.path.relpath(path, root)
            attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in listed(path)}
            found[key] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, content, attributes)
    return found


def pack_of(table: SegmentTable, segment: str) -> int:
    """The number of the pack that holds a segment."""
    place = table.find(bytes.fromhex(segment))
    assert place is not None, segment
    return place.pack
