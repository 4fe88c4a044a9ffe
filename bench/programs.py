"""The programs that Propolis is measured against: fetched once into the lab's cache, their versions checked.

restic, borg and age come from Debian 13 (trixie), wherever this machine's apt gets its packages from, with the
libraries they were made for; nothing is installed. mc and rustic are built.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from propolis_lab.errors import LabError, MissingError
from propolis_lab.programs import artefacts, go
from propolis_lab.programs.artefacts import program as installed

MC = go.GoProgram(
    "mc",
    "github.com/minio/mc",
    "v0.0.0-20250313080218-cf909e1063a9",
    "ad3e5dffeb593637648695d63d2b34383e678a72580f6bf0a65e2354858b94cb",
    (1, 23),
)
RUSTIC = "0.11.4"
_SUITE = "trixie"
_PEERS = {"restic": "0.18.", "borg": "1.4.", "age": "1.2."}
"""Of each program, how its version begins."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Program:
    """How a program is started, and its version."""

    command: tuple[str, ...]
    version: str
    environment: Mapping[str, str] = field(default_factory=dict)


def find(name: str) -> Program:
    """Get a program, fetched or built if need be. Raises LabError that names the one that can't be had."""
    return _WAYS[name]()


def _from_debian(name: str) -> Program:
    root = artefacts.cache() / f"bench-peers-{_SUITE}"
    with artefacts.being_made(root) as part:
        if part is not None:
            _unpack(part)
    loader, libraries, python = _runtime(root)
    binary = root / "usr/bin" / name
    if not binary.exists():
        raise MissingError(f"{name} is not in {root}", next="Remove that folder: it is then fetched again")
    command = [str(loader), "--library-path", str(libraries)]
    environment: dict[str, str] = {}
    if name == "borg":
        command.append(str(python))
        environment = {"PYTHONHOME": str(root / "usr")}
    command.append(str(binary))
    version = _version([*command, "version" if name == "restic" else "--version"], environment)
    if not version.startswith(_PEERS[name]):
        raise LabError(f"{name} {version} was found in {root}, where {_PEERS[name]}x was expected")
    return Program(tuple(command), version, environment)


def _unpack(folder: Path) -> None:
    """Fetch the programs and all that they need through an apt of our own, which keeps nothing of the machine's."""
    mirror = _mirror()
    apt, state = installed("apt-get", "apt"), folder / "apt"
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True)
    (state / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {_SUITE} main\n")
    (state / "status").touch()  # nothing is there yet: libraries are fetched, too
    settings = {
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": state / "lists",
        "Dir::State::Status": state / "status",
        "Dir::Cache::Archives": state / "archives",
        "Dir::Cache::PkgCache": "",
        "Dir::Cache::SrcPkgCache": "",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    artefacts.run([apt, *options, "-qq", "update"], f"Reading the list of Debian {_SUITE}")
    wanted = ("restic", "borgbackup", "age")
    fetch = [apt, *options, "-qq", "-y", "--download-only", "install", *wanted]
    artefacts.run(fetch, f"Fetching {', '.join(wanted)} of Debian {_SUITE}")
    for package in sorted((state / "archives").glob("*.deb")):
        artefacts.run([installed("dpkg", "dpkg"), "-x", str(package), str(folder)], f"Unpacking {package.name}")
    shutil.rmtree(state)
    _compile(folder)


def _compile(folder: Path) -> None:
    """Compile borg's Python code, as Debian does when it installs it."""
    loader, libraries, python = _runtime(folder)
    command = [str(loader), "--library-path", str(libraries), str(python), "-m", "compileall", "-q"]
    modules = [str(path) for path in sorted(folder.glob("usr/lib/python3*"))]
    artefacts.run([*command, *modules], "Compiling borg", {"PYTHONHOME": str(folder / "usr")})


def _runtime(root: Path) -> tuple[Path, Path, Path]:
    """The loader, the libraries and the Python among what was unpacked."""
    patterns = ("usr/lib*/ld-linux-*.so.*", "usr/lib/*-linux-gnu*", "usr/bin/python3.[0-9]*")
    found = [next(iter(sorted(root.glob(pattern))), None) for pattern in patterns]
    loader, libraries, python = found
    if loader is None or libraries is None or python is None:
        raise MissingError(f"{root} is not whole", next="Remove that folder: it is then fetched again")
    return loader, libraries, python


def _mirror() -> str:
    """Where this machine's apt gets Debian's packages from."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    command = ["apt-get", "indextargets", "Created-By: Packages", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)"]
    installed("apt-get", "apt")
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        release, component, address = line.split(" ", 2)
        if (release, component) == (codename, "main") and _KEYRING.exists():
            return address
    raise MissingError(
        "restic 0.18, borg 1.4 and age are fetched from Debian, and this machine's apt has no source of Debian",
        next="Run the benchmark on Debian, or choose --tools without them",
    )


def _zstd() -> Program:
    path = installed("zstd", "zstd")
    told = _told([path, "--version"])
    return Program((path,), next((word.strip("v,") for word in told.split() if word.startswith("v")), "unknown"))


def _from_system(name: str, package: str) -> Program:
    path = installed(name, package)
    return Program((path,), _told([path, "--version"]).splitlines()[0].split()[-1])


def _mc() -> Program:
    path = str(go.build(MC))
    return Program((path,), MC.version.split("-")[1][:8])


def _rustic() -> Program:
    target = artefacts.cache() / f"rustic-{RUSTIC}"
    with artefacts.being_made(target) as part:
        if part is not None:
            cargo = installed("cargo", "cargo")
            command = [cargo, "install", "--quiet", "--locked", "--root", str(part), f"rustic-rs@{RUSTIC}"]
            scratch = {"CARGO_TARGET_DIR": str(part / "target")}
            artefacts.run(command, "Building rustic", scratch)
            shutil.rmtree(part / "target")
    path = str(target / "bin/rustic")
    return Program((path,), _version([path, "--version"], {}))


def _version(command: list[str], environment: Mapping[str, str]) -> str:
    """The first word that looks like a version."""
    words = _told(command, environment).split()
    return next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit()), "unknown")


def _told(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        raise LabError(f"{command[0]} doesn't run here: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout or done.stderr


_WAYS: dict[str, Callable[[], Program]] = {
    "restic": lambda: _from_debian("restic"),
    "borg": lambda: _from_debian("borg"),
    "age": lambda: _from_debian("age"),
    "zstd": _zstd,
    "tar": lambda: _from_system("tar", "tar"),
    "cp": lambda: _from_system("cp", "coreutils"),
    "mc": _mc,
    "rustic": _rustic,
}
