"""Reading TheHive's `application.conf` (HOCON): includes, substitutions, and where each value came from.

Scalars come back as the text that was written. A substitution that no file answers is looked up among
environment variables, as TheHive does; the environment of its service may differ from that of Propolis, so a
caller that knows it should pass it. What zig-hocon reads as the reference implementation does is proved by
tests/unit/config/test_hocon.py.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zig_hocon import ConfigException, ConfigFactory, ConfigWrongTypeException

from propolis.config.templates import explain, unfilled_line
from propolis.errors import ConfigError

_LAST_NAME = re.compile(r'(?:(?P<parent>.+)\.)?(?P<name>"(?:[^"\\]|\\.)*"|[^".]+)')
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SUBSTITUTION = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Origin:
    """Where a value was written."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Hocon:
    """One configuration with everything it includes."""

    def __init__(self, file: Path, document: Any, missing: Mapping[str, ConfigError]) -> None:
        self.file = file
        """The file that was asked for; what it includes is found by `origin`."""
        self._document = document
        self._missing = missing  # what stands for a variable that is not set, and the error to raise for it

    def text(self, key: str) -> str | None:
        """Give the scalar at `key` as text; None where it is not set or null.

        Raises ConfigError naming file and line where it is no scalar or can't be resolved.
        """
        try:
            found = self._document.get_string(key, None)
        except ConfigWrongTypeException:
            raise ConfigError(f"{self.origin(key)}: {key} must be a single value") from None
        except (ConfigException, ValueError) as error:
            raise _failure(self.file, error) from None
        return None if found is None else self._checked(found)

    def texts(self, key: str) -> tuple[str, ...]:
        """Give a list of scalars; a single scalar counts as a list of one, nothing as an empty one."""
        try:
            found = self._document.get_string(key, None)
        except ConfigWrongTypeException:
            return self._list(key)
        except (ConfigException, ValueError) as error:
            raise _failure(self.file, error) from None
        return () if found is None else (self._checked(found),)

    def sections(self, key: str) -> tuple[Mapping[str, Any], ...]:
        """Give a list of sections, with their values as JSON has them; anything else in the list is left out.

        Raises ConfigError where it can't be resolved.
        """
        match = _LAST_NAME.fullmatch(key.strip())
        if match is None:
            raise ConfigError(f"{self.file}: {key} is not a key")
        if not self.has(key):
            return ()
        try:
            members = json.loads(self._document.get_config(match["parent"] or "").to_json())
        except (ConfigException, ValueError) as error:
            raise _failure(self.file, error) from None
        items = members.get(match["name"].strip())
        return tuple(item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()

    def files(self) -> frozenset[Path]:
        """List the files that values come from: the one that was asked for, and what it includes."""
        try:
            members = json.loads(self._document.get_config("").to_json())
        except (ConfigException, ValueError) as error:
            raise _failure(self.file, error) from None
        found = {self.file}
        for key in _keys(members, ""):
            origin = self.origin(key)
            if origin is not None:
                found.add(origin.file)
        return frozenset(found)

    def has(self, key: str) -> bool:
        """Whether anything but null is set at `key`, also a section."""
        return self.origin(key) is not None

    def origin(self, key: str) -> Origin | None:
        """Give file and line where the value of `key` was written; None where it is not set or null."""
        # The library tells a value's place only when it refuses it: no value is both a section and a number.
        for get in (self._document.get_config, self._document.get_int):
            try:
                get(key)
            except ConfigException as error:
                if error.line is not None:
                    return Origin(Path(error.file), error.line)
                if error.name == "BadPath":
                    raise _failure(self.file, error) from None
                return None
            except ValueError as error:
                raise _failure(self.file, error) from None
        return None

    def _list(self, key: str) -> tuple[str, ...]:
        """Give the list at `key` by way of the section that holds it: the library gives sections only."""
        match = _LAST_NAME.fullmatch(key.strip())
        if match is None:
            raise ConfigError(f"{self.file}: {key} is not a key")
        name = match["name"].strip()
        try:
            section = self._document.get_config(match["parent"] or "").to_json()
        except ConfigException as error:
            raise _failure(self.file, error) from None
        # Numbers stay as they were written.
        members = json.loads(section, parse_int=str, parse_float=str)
        items = members.get(json.loads(name) if name.startswith('"') else name)
        texts = [_text(item) for item in items] if isinstance(items, list) else [None]
        if None in texts:
            raise ConfigError(f"{self.origin(key)}: {key} must be a list of single values")
        return tuple(self._checked(text) for text in texts if text is not None)

    def _checked(self, text: str) -> str:
        for stand_in, failure in self._missing.items():
            if stand_in in text:
                raise failure
        return text


def read(path: Path, *, environment: Mapping[str, str] | None = None) -> Hocon:
    """Read `path` and what it includes. Raises ConfigError naming file and line.

    `environment` stands for that of TheHive's service; None means that of this process. Where it lacks a variable
    that a `${…}` needs, only the values of which that is a part can't be had. An include of an http address is
    fetched, as TheHive does.
    """
    return _resolved(path, lambda variables: ConfigFactory.parse_file(path, env=variables), environment)


def parse(text: str, path: Path) -> Hocon:
    """Read a text that includes nothing, with no environment to look into; `path` is what errors call it.

    Raises ConfigError as `read` does.
    """
    return _resolved(path, lambda variables: ConfigFactory.parse_string(text, env=variables), {})


def _resolved(path: Path, parsed: Callable[[dict[str, str]], Any], environment: Mapping[str, str] | None) -> Hocon:
    variables = dict(os.environ if environment is None else environment)
    missing: dict[str, ConfigError] = {}
    while True:
        try:
            document = parsed(variables)
            document.get_config("")  # fails if the file holds a list
            return Hocon(path, document, missing)
        except (ConfigException, ValueError) as error:
            name = _unresolved(error)
            if name is None or name in variables:
                # With a stand-in the text may be wrong in its own way: what was missing first is the reason.
                raise next(iter(missing.values()), _failure(path, error)) from None
            # The library refuses the whole text. A text that nobody can have written keeps the place instead.
            variables[name] = secrets.token_hex(16)
            missing[variables[name]] = _failure(path, error)


def _keys(members: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """List the keys of all values below a section."""
    for name, value in members.items():
        key = prefix + (name if _PLAIN_NAME.fullmatch(name) else json.dumps(name))
        if isinstance(value, dict) and value:
            yield from _keys(value, f"{key}.")
        else:
            yield key


def _text(item: object) -> str | None:
    """Give a scalar of decoded JSON as text; None for anything else."""
    if isinstance(item, bool):
        return str(item).lower()
    return item if isinstance(item, str) else None


def _unresolved(error: Exception) -> str | None:
    """Give what stands in the `${…}` that the library has no value for; None if that's not the error."""
    if not isinstance(error, ConfigException) or error.name != "Unresolved":
        return None
    match = _SUBSTITUTION.match(error.source_line or "", error.column - 1)
    return match.group(1).strip() if match else None


def _template(file: Path) -> tuple[int, str] | None:
    """Give line and text of what a deployment tool should have filled in: the reason why a file can't be read."""
    try:
        return unfilled_line(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _failure(file: Path, error: Exception) -> ConfigError:
    """Say what the library refused. Its own message isn't passed on: it shows the line, which may hold a password."""
    if not isinstance(error, ConfigException):
        return ConfigError(f"{file}: can't be read: {error}")
    what = re.sub(r"(?<!^)(?=[A-Z])", " ", error.name or "Unknown").lower()
    if error.line is None:
        return ConfigError(f"{file}: can't be read: {what}")
    where = Origin(Path(error.file), error.line)
    if template := _template(where.file):
        line, piece = template
        return ConfigError(f"{where.file}:{line}: {explain(piece)}")
    name = _unresolved(error)
    if name is not None:
        return ConfigError(
            f"{where}: ${{{name}}} is neither a key of these files nor an environment variable that is set"
        )
    return ConfigError(f"{where}: can't be read as HOCON: {what}")
