"""Finds an installed Java of a fitting major version."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from propolis_lab import artefacts
from propolis_lab.errors import LabError, MissingError

_FOLDERS = (Path("/usr/lib/jvm"), Path("/opt/java"))
DEBIAN_PACKAGE = "openjdk-17-jdk-headless"


@dataclass(frozen=True)
class Java:
    """An installed Java."""

    home: Path
    major: int

    @property
    def program(self) -> Path:
        """The `java` launcher."""
        return self.home / "bin" / "java"


def find(majors: Sequence[int] = (17,)) -> Java:
    """The first Java of one of these major versions that has a compiler: `JAVA_HOME`, else under /usr/lib/jvm.

    Raises MissingError that names the Debian package.
    """
    candidates = [Path(home)] if (home := os.environ.get("JAVA_HOME")) else []
    for folder in _FOLDERS:
        if folder.is_dir():
            candidates += sorted(p for p in folder.iterdir() if p.is_dir())
    found = []
    for candidate in candidates:
        major = _major(candidate)
        if major is not None and _usable(candidate):
            found.append(Java(candidate.resolve(), major))
    for wanted in majors:
        for java in found:
            if java.major == wanted:
                return java
    names = " or ".join(str(major) for major in majors)
    here = ", ".join(f"{j.major} in {j.home}" for j in found) or "none"
    raise MissingError(
        f"The lab needs Java {names} with a compiler; found: {here}",
        next=f"Install it: apt-get install {DEBIAN_PACKAGE.replace('17', str(majors[0]))}, or set JAVA_HOME",
    )


def _major(home: Path) -> int | None:
    """Read from the `release` file that every JDK has, instead of starting it."""
    try:
        match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) if match else None


def _usable(home: Path) -> bool:
    try:
        artefacts.require_reachable(home.resolve())
    except LabError:
        return False
    return os.access(home / "bin" / "java", os.X_OK) and os.access(home / "bin" / "javac", os.X_OK)
