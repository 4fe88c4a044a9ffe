"""The sets that versions of Propolis left for their successors to read: a folder each, named by its version.

What is in a set:

    repository.tar.xz          a repository, as it lay in its folder
    TEST-KEY-recovery.txt      its recovery key, which opens that one and nothing else in the world
    TEST-KEY-host.txt          its host's key
    known-repositories.json    what that host remembered of it
    repository.json            what that version said of it, and what it restored from it
    runs.tar.xz                a folder for each run that was killed: the stack's files, its journal among them
    runs.json                  what that version said of each of these runs, and made of it
    bucket-runs.tar.xz, .json  the same with attachments in a bucket, and its objects
    configurations/            configurations, each beside the values that it was read as

In `known-repositories.json`, `runs.json` and the runs' state, `{FOLDER}` stands for the folder that all of it lay in,
`{ADDRESS}` for that of the services, and `{ENDPOINT}` for the bucket's.
`make.py` makes a set with the version that it belongs to.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

RECOVERY_KEY = "TEST-KEY-recovery.txt"
HOST_KEY = "TEST-KEY-host.txt"
KNOWN = "known-repositories.json"


@dataclass(frozen=True)
class Set:
    """What one version left."""

    folder: Path

    @property
    def version(self) -> str:
        return self.folder.name

    def read(self, name: str, **values: object) -> Any:
        """The content of one of its JSON files, with these values for its placeholders."""
        return json.loads(fill((self.folder / name).read_text(), **values))

    def unpack(self, name: str, folder: Path) -> None:
        """Unpack one of its archives into a new folder."""
        folder.mkdir(mode=0o700)
        with tarfile.open(self.folder / name) as archive:
            archive.extractall(folder, filter="fully_trusted")

    def lay_key(self, name: str, path: Path) -> None:
        """Copy one of its keys to where it may be used: git keeps no modes."""
        path.touch(mode=0o600)
        path.write_text((self.folder / name).read_text())


def fill(text: str, **values: object) -> str:
    """Put values in place of placeholders, such as `{FOLDER}`."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def sets() -> list[Set]:
    """Every version's, oldest first."""
    return [Set(path.parent) for path in sorted(HERE.glob("*/repository.json"), key=_age)]


def _age(path: Path) -> list[int]:
    return [int(part) for part in path.parent.name.split(".") if part.isdigit()]


def pack(folder: Path, archive: Path, content: Callable[[Path], bytes | None] = lambda path: None) -> None:
    """Pack what is in a folder; the same folder gives the same archive. `content` may give a file another content."""
    with tarfile.open(archive, "w:xz", format=tarfile.PAX_FORMAT, preset=9) as packed:
        for path in sorted(folder.rglob("*")):
            info = packed.gettarinfo(path, str(path.relative_to(folder)))
            info.uname = info.gname = ""
            if not info.isreg():
                packed.addfile(info)
                continue
            data = content(path)
            data = path.read_bytes() if data is None else data
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))


def copy_folder(
    source: Path, target: Path, leave_out: Callable[[str, list[str]], set[str]] = lambda where, names: set()
) -> None:
    """Copy a folder's content into another one; names of one file stay names of one file."""
    first: dict[tuple[int, int], str] = {}

    def copy(name: str, into: str) -> None:
        status = os.lstat(name)
        known = first.setdefault((status.st_dev, status.st_ino), into)
        if known == into:
            shutil.copy2(name, into)
        else:
            os.link(known, into)

    shutil.copytree(source, target, symlinks=True, ignore=leave_out, copy_function=copy, dirs_exist_ok=True)


def digests(content: Mapping[str, str]) -> dict[str, str]:
    """What identifies each file's content, by path."""
    return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in content.items()}


def lacks(new: Any, old: Any, where: str = "") -> list[str]:
    """Where `new` differs from `old`, other than by keys that `old` doesn't have: versions may tell more."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        gone = [f"{where}.{key} is gone" for key in old if key not in new]
        return gone + [line for key in old if key in new for line in lacks(new[key], old[key], f"{where}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for n, (a, b) in enumerate(zip(new, old, strict=True)) for line in lacks(a, b, f"{where}[{n}]")]
    return [] if new == old else [f"{where}: {new!r} instead of {old!r}"]
