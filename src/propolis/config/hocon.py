"""Reading TheHive's `application.conf` (HOCON): includes, substitutions, and where each value came from.

Scalars come back as the text that was written. A substitution that no file answers is looked up among
environment variables, as TheHive does; the environment of its service may differ from that of Propolis, so a
caller that knows it should pass it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from propolis.config.hocon_syntax import (
    KeyPath,
    List,
    Object,
    Origin,
    Parser,
    Part,
    Space,
    Substitution,
    Text,
    Value,
    split_path,
)
from propolis.errors import ConfigError


@dataclass(frozen=True)
class _Null:
    """The value `null`: it is set, and hides what was set before."""


@dataclass(frozen=True)
class _Layers:
    """An object as the objects it is merged of, earliest first."""

    objects: tuple[Object, ...]

    def stack(self, name: str) -> list[Value]:
        return [value for layer in self.objects for value in layer.members.get(name, [])]


_Resolved = str | _Null | _Layers | tuple[Value, ...]


class Hocon:
    """One configuration with everything it includes."""

    def __init__(self, root: Object, files: Sequence[Path], environment: Mapping[str, str]) -> None:
        self.files = tuple(files)
        """Every file that was read, the main one first."""
        self._root = root
        self._environment = environment
        self._busy: set[int] = set()  # ids of values under way: a value that meets itself means what was before

    def text(self, key: str) -> str | None:
        """Give the scalar at `key` as text; None where it is not set or null.

        Raises ConfigError naming file and line where it is no scalar or can't be resolved.
        """
        found = self._find(split_path(key))
        if found is None or isinstance(found, _Null):
            return None
        if not isinstance(found, str):
            raise ConfigError(f"{self.origin(key)}: {key} must be a single value")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """Give a list of scalars; a single scalar counts as a list of one, nothing as an empty one."""
        found = self._find(split_path(key))
        if found is None or isinstance(found, _Null):
            return ()
        if isinstance(found, str):
            return (found,)
        items = [self._value(item, ()) for item in found] if isinstance(found, tuple) else [found]
        texts = tuple(item for item in items if isinstance(item, str))
        if len(texts) != len(items):
            raise ConfigError(f"{self.origin(key)}: {key} must be a list of single values")
        return texts

    def has(self, key: str) -> bool:
        """Whether anything is set at `key`, also a section."""
        return self._find(split_path(key)) is not None

    def origin(self, key: str) -> Origin | None:
        """Give file and line of the assignment that decides `key`; None where it is not set."""
        stack = self._stack(split_path(key))
        for index in range(len(stack) - 1, -1, -1):
            if self._value(stack[index], stack[:index]) is not None:
                return stack[index].origin
        return None

    def _find(self, path: KeyPath) -> _Resolved | None:
        return self._resolve(self._stack(path))

    def _stack(self, path: KeyPath) -> list[Value]:
        """Give every assignment to the last key of `path`, earliest first."""
        layers = _Layers((self._root,))
        for name in path[:-1]:
            found = self._resolve(layers.stack(name))
            if not isinstance(found, _Layers):
                return []
            layers = found
        return layers.stack(path[-1])

    def _resolve(self, stack: Sequence[Value]) -> _Resolved | None:
        """Give what a key's assignments amount to; objects merge, anything else hides what came before."""
        first_busy = next((i for i, value in enumerate(stack) if id(value) in self._busy), len(stack))
        objects: tuple[Object, ...] = ()
        for index in range(first_busy - 1, -1, -1):
            value = self._value(stack[index], stack[:index])
            if isinstance(value, _Layers):
                objects = value.objects + objects
            elif value is not None:
                return _Layers(objects) if objects else value
        return _Layers(objects) if objects else None

    def _value(self, value: Value, before: Sequence[Value]) -> _Resolved | None:
        """Resolve one assignment; None where it is an optional substitution of nothing."""
        self._busy.add(id(value))
        try:
            resolved = self._join([self._part(part, value) for part in value.parts], value)
        finally:
            self._busy.discard(id(value))
        if not value.append:
            return resolved
        previous = self._resolve(before)
        if previous is not None and not isinstance(previous, tuple):
            raise ConfigError(f"{value.origin}: += needs a list before it")
        # The appended value stays unresolved: it is one item of the list.
        return (*(previous or ()), Value(value.parts, value.origin))

    def _part(self, part: Part, value: Value) -> _Resolved | Space | None:
        if isinstance(part, Text):
            return _Null() if part.text == "null" and not part.quoted else part.text
        if isinstance(part, Space):
            return part
        if isinstance(part, List):
            return part.items
        if isinstance(part, Object):
            return _Layers((part,))
        return self._substitute(part, value)

    def _substitute(self, part: Substitution, value: Value) -> _Resolved | None:
        paths: Iterable[KeyPath] = (part.prefix + part.path, part.path) if part.prefix else (part.path,)
        for path in paths:
            found = self._find(path)
            if found is not None:
                return found
        name = ".".join(part.path)
        if name in self._environment:
            return self._environment[name]
        if part.optional:
            return None
        raise ConfigError(
            f"{value.origin}: ${{{name}}} is neither a key of these files nor an environment variable that is set"
        )

    def _join(self, parts: Sequence[_Resolved | Space | None], value: Value) -> _Resolved | None:
        solid = [part for part in parts if part is not None and not isinstance(part, Space)]
        if not solid:
            return None
        if len(solid) == 1 and not isinstance(solid[0], str):
            return solid[0]
        if all(isinstance(part, _Layers) for part in solid):
            return _Layers(tuple(o for part in solid if isinstance(part, _Layers) for o in part.objects))
        if all(isinstance(part, tuple) for part in solid):
            return tuple(item for part in solid if isinstance(part, tuple) for item in part)
        if any(isinstance(part, _Layers | tuple) for part in solid):
            raise ConfigError(f"{value.origin}: single values, lists and objects can't be joined to one value")
        return "".join(_piece(part) for part in parts)


def read(path: Path, *, environment: Mapping[str, str] | None = None) -> Hocon:
    """Read `path` and what it includes. Raises ConfigError naming file and line.

    `environment` stands for that of TheHive's service; None means that of this process.
    """
    root = Object()
    files: list[Path] = []
    under_way: list[Path] = []

    def parse(file: Path, prefix: KeyPath, target: Object) -> None:
        real = file.resolve()
        if real in under_way:
            raise ConfigError(f"{file}: the file includes itself")
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{file}: can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{file}: not UTF-8 text") from None
        files.append(file)
        under_way.append(real)
        Parser(text.replace("\r\n", "\n"), file, parse, prefix).parse_into(target)
        under_way.pop()

    try:
        parse(path, (), root)
    except RecursionError:
        raise ConfigError(f"{path}: not valid HOCON: nested too deeply") from None
    return Hocon(root, files, os.environ if environment is None else environment)


def _piece(part: _Resolved | Space | None) -> str:
    """Give a part's text inside a joined scalar."""
    if isinstance(part, Space):
        return part.text
    if isinstance(part, _Null):
        return "null"
    return part if isinstance(part, str) else ""
