"""How each tool does each operation. All are called as their users call them, with their own defaults.

Passwords are in files or in the environment, never among arguments.
"""

from __future__ import annotations

import compileall
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import propolis
from bench import programs
from bench.places import Place
from bench.programs import Program
from propolis.repository import Identity
from propolis_lab.errors import LabError

OPERATIONS = {
    "full": "first backup, of everything",
    "nochange": "backup when nothing changed",
    "verify": "verification of all data",
    "restore": "restore of everything",
    "new": "backup when 5 % of the bytes are new",
    "prune": "removal of all backups but the last",
}
"""In the order in which they are done: verify and restore read the same bytes of every tool."""

Command = list[str]


@dataclass(frozen=True)
class Setting:
    """What one tool works on in one round."""

    place: Place
    data: Path
    target: Path
    """For restores: an empty folder, or missing if the tool makes it."""
    work: Path
    """The tool's own folder: keys, cache."""


@dataclass(frozen=True)
class Job:
    """Commands to be timed together: stages one after another, each of commands joined by pipes."""

    stages: list[list[Command]]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    output: Path | None = None


class Tool(Protocol):
    """Something that backs up.

    Its program is looked for when it's first needed; LabError names one that can't be had.
    """

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    @property
    def version(self) -> str:
        """Its version, and those of its parts."""
        ...

    @property
    def places(self) -> tuple[str, ...]:
        """Where it can keep its data."""
        ...

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return what to run for an operation (or `init`); None when it has none such."""
        ...


def _single(*commands: Command) -> list[list[Command]]:
    return [[command] for command in commands]


def _secret(path: Path) -> Path:
    """A file with a password, made if need be."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(16))
    return path


class Propolis:
    """The repository engine, by its library."""

    name, places = "propolis", ("folder", "minio", "ssh")

    def __init__(self) -> None:
        self._python, self._tree = sys.executable, Path(__file__).parent.parent

    @cached_property
    def version(self) -> str:
        """Its version. Its code is compiled first, as pip does when it installs it."""
        for folder in (propolis.__file__, __file__):
            compileall.compile_dir(Path(folder).parent, quiet=1)
        return propolis.__version__

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return how the engine is called."""
        verbs = {"full": "backup", "nochange": "backup", "new": "backup"}
        command = [self._python, "-m", "bench.engine", verbs.get(operation, operation)]
        command += [setting.place.url(self.name), str(setting.work)]
        if operation in verbs:
            command.append(str(setting.data))
        elif operation == "restore":
            command.append(str(setting.target))
        paths = [str(self._tree), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = setting.place.environment() | {"PYTHONPATH": os.pathsep.join(paths)}
        return Job(_single(command), setting.work, environment)


class Before(Propolis):
    """Another version of Propolis: the work tree in PROPOLIS_BEFORE, with a .venv of its own."""

    name = "before"

    def __init__(self) -> None:
        tree = os.environ.get("PROPOLIS_BEFORE", "")
        self._tree = Path(tree).absolute()
        self._python = str(self._tree / ".venv/bin/python")
        if not tree or not Path(self._python).exists():
            raise LabError(
                f"PROPOLIS_BEFORE={tree} names no work tree with a .venv",
                next="git worktree add FOLDER REVISION, then make -C FOLDER .venv/.installed",
            )

    @cached_property
    def version(self) -> str:
        """Its revision."""
        compileall.compile_dir(self._tree / "src", quiet=1)
        asked = subprocess.run(
            ["git", "-C", str(self._tree), "rev-parse", "--short", "HEAD"],
            check=True,
            capture_output=True,
            text=True,
        )
        return asked.stdout.strip()


class Restic:
    """restic 0.18."""

    name, places = "restic", ("folder", "minio", "ssh")

    @cached_property
    def _program(self) -> Program:
        return programs.find(self.name)

    @property
    def version(self) -> str:
        """Its version."""
        return self._program.version

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return how restic is called."""
        data = str(setting.data)
        arguments = {
            "init": ["init"],
            "full": ["backup", data],
            "nochange": ["backup", data],
            "new": ["backup", data],
            "verify": ["check", "--read-data"],
            "restore": ["restore", f"latest:{data}", "--target", str(setting.target)],
            "prune": ["forget", "--keep-last", "1", "--prune"],
        }[operation]
        url = setting.place.url(self.name)
        if setting.place.server is not None:
            url = f"s3:{setting.place.server.endpoint}/{url.removeprefix('s3://')}"
        if setting.place.ssh is not None:
            url = f"sftp:{self.name}:{setting.place.root / self.name}"
            arguments += ["-o", f"sftp.command={shlex.join(setting.place.ssh.ssh(self.name))} sftp"]
        environment = setting.place.environment() | {
            "RESTIC_REPOSITORY": url,
            "RESTIC_PASSWORD_FILE": str(_secret(setting.work / "password")),
            "RESTIC_CACHE_DIR": str(setting.work / "cache"),
        }
        return Job(_single([*self._program.command, *arguments]), setting.work, environment)


class Borg:
    """borg 1.4; it has no S3."""

    name, places = "borg", ("folder", "ssh")

    @cached_property
    def _program(self) -> Program:
        return programs.find(self.name)

    @property
    def version(self) -> str:
        """Its version."""
        return self._program.version

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return how borg is called."""
        arguments = {
            "init": [["init", "--encryption", "repokey-blake2"]],
            "full": [["create", "::full", "."]],
            "nochange": [["create", "::nochange", "."]],
            "new": [["create", "::new", "."]],
            "verify": [["check", "--verify-data"]],
            "restore": [["extract", "::full"]],
            "prune": [["prune", "--keep-last", "1"], ["compact"]],
        }[operation]
        folder = setting.data if operation in ("full", "nochange", "new") else setting.work
        if operation == "restore":
            setting.target.mkdir(exist_ok=True)
            folder = setting.target
        environment = {
            **self._program.environment,
            "BORG_REPO": setting.place.url(self.name),
            "BORG_PASSPHRASE": _secret(setting.work / "password").read_text(),
            "BORG_BASE_DIR": str(setting.work),
        }
        if setting.place.ssh is not None:
            environment["BORG_RSH"] = shlex.join(setting.place.ssh.ssh(self.name)[:-1])
        return Job(_single(*([*self._program.command, *some] for some in arguments)), folder, environment)


class Rustic:
    """rustic: restic's format, in Rust."""

    name, places = "rustic", ("folder", "minio")

    @cached_property
    def _program(self) -> Program:
        return programs.find(self.name)

    @property
    def version(self) -> str:
        """Its version."""
        return self._program.version

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return how rustic is called."""
        data = str(setting.data)
        arguments = {
            "init": ["init"],
            "full": ["backup", data],
            "nochange": ["backup", data],
            "new": ["backup", data],
            "verify": ["check", "--read-data"],
            "restore": ["restore", f"latest:{data}", str(setting.target)],
            "prune": ["forget", "--keep-last", "1", "--prune", "--instant-delete"],
        }[operation]
        environment = setting.place.environment() | {
            "RUSTIC_REPOSITORY": setting.place.url(self.name),
            "RUSTIC_PASSWORD_FILE": str(_secret(setting.work / "password")),
            "RUSTIC_CACHE_DIR": str(setting.work / "cache"),
            "RUSTIC_NO_PROGRESS": "true",
        }
        if setting.place.server is not None:
            environment |= {
                "RUSTIC_REPOSITORY": "opendal:s3",
                "RUSTIC_REPO_OPT_BUCKET": setting.place.bucket(self.name),
                "RUSTIC_REPO_OPT_ROOT": "/repository",
                "RUSTIC_REPO_OPT_ENDPOINT": setting.place.server.endpoint,
                "RUSTIC_REPO_OPT_REGION": setting.place.server.region,
            }
        return Job(_single([*self._program.command, *arguments]), setting.work, environment)


class Tar:
    """`tar | zstd -1 | age`: what a script would do; everything each time, and all on one stream."""

    name, places = "tar", ("folder",)

    def __init__(self) -> None:
        self._recipient = str(Identity.generate().recipient)

    @cached_property
    def _programs(self) -> dict[str, Program]:
        return {name: programs.find(name) for name in ("tar", "zstd", "age")}

    @property
    def version(self) -> str:
        """Those of the three."""
        tar, zstd, age = (found.version for found in self._programs.values())
        return f"{tar} with zstd {zstd} and age {age}"

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return the pipe."""
        if operation != "full":
            return None
        tar, zstd, age = (list(found.command) for found in self._programs.values())
        pipe = [[*tar, "-cf", "-", "."], [*zstd, "-1", "-q"], [*age, "-r", self._recipient]]
        return Job([pipe], setting.data, output=Path(setting.place.url(self.name)))


class Copy:
    """`cp -r`: what the disk can do. Without sharing blocks, which would write nothing."""

    name, places = "cp", ("folder",)

    @cached_property
    def _program(self) -> Program:
        return programs.find(self.name)

    @property
    def version(self) -> str:
        """Its version."""
        return self._program.version

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return the copying of all the data to where a restore would go."""
        if operation != "restore":
            return None
        command = [*self._program.command, "-r", "--reflink=never", str(setting.data), str(setting.target)]
        return Job(_single(command), setting.work)


class Mirror:
    """`mc mirror`: what MinIO's own client can do, with neither encryption nor history."""

    name, places = "mc", ("minio",)

    @cached_property
    def _program(self) -> Program:
        return programs.find(self.name)

    @property
    def version(self) -> str:
        """Its version."""
        return self._program.version

    def job(self, operation: str, setting: Setting) -> Job | None:
        """Return the copying to the bucket, and back."""
        bucket = f"bench/{setting.place.bucket(self.name)}"
        copies = {"full": [str(setting.data), bucket], "restore": [bucket, str(setting.target)]}
        server = setting.place.server
        if operation not in copies or server is None:
            return None
        address = server.endpoint.removeprefix("http://")
        environment = {
            "MC_CONFIG_DIR": str(setting.work),
            "MC_HOST_bench": f"http://{server.keys.access}:{server.keys.secret}@{address}",
        }
        command = [*self._program.command, "--quiet", "mirror", *copies[operation]]
        return Job(_single(command), setting.work, environment)


TOOLS: dict[str, Callable[[], Tool]] = {
    "propolis": Propolis,
    "restic": Restic,
    "borg": Borg,
    "rustic": Rustic,
    "tar": Tar,
    "cp": Copy,
    "mc": Mirror,
    "before": Before,
}
