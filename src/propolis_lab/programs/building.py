"""Things that are made once and then kept in a cache which several processes share."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from propolis.errors import PreflightError


def make_once(folder: Path, make: Callable[[Path], None]) -> None:
    """Let `make` fill a new folder, then give it its name in one step; do nothing if `folder` is there.

    A second process that wants the same folder waits; what a failed or killed one left is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        for left in folder.parent.glob(f".{folder.name}.part-*"):
            shutil.rmtree(left)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
        try:
            make(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def run(command: Sequence[str | Path], java_home: Path) -> None:
    """Run a build tool; raise PreflightError with the end of its output if it fails or is missing."""
    try:
        subprocess.run(
            [str(part) for part in command],
            env={**os.environ, "JAVA_HOME": str(java_home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError as missing:
        raise PreflightError(
            f"{command[0]} is missing", next="Install Maven and a JDK 17 (Debian: maven, openjdk-17-jdk-headless)"
        ) from missing
    except subprocess.CalledProcessError as failed:
        output = (failed.stdout + failed.stderr).strip()[-2000:]
        raise PreflightError(f"{Path(str(command[0])).name} failed: {output}") from failed
