"""Stand-ins for TheHive and Cortex: real JanusGraph data and real indices behind like settings and HTTP paths.

`build` compiles it once; `command` is how to start it. The README beside this file describes settings and paths.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from propolis.errors import IntegrityError
from propolis_lab.programs.building import make_once, run

_HERE: Final = Path(__file__).parent
_SOURCES: Final = ("pom.xml", "java", "resources", "jars.sha256")
_FLAGS: Final = (
    "-Xms128m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Xlog:cds=off,cds+dynamic=off",
    "-Djava.net.preferIPv4Stack=true",
)
_SMALL: Final = ("-Xms32m", "-Xmx96m", *_FLAGS[2:])
_ARCHIVE: Final = "classes.jsa"


def build(cache: Path, java_home: Path) -> list[Path]:
    """Compile the stand-in unless the cache holds this very version; return its class path.

    `java_home` is a JDK 17. Raises PreflightError if Maven is missing or fails, IntegrityError if the fetched
    libraries are not those of `jars.sha256`.
    """
    folder = cache / f"standin-{_fingerprint()}"

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            for name in _SOURCES:
                source = _HERE / name
                copied = Path(scratch) / name
                if source.is_dir():
                    shutil.copytree(source, copied)
                else:
                    shutil.copy(source, copied)
            built = Path(scratch) / "target"
            run(
                ["mvn", "-B", "-q", "-f", Path(scratch) / "pom.xml", f"-Dtarget.folder={built}", "package",
                 "dependency:copy-dependencies"],
                java_home,
            )  # fmt: skip
            _check(built / "lib")
            shutil.copy(built / "standin-1.jar", target)
            shutil.copytree(built / "lib", target / "lib")
        target.chmod(0o755)

    make_once(folder, make)
    classpath = [folder / "standin-1.jar", *sorted((folder / "lib").glob("*.jar"))]

    def rehearse(target: Path) -> None:
        run(
            [java_home / "bin" / "java", *_FLAGS, f"-XX:ArchiveClassesAtExit={target / _ARCHIVE}",
             "-cp", ":".join(map(str, classpath)), "org.propolis.standin.Rehearsal"],
            java_home,
        )  # fmt: skip
        target.chmod(0o755)

    make_once(_rehearsed(folder, java_home), rehearse)
    return classpath


def command(java: Path, classpath: Sequence[Path], application_conf: Path, *, cortex: bool = False) -> list[str]:
    """Return the command line that starts the stand-in for TheHive, or Cortex, with a small heap and quickly.

    `java` should be that of the JDK given to `build`: an archive of classes made by another is ignored.
    """
    archive = _rehearsed(classpath[0].parent, java.resolve().parent.parent) / _ARCHIVE
    return [
        str(java),
        *(_SMALL if cortex else _FLAGS),
        *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
        "-cp",
        ":".join(map(str, classpath)),
        "org.propolis.standin.cortex.Main" if cortex else "org.propolis.standin.Main",
        str(application_conf),
    ]


def _rehearsed(folder: Path, java_home: Path) -> Path:
    """Where the archive of loaded classes lies that this very JDK made of this very build."""
    release = java_home.resolve() / "release"
    known = release.read_bytes() if release.exists() else str(java_home).encode()
    return folder.with_name(f"{folder.name}-{hashlib.sha256(known).hexdigest()[:8]}")


def _check(folder: Path) -> None:
    """Compare every library with its pinned sum; none may be missing or added."""
    pinned: dict[str, str] = {}
    for line in (_HERE / "jars.sha256").read_text().splitlines():
        digest, name = line.split("  ")
        pinned[name] = digest
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.iterdir()}
    if found != pinned:
        names = sorted(name for name in found.keys() | pinned.keys() if found.get(name) != pinned.get(name))
        raise IntegrityError(
            f"Libraries of the stand-in are not the pinned ones: {', '.join(names)}",
            left="Nothing was put into the cache",
            next="Find out why before changing jars.sha256",
        )


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in _SOURCES:
        source = _HERE / name
        for file in [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(_HERE)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
