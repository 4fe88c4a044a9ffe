"""The syntax of HOCON, the language of TheHive's `application.conf`: text to a tree that isn't resolved yet.

Written from the published specification (lightbend/config, HOCON.md), because the Python parsers to be had fail
on a stock `application.conf` (a second `+=`, keys that begin with a digit) and change escaped characters, which
would spoil a password. Every value remembers its file and line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from propolis.errors import ConfigError

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value was written."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Text:
    """A scalar as written; `quoted` tells "null" from null. Numbers and booleans stay text."""

    text: str
    quoted: bool


@dataclass(frozen=True)
class Space:
    """Blanks between two parts of a value: they count only between scalars."""

    text: str


@dataclass(frozen=True)
class Substitution:
    """`${path}` or `${?path}`; `prefix` is where its file was included, and is looked at first."""

    path: KeyPath
    optional: bool
    prefix: KeyPath


@dataclass(frozen=True)
class List:
    """`[…]`."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Object:
    """`{…}`: for each key every value that was assigned to it, in order."""

    members: dict[str, list[Value]] = field(default_factory=dict)


Part = Text | Space | Substitution | List | Object


@dataclass(frozen=True, eq=False)
class Value:
    """One assignment: parts to be joined. `append` marks `+=`. Compared by identity: a value can refer to itself."""

    parts: tuple[Part, ...]
    origin: Origin
    append: bool = False


Include = Callable[[Path, KeyPath, Object], None]
"""Parses another file into an object: file, where it is included, the object."""

_BLANK = re.compile(r"[^\S\n]+|\ufeff")
_UNQUOTED = re.compile(r"""(?:[^\s$"{}\[\]:=,+#`^?!@*&\\/]|/(?!/)|\+(?!=))+""")
_KEY_PART = re.compile(r"""(?:[^\s$"{}\[\]:=,+#`^?!@*&\\/.]|/(?!/)|\+(?!=))+""")
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_TRIPLE = re.compile(r'"""(.*?"*)"""(?!")', re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\{(\??)([^}\n]*)\}")
_INCLUDE = re.compile(
    r"""include[^\S\n]+(?:(required)\(\s*)?(?:(file|classpath|url)\(\s*)?("(?:[^"\\\n]|\\.)*")([\s)]*)"""
)
_COMMENT = re.compile(r"(?:#|//)[^\n]*")


def split_path(text: str) -> KeyPath:
    """Split a key such as `a."b.c".d`. Raises ValueError where it is none."""
    parser = Parser(text, Path(), None)
    path = parser.key_path()
    if parser.position != len(text):
        raise ValueError(f"not a key: {text}")
    return path


class Parser:
    """A recursive-descent parser of one file's text."""

    def __init__(self, text: str, file: Path, include: Include | None, prefix: KeyPath = ()) -> None:
        self.text = text
        self.file = file
        self.include = include
        self.prefix = prefix
        self.position = 0

    def parse_into(self, target: Object) -> None:
        """Parse the whole text as members of `target`. Raises ConfigError naming file and line."""
        self._gap()
        if self._peek("["):
            self._fail("the file holds a list where keys should be")
        braces = self._take("{")
        self._members(target, self.prefix)
        if braces and not self._take("}"):
            self._fail("a closing } is missing")
        self._gap()
        if self.position != len(self.text):
            self._fail("nothing may follow here")

    def key_path(self) -> KeyPath:
        """Parse a key with its dots."""
        path: list[str] = []
        while True:
            path.append(self._key_part())
            if not self._take("."):
                return tuple(path)

    def _key_part(self) -> str:
        """Parse what stands between two dots: quoted and unquoted pieces, with blanks inside."""
        pieces: list[str] = []
        quoted = False
        self._blank()
        while True:
            start = self.position
            if match := _QUOTED.match(self.text, self.position):
                pieces.append(self._unescape(match))
                quoted = True
            elif match := _KEY_PART.match(self.text, self.position):
                self.position = match.end()
                pieces.append(match.group())
            else:
                break
            end = self.position
            self._blank()
            pieces.append(self.text[end : self.position])
            if self.position == start:
                break
        name = "".join(pieces).rstrip()
        if not name and not quoted:
            self._fail("a key is expected here")
        return name

    def _members(self, target: Object, path: KeyPath | None) -> None:
        """Parse entries up to a closing brace or the end; `path` is None inside lists."""
        while True:
            self._gap(commas=True)
            if self.position == len(self.text) or self._peek("}"):
                return
            match = _INCLUDE.match(self.text, self.position)
            if match is not None:
                self._include(match, target, path)
            else:
                self._entry(target, path)
            self._blank()
            if self.position < len(self.text) and self.text[self.position] not in "\n,}#/":
                self._fail("a new line, a comma or } is expected here")

    def _entry(self, target: Object, path: KeyPath | None) -> None:
        origin = self._origin()
        key = self.key_path()
        holder = target
        for name in key[:-1]:
            holder = _object_at(holder, name, origin)
        full = None if path is None else path + key
        self._blank()
        append = self._take("+=")
        if not append and not self._take("=") and not self._take(":") and not self._peek("{"):
            self._fail("= or : or { is expected after a key")
        self._gap()
        stack = holder.members.setdefault(key[-1], [])
        if self._peek("{") and not append:
            # Members of a repeated object join the first, so that both see one another's values.
            merged = _object_at(holder, key[-1], origin)
            self._object(merged, full)
            rest = self._parts(full)
            if rest:
                stack.append(Value((merged, *rest), origin))
            return
        parts = self._parts(full)
        if not parts:
            self._fail("a value is expected here")
        stack.append(Value(parts, origin, append))

    def _object(self, target: Object, path: KeyPath | None) -> Object:
        self._take("{")
        self._members(target, path)
        if not self._take("}"):
            self._fail("a closing } is missing")
        return target

    def _list(self) -> List:
        self._take("[")
        items: list[Value] = []
        while True:
            self._gap(commas=True)
            if self._take("]"):
                return List(tuple(items))
            origin = self._origin()
            parts = self._parts(None)
            if not parts:
                self._fail("a value or ] is expected here")
            items.append(Value(parts, origin))

    def _parts(self, path: KeyPath | None) -> tuple[Part, ...]:
        """Parse one value up to the end of its line, a comma, a closing bracket or a comment."""
        parts: list[Part] = []
        while self.position < len(self.text):
            start = self.position
            if self._blank():
                parts.append(Space(self.text[start : self.position]))
            elif self._peek("{"):
                parts.append(self._object(Object(), path))
            elif self._peek("["):
                parts.append(self._list())
            elif match := _TRIPLE.match(self.text, self.position):
                self.position = match.end()
                parts.append(Text(match.group(1), quoted=True))
            elif match := _QUOTED.match(self.text, self.position):
                parts.append(Text(self._unescape(match), quoted=True))
            elif match := _SUBSTITUTION.match(self.text, self.position):
                parts.append(self._substitution(match))
            elif self.text[self.position] in "\n,}]#" or self.text.startswith("//", self.position):
                break
            elif match := _UNQUOTED.match(self.text, self.position):
                self.position = match.end()
                parts.append(Text(match.group(), quoted=False))
            else:
                self._fail("a character that must stand in quotes, or an open quote")
        while parts and isinstance(parts[-1], Space):
            parts.pop()
        return tuple(parts)

    def _substitution(self, match: re.Match[str]) -> Substitution:
        try:
            path = split_path(match.group(2).strip())
        except (ValueError, ConfigError):
            self._fail("not a key inside ${…}")
        self.position = match.end()
        return Substitution(path, bool(match.group(1)), self.prefix)

    def _include(self, match: re.Match[str], target: Object, path: KeyPath | None) -> None:
        required, kind, quoted, closing = match.groups()
        if closing.count(")") != bool(required) + bool(kind):
            self._fail("brackets of this include don't match")
        self.position = match.end() - (len(closing) - len(closing.rstrip()))
        if kind in ("classpath", "url"):
            if required:
                self._fail(f"an include of {kind}(…) can't be followed from outside of TheHive")
            return
        name = Path(str(self._json(quoted)))
        file = name if name.is_absolute() else self.file.parent / name
        candidates = [file] if file.suffix else [file, file.with_suffix(".conf"), file.with_suffix(".json")]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            if required:
                self._fail(f"the required file {file} does not exist")
            return  # as the specification says: a missing include counts as empty
        if self.include is None:
            self._fail("an include is not possible here")
        self.include(found, path or (), target)

    def _unescape(self, match: re.Match[str]) -> str:
        value = self._json(match.group())
        self.position = match.end()
        return value

    def _json(self, quoted: str) -> str:
        try:
            return str(json.loads(quoted, strict=False))
        except ValueError:
            self._fail("an escape that HOCON doesn't know")

    def _origin(self) -> Origin:
        return Origin(self.file, self.text.count("\n", 0, self.position) + 1)

    def _blank(self) -> bool:
        start = self.position
        while match := _BLANK.match(self.text, self.position):
            self.position = match.end()
        return self.position > start

    def _gap(self, *, commas: bool = False) -> None:
        """Skip blanks, line ends and comments; also commas where they separate entries."""
        while True:
            self._blank()
            if match := _COMMENT.match(self.text, self.position):
                self.position = match.end()
            elif self._peek("\n") or (commas and self._peek(",")):
                self.position += 1
            else:
                return

    def _peek(self, token: str) -> bool:
        return self.text.startswith(token, self.position)

    def _take(self, token: str) -> bool:
        if self._peek(token):
            self.position += len(token)
            return True
        return False

    def _fail(self, what: str) -> NoReturn:
        raise ConfigError(f"{self._origin()}: not valid HOCON: {what}")


def _object_at(holder: Object, name: str, origin: Origin) -> Object:
    """Give the object that was last assigned to a member, or assign a new one."""
    stack = holder.members.setdefault(name, [])
    if stack and not stack[-1].append and len(stack[-1].parts) == 1:
        (only,) = stack[-1].parts
        if isinstance(only, Object):
            return only
    new = Object()
    stack.append(Value((new,), origin))
    return new
