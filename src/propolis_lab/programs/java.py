"""Finds an installed Java of a fitting major version."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from propolis_lab.errors import LabError, MissingError
from propolis_lab.programs import artefacts

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

    def archive_of(self, folder: Path) -> Path:
        """Where the archive of classes lies that this very Java loaded from a folder of the cache, if it was made."""
        known = hashlib.sha256((self.home / "release").read_bytes()).hexdigest()[:8]
        return folder.with_name(f"{folder.name}-{known}") / "classes.jsa"


def find(majors: Sequence[int] = (17,), *, compiler: bool = True) -> Java:
    """The first Java of one of these major versions: `JAVA_HOME`, else under /usr/lib/jvm.

    Servers need no `compiler`. Raises MissingError that says what to install. (Java 25 is in no package of Debian 12;
    those of Python that carry one lack modules, `jdk.jdi` and locales, without which neither Elasticsearch 9.5 nor
    OpenSearch 3.6 starts.)
    """
    installed = [java for java in _installed() if _runs(java.home, "javac") or not compiler]
    for wanted in majors:
        for java in installed:
            if java.major == wanted:
                return java
    names = " or ".join(str(major) for major in majors)
    here = ", ".join(f"{j.major} in {j.home}" for j in installed) or "none"
    how = f"apt-get install {DEBIAN_PACKAGE}" if 17 in majors else f"a full JDK {names} under {_FOLDERS[0]}"
    raise MissingError(
        f"The lab needs Java {names}{' with a compiler' if compiler else ''}; found: {here}",
        next=f"Install it: {how}, or set JAVA_HOME",
    )


def _installed() -> list[Java]:
    candidates = [Path(home)] if (home := os.environ.get("JAVA_HOME")) else []
    for folder in _FOLDERS:
        if folder.is_dir():
            candidates += sorted(p for p in folder.iterdir() if p.is_dir())
    found = []
    for candidate in candidates:
        java = _described(candidate)
        if java is not None and _runs(candidate, "java") and _reachable(candidate):
            found.append(java)
    return found


def _described(home: Path) -> Java | None:
    """Read from the `release` file that every JDK has, instead of starting it."""
    try:
        text = (home / "release").read_text()
    except OSError:
        return None
    major = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return Java(home.resolve(), int(major[1])) if major else None


def _runs(home: Path, program: str) -> bool:
    return os.access(home / "bin" / program, os.X_OK)


def _reachable(home: Path) -> bool:
    try:
        artefacts.require_reachable(home.resolve())
    except LabError:
        return False
    return True
