"""Collecting what discovery finds: values, where they came from, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
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

    def __init__(self) -> None:
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

    def all_here(self, hocon: Hocon, setting: str, what: str) -> bool:
        """Say whether the hosts that a setting of application.conf names are this one; others are problems.

        Where nothing is set, TheHive looks on its own host.
        """
        here = True
        for name in (part for text in hocon.texts(setting) for part in text.split(",")):
            host, _ = split_port(name)
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


_ELSEWHERE = "{} on another host can't be backed up yet"


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
