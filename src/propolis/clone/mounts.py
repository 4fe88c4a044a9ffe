"""What the kernel says about mounts: a clone can only share blocks within one of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


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
    """Return every mount point strictly below a resolved folder (proc(5), `/proc/PID/mountinfo`, field 5)."""
    prefix = os.fsencode(folder).rstrip(b"/") + b"/"
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        spelled = line.split(b" ")[4].decode("latin-1")
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), spelled).encode("latin-1")
        if point.startswith(prefix):
            found.append(Path(os.fsdecode(point)))
    return found
