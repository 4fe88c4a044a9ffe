"""The file that describes one service of the `process` platform: `<services>/<service>.yaml`."""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
import stat
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from propolis.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class ServiceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a service file may say."""

    command: tuple[str, ...]
    """The program and its arguments; never passed through a shell."""
    pid_file: str
    """Where the service's process is recorded (absolute)."""
    log: str
    """File that takes its standard output and error (absolute, appended to)."""
    environment: dict[str, str] = {}
    """All it gets, beside PATH and LANG where they are not given."""
    user: str | int | None = None
    """Name or number; without it, the user that runs Propolis."""
    group: str | int | None = None
    """Name or number; without it, the user's own group (or the same number)."""
    working_directory: str = "/"
    umask: str = "027"
    """Octal, as in systemd."""
    stop_signal: str = "SIGTERM"
    stop_timeout: float | None = None
    """Seconds after which a stop is given up; a service is never killed. None: `timeouts.stop` of propolis.yaml."""


class Account(msgspec.Struct, frozen=True):
    """The numbers a service runs under."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Service(msgspec.Struct, frozen=True):
    """One service as its file describes it, checked."""

    name: str
    path: Path
    spec: ServiceFile
    account: Account | None
    umask: int
    stop_signal: signal.Signals
    stop_timeout: float
    """Seconds."""

    @property
    def pid_file(self) -> Path:
        """Where its process is recorded."""
        return Path(self.spec.pid_file)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return Path(self.spec.log)


def names(folder: Path) -> tuple[str, ...]:
    """Services described in the folder, sorted. Raises ConfigError if there is no such folder."""
    try:
        entries = sorted(p.stem for p in folder.iterdir() if p.suffix == ".yaml")
    except OSError as error:
        raise ConfigError(
            f"platform.services: {folder} can't be read: {error.strerror}",
            next="Set it to the folder with one <service>.yaml per service",
        ) from error
    return tuple(entries)


def load(folder: Path, name: str, stop_seconds: float) -> Service:
    """Read and check one service file; `stop_seconds` is its `stop_timeout` where it names none.

    Raises ConfigError that names file and key.
    """
    path = Path(os.path.abspath(folder / f"{name}.yaml"))  # noqa: PTH100 - resolve() would follow links
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: {name!r} is not a valid service name (lower-case letters, digits, - and _)")
    spec = _parse(path)
    for key in ("pid_file", "log", "working_directory"):
        if not Path(getattr(spec, key)).is_absolute():
            raise ConfigError(f"{path}: {key}: {getattr(spec, key)!r} is not an absolute path")
    if not spec.command or not spec.command[0]:
        raise ConfigError(f"{path}: command: is empty")
    if spec.stop_timeout is not None and spec.stop_timeout <= 0:
        raise ConfigError(f"{path}: stop_timeout: must be above 0 seconds")
    return Service(
        name=name,
        path=path,
        spec=spec,
        account=_account(path, spec),
        umask=_umask(path, spec),
        stop_signal=_signal(path, spec),
        stop_timeout=stop_seconds if spec.stop_timeout is None else spec.stop_timeout,
    )


def _parse(path: Path) -> ServiceFile:
    try:
        with path.open("rb") as file:
            _refuse_if_others_can_write(path, os.fstat(file.fileno()))
            data: Any = YAML(typ="safe", pure=True).load(file)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such service file") from error
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return msgspec.convert(data, ServiceFile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error


def _refuse_if_others_can_write(path: Path, status: os.stat_result) -> None:
    """Whoever can write the file decides what root runs."""
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{path}: users other than root and the one that runs Propolis can write to it",
            next=f"chown root {path}; chmod go-w {path}",
        )


def _account(path: Path, spec: ServiceFile) -> Account | None:
    if spec.user is None:
        if spec.group is not None:
            raise ConfigError(f"{path}: group: is given without user")
        return None
    entry: pwd.struct_passwd | None = None
    try:
        entry = pwd.getpwuid(spec.user) if isinstance(spec.user, int) else pwd.getpwnam(spec.user)
    except KeyError as error:
        if isinstance(spec.user, str):
            raise ConfigError(f"{path}: user: there is no user {spec.user!r} on this host") from error
    uid = entry.pw_uid if entry else int(spec.user)
    gid = entry.pw_gid if entry else uid
    if isinstance(spec.group, int):
        gid = spec.group
    elif isinstance(spec.group, str):
        try:
            gid = grp.getgrnam(spec.group).gr_gid
        except KeyError as error:
            raise ConfigError(f"{path}: group: there is no group {spec.group!r} on this host") from error
    groups = tuple(os.getgrouplist(entry.pw_name, gid)) if entry else (gid,)
    if os.geteuid() not in (0, uid):
        raise ConfigError(f"{path}: user: only root can start a service as {spec.user}", next="Run Propolis as root")
    return Account(uid, gid, groups)


def _umask(path: Path, spec: ServiceFile) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", spec.umask):
        raise ConfigError(f"{path}: umask: {spec.umask!r} is not an octal number, e.g. '027'")
    return int(spec.umask, 8)


def _signal(path: Path, spec: ServiceFile) -> signal.Signals:
    try:
        number = signal.Signals[spec.stop_signal]
    except KeyError as error:
        raise ConfigError(f"{path}: stop_signal: there is no signal {spec.stop_signal!r}") from error
    if number in (signal.SIGKILL, signal.SIGSTOP):
        raise ConfigError(f"{path}: stop_signal: {number.name} gives a service no chance to shut down cleanly")
    return number
