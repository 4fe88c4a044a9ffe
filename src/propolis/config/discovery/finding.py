"""Collecting what discovery finds: values, where they came from, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from propolis.config.discovery.this_host import is_this_host, split_port
from propolis.config.hocon import Hocon, read
from propolis.config.templates import explain, unfilled
from propolis.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """A value, and where it was found."""

    value: Any
    note: str


class Findings:
    """Values by key path such as `database.host`, with a note each, problems and warnings."""

    def __init__(self, host: str | None = None) -> None:
        self.spread = host is not None
        """Whether the stack is on several hosts, of which this is one."""
        self.values: dict[str, Any] = {}
        self.notes: dict[str, str] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def put(self, key: str, value: Any, note: str = "") -> None:
        """Set a value; `note` says where it was found. One that was never filled in is a problem instead."""
        for text in value if isinstance(value, list) else [value]:
            piece = unfilled(text) if isinstance(text, str) else None
            if piece is not None:
                self.problem(f"{note or key}: {explain(piece)}")
                return
        *sections, name = key.split(".")
        holder = self.values
        for section in sections:
            holder = holder.setdefault(section, {})
        holder[name] = value
        if note:
            self.notes[key] = note

    def problem(self, text: str) -> None:
        """Record what is missing or wrong: one line, told once."""
        if (line := text.rstrip(".")) not in self.problems:
            self.problems.append(line)

    def warn(self, text: str) -> None:
        """Record what somebody should know, though it stops nothing: one line."""
        self.warnings.append(text.rstrip("."))

    def warn_if_outside(self, file: Path, folder: Path, where: str) -> None:
        """Warn of a file that a service needs and no backup holds, as it lies outside of the service's own folder."""
        if not file.resolve().is_relative_to(folder.resolve()):
            self.warn(
                f"{where} names {file}, which is outside of {folder}, so it is not backed up."
                " Move it into that folder, or keep a copy of it"
            )

    def attempt(self, find: Callable[[], T]) -> T | None:
        """Run one part of the search; its ConfigError becomes a problem, and the search goes on."""
        try:
            return find()
        except ConfigError as error:
            self.problem(str(error))
            return None

    def copy(self, key: str, hocon: Hocon, setting: str) -> str | None:
        """Set a value of application.conf, if it is there; give it."""
        value = hocon.text(setting)
        if value is not None:
            self.put(key, value, source(hocon, setting))
        return value

    def secret(self, key: str, hocon: Hocon, setting: str) -> None:
        """Set a reference to a secret of application.conf; the secret itself is looked at, but not kept."""
        file = hocon.file
        origin = hocon.origin(setting)
        value = hocon.text(setting)
        if value is None:
            self.problem(f"{file}: {setting} is not set")
        elif unfilled(value) == value.strip():
            self.problem(f"{origin}: {setting} is a placeholder that was never filled in")
        elif read(file).text(setting) != value:
            self.problem(
                f"{origin}: {setting} comes from the environment of TheHive's service, which Propolis doesn't see."
                " Write it into a file that application.conf includes"
            )
        else:
            self.put(key, {"hocon": f"{file}#{setting}"}, f"{origin} ({setting})")

    def asks_for_login(self, section: str, note: str) -> None:
        """Say what is to be done for a server that asks for a login, whose user TheHive's file names elsewhere."""
        if "username" not in self.values.get(section, {}):
            self.warn(f"{note}: it asks for a login. Add {section}.username and {section}.password to propolis.yaml")

    def nodes(self, key: str, named: Collection[str], note: str) -> None:
        """Set how many nodes a cluster has: as many as the file that names most of them does."""
        section, _, name = key.partition(".")
        count = len({node.lower() for node in named})
        if self.spread and count > max(1, self.values.get(section, {}).get(name, 1)):
            self.put(key, count, note)

    def runs_here(self, hocon: Hocon, setting: str, what: str) -> bool:
        """Say whether a server that a setting of application.conf names is on this host.

        Others are problems, but where the stack is on several hosts.
        """
        if not self.spread:
            return self.all_here(hocon, setting, what)
        named = servers(hocon, setting)
        others = [name for name in named if not is_this_host(name)]
        if others:
            where = f"{hocon.origin(setting)}: {setting}"
            self.warn(f"{where} names {', '.join(others)}: back them up, too, with `propolis host add`")
        return len(others) < max(1, len(named))

    def all_here(self, hocon: Hocon, setting: str, what: str) -> bool:
        """Say whether the hosts that a setting of application.conf names are this one; others are problems.

        Where nothing is set, TheHive looks on its own host.
        """
        here = True
        for host in servers(hocon, setting):
            where = f"{hocon.origin(setting)}: {setting}"
            if piece := unfilled(host):
                self.problem(f"{where}: {explain(piece)}")
            elif (own := is_this_host(host)) is None:
                self.problem(f"{where} names {host}, which can't be resolved on this host: {_ELSEWHERE.format(what)}")
            elif not own:
                self.problem(f"{where} names {host}, which is not this host: {_ELSEWHERE.format(what)}")
            else:
                continue
            here = False
        return here


_ELSEWHERE = "to back up {} on another host, use `propolis init --host NAME`, then `propolis host add`"


def servers(hocon: Hocon, setting: str) -> list[str]:
    """List the hosts that a setting of application.conf names, without ports."""
    return [split_port(part)[0] for text in hocon.texts(setting) for part in text.split(",")]


def source(hocon: Hocon, setting: str) -> str:
    """Say where a setting of application.conf was found."""
    return f"{hocon.origin(setting)} ({setting})"


def first(hocon: Hocon, *settings: str) -> str | None:
    """Give the first of these settings that has a value."""
    return next((setting for setting in settings if hocon.text(setting) is not None), None)


def config_folder(
    found: Findings, service: str, given: Path | None, candidates: list[Path], file: str
) -> Path | None:
    """Give the folder that holds a service's `file`: the one that was given, or the only one of the usual places.

    Links are followed: packages lead from one place to another. Where there isn't exactly one, that is a problem.
    """
    if given is not None:
        return given
    folders = list(dict.fromkeys(folder.resolve() for folder in candidates if (folder / file).is_file()))
    if len(folders) == 1:
        # The name that people know, unless it is a link: a backup holds the folder, not the link to it.
        known = next(folder for folder in candidates if (folder / file).is_file())
        return folders[0] if known.is_symlink() else known
    hint = f"Name the right folder with --config-folder {service}=FOLDER"
    if folders:
        found.problem(
            f"{file} exists in {' and in '.join(map(str, folders))}, so init can't tell which one is in use. {hint}"
        )
    else:
        found.problem(
            f"{candidates[0] / file}: there is no such file, neither here nor in the other usual places. {hint}"
        )
    return None
