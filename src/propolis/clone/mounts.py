"""What the kernel says about mounts: a clone can only share blocks within one of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of `/proc/self/mountinfo` (proc(5))."""

    device: str
    """The filesystem, as major:minor."""
    root: Path
    """Which of its folders is shown: `/`, but for bind mounts and subvolumes."""
    point: Path
    """Where it is shown."""


def mounts() -> list[Mount]:
    """Return every mount, in the order in which they were made: a later one hides an earlier one at its point."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        _, _, device, root, point, *_ = line.split(b" ")
        found.append(Mount(device.decode(), _unescaped(root), _unescaped(point)))
    return found


def mount_id(folder: Path) -> int:
    """Return the number of the mount a folder lies on (proc(5), `/proc/PID/fdinfo`).

    Unlike `st_dev` it tells a bind mount from the filesystem it shows, across which no file can be linked.
    """
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
    finally:
        os.close(fd)
    return next(int(line.removeprefix("mnt_id:")) for line in lines if line.startswith("mnt_id:"))


def mounts_below(folder: Path) -> list[Path]:
    """Return every mount point strictly below a resolved folder."""
    return [mount.point for mount in mounts() if mount.point != folder and mount.point.is_relative_to(folder)]


def _unescaped(field: bytes) -> Path:
    spelled = field.decode("latin-1")
    return Path(os.fsdecode(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), spelled).encode("latin-1")))
