"""Writing `propolis.yaml` for people: every key with a comment, taken from the schema, so that they can't differ."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from propolis.config.fields import Model, SecretRef
from propolis.config.schema import Config
from propolis.durable import write_new
from propolis.errors import ConfigError

_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*(#[A-Za-z0-9_./-]+)?|\d+(\.\d+){3}")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

_NAME = "NAME"
"""Stands for what somebody calls one of several sections."""

_EXAMPLE: dict[str, Any] = {
    "name": "thehive",
    "platform": {"services": "/etc/propolis/services"},
    "thehive": {"url": "http://127.0.0.1:9000", "config": "/etc/thehive"},
    "database": {
        "host": "127.0.0.1",
        "username": "thehive",
        "password": {"hocon": "/etc/thehive/application.conf#db.janusgraph.storage.password"},
        "cluster_name": "thp",
        "config": "/etc/cassandra",
        "data": ["/var/lib/cassandra/data"],
        "commitlog": "/var/lib/cassandra/commitlog",
        "hints": "/var/lib/cassandra/hints",
        "saved_caches": "/var/lib/cassandra/saved_caches",
    },
    "index": {
        "url": "http://127.0.0.1:9200",
        "config": "/etc/elasticsearch",
        "data": "/var/lib/elasticsearch",
    },
    "files": {"kind": "folder", "folder": "/opt/thp/thehive/files"},
    "repository": {"url": "/backup/thehive", "host_key": "/etc/propolis/host.key"},
}


def sample() -> str:
    """Give a commented configuration of a stack laid out as TheHive's installation guide has it."""
    return render(Config.model_validate(_EXAMPLE), {})


def json_schema() -> str:
    """Give the JSON Schema of `propolis.yaml`, for editors and checkers."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def render(config: Config, notes: Mapping[str, str]) -> str:
    """Render a configuration with comments; `load` reads back an equal one.

    `notes` says of a key path, such as `database.host`, where its value was found. Keys that have their default and
    no note are shown as comments.
    """
    lines = [
        "# Configuration of Propolis: one stack of TheHive and the repository of its backups.",
        "# Check it with: propolis config check. All keys: propolis config schema.",
        "# Passwords are never in this file: a secret is a reference, one of file, env, credential, hocon.",
        "",
    ]
    lines += _section(config, "", notes)
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Write a new configuration (0600), durably. Raises ConfigError, also if it is there already."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_new(path, text)
    except FileExistsError:
        raise ConfigError(
            f"{path} already exists", left="It was not changed", next="Move it away or name another file"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be written: {error.strerror}") from None


def _section(section: Model, path: str, notes: Mapping[str, str], *, whole: bool = False) -> Iterator[str]:
    """Render the keys of one section; nested ones are indented by two blanks.

    `whole` renders defaults as keys too, for a section that becomes a comment altogether.
    """
    for name, field in _fields(type(section)):
        value = getattr(section, name)
        key = f"{path}{name}"
        is_section = isinstance(value, Model) and not isinstance(value, SecretRef)
        if not path and (is_section or _sections_of(field)):
            yield ""
        if is_section and not path:
            yield from _comment(str(type(value).__doc__).splitlines()[0])
        elif field.description:
            yield from _comment(field.description)
        elif value is None and (kinds := _sections_of(field)):
            yield from _comment(f"{str(kinds[0].__doc__).splitlines()[0]} This host has none.")
        if key in notes:
            yield _note(notes[key])
        if is_section:
            body = list(_section(value, f"{key}.", notes, whole=whole))
            if all(line.startswith("#") for line in body):
                yield f"# {name}:"
                yield from (f"#   {line}" for line in _section(value, f"{key}.", notes, whole=True))
            else:
                yield f"{name}:"
                yield from (f"  {line}" for line in body)
        elif isinstance(value, Mapping) and value:
            yield f"{name}:"
            for label, inner in value.items():
                yield f"  {label}:"
                yield from (f"    {line}" for line in _set(inner))
        elif value is None or isinstance(value, Mapping):
            yield f"# {name}:"
            body = [line for model in _sections_of(field)[:1] for line in _unset(model)]
            if isinstance(value, Mapping):
                body = [f"{_NAME}:", *(f"  {line}" for line in body)]
            yield from (f"#   {line}" for line in body)
        else:
            # A default stays a comment; what tells one kind of section from another must stand there.
            silent = not field.is_required() and value == field.get_default() and key not in notes
            prefix = "# " if silent and not whole and name != "kind" else ""
            yield from (prefix + line for line in _item(name, value))


def _sections_of(field: FieldInfo) -> list[type[Model]]:
    """List the sections that a field may hold, other than references to secrets; the most usual first."""
    return list(_sections_in(get_args(field.annotation)))


def _sections_in(choices: Iterable[Any]) -> Iterator[type[Model]]:
    for kind in choices:
        if isinstance(kind, type) and _is_section(kind):
            yield kind
        else:
            yield from _sections_in(get_args(kind))


def _is_section(kind: type) -> bool:
    return issubclass(kind, Model) and kind is not SecretRef


def _unset(model: type[Model]) -> Iterator[str]:
    """Show the keys of a section that isn't there."""
    for name, field in _fields(model):
        yield from _comment(field.description or "")
        yield f"{name}:"
        yield from (f"  {line}" for inner in _sections_of(field) for line in _unset(inner))


def _set(section: Model) -> Iterator[str]:
    """Show only the keys of a section that are set, without comments: one of several of its kind."""
    for name, field in _fields(type(section)):
        value = getattr(section, name)
        if isinstance(value, Model):
            yield f"{name}:"
            yield from (f"  {line}" for line in _set(value))
        elif value != field.get_default():
            yield from _item(name, value)


def _fields(model: type[Model]) -> list[tuple[str, FieldInfo]]:
    """List the keys of a section: what tells one kind from another first, as people read it first."""
    return sorted(model.model_fields.items(), key=lambda field: field[0] != "kind")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - 8, initial_indent="# ", subsequent_indent="# ")


def _note(source: str) -> str:
    # A file's name may hold characters that YAML refuses, in comments too.
    return "#   from " + "".join(character if character.isprintable() else "?" for character in source)


def _item(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, SecretRef):
        ((kind, target),) = value.model_dump(exclude_none=True).items()
        yield f"{name}:"
        yield f"  {kind}: {_scalar(target)}"
    elif isinstance(value, tuple):
        yield f"{name}:"
        yield from (f"  - {_scalar(item)}" for item in value)
    else:
        yield f"{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Write a scalar such that YAML reads the same back: plain where that is safe, else in quotes."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    """Write one character of a YAML string in double quotes."""
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\U{ord(character):08x}"
