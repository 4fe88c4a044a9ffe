"""Collecting what discovery finds: values, where they came from, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from propolis.config.hocon import Hocon, read
from propolis.errors import ConfigError

T = TypeVar("T")


class Findings:
    """Values by key path such as `database.host`, with a note each, and problems."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.notes: dict[str, str] = {}
        self.problems: list[str] = []

    def put(self, key: str, value: Any, note: str = "") -> None:
        """Set a value; `note` says where it was found."""
        *sections, name = key.split(".")
        holder = self.values
        for section in sections:
            holder = holder.setdefault(section, {})
        holder[name] = value
        if note:
            self.notes[key] = note

    def problem(self, text: str) -> None:
        """Record what is missing or wrong: one line."""
        self.problems.append(text.rstrip("."))

    def attempt(self, find: Callable[[], T]) -> T | None:
        """Run one part of the search; its ConfigError becomes a problem, and the search goes on."""
        try:
            return find()
        except ConfigError as error:
            self.problem(str(error))
            return None

    def secret(self, key: str, hocon: Hocon, setting: str) -> None:
        """Set a reference to a secret of application.conf; the secret itself is looked at, but not kept."""
        file = hocon.file
        origin = hocon.origin(setting)
        if hocon.text(setting) is None:
            self.problem(f"{file}: {setting} is not set")
        elif read(file).text(setting) != hocon.text(setting):
            self.problem(
                f"{origin}: {setting} comes from the environment of TheHive's service, which Propolis doesn't see."
                " Write it into a file that application.conf includes"
            )
        else:
            self.put(key, {"hocon": f"{file}#{setting}"}, f"{origin} ({setting})")
