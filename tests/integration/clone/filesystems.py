"""Small real file systems in files, mounted for one test."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = {"mkfs.xfs": "xfsprogs", "mkfs.btrfs": "btrfs-progs", "mkfs.ext4": "e2fsprogs", "mount": "mount"}


@contextmanager
def mounted(kind: str, scratch: Path, megabytes: int) -> Iterator[Path]:
    """Make a file system of a kind (xfs, btrfs, ext4), mount it, and unmount it at the end."""
    for program in (f"mkfs.{kind}", "mount"):
        assert shutil.which(program), f"{program} is missing: install Debian's {PACKAGES[program]}"
    image, point = scratch / f"{kind}.img", scratch / kind
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    point.mkdir()
    run(f"mkfs.{kind}", "-q", str(image))
    try:
        run("mount", "-o", "loop", str(image), str(point))
        try:
            yield point
        finally:
            run("umount", "--recursive", str(point))
    finally:
        image.unlink()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


@contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """Mount one folder at another."""
    run("mount", "--bind", str(source), str(target))
    try:
        yield
    finally:
        run("umount", str(target))
