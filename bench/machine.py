"""What a benchmark's results say of the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def machine() -> str:
    """Describe processor, memory, system and Python in one line."""
    processor = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} × {processor}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"
    )


def filesystem(folder: Path) -> str:
    """Return the type of the filesystem that a folder lies on."""
    told = subprocess.run(["df", "--output=fstype", str(folder)], check=True, capture_output=True, text=True)
    return told.stdout.split()[-1]
