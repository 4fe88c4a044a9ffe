"""Reading `propolis.yaml`: every mistake is one line that names the file, the line and the key.

Messages never hold a value of the file: somebody may have written a password where a reference belongs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from propolis.config.fields import Model
from propolis.config.schema import Config
from propolis.config.templates import explain, unfilled_line
from propolis.errors import ConfigError

Location = tuple[int | str, ...]

CLOSED = "Run Propolis as root"
"""What to do about a file that this user may not read."""


def load(path: Path) -> Config:
    """Read and validate the configuration at `path`.

    Raises ConfigError with one line a mistake: `FILE:LINE: KEY: what is wrong, and what is allowed`.
    """
    document = read_yaml(
        path,
        missing="Create one with `propolis init`, or name another file with --config",
        closed=f"{CLOSED}, or name another file with --config",
    )
    if document is None:
        raise ConfigError(f"{path}: the file is empty", next="Create one with `propolis init`")
    if not isinstance(document, dict):
        raise ConfigError(f"{path}:1: the file must hold keys such as `name:`, not a list or a single value")
    try:
        return Config.model_validate(plain(document))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        found = sorted(_describe(document, detail) for detail in details)
        lines = [f"{path}:{line}: {message}" for line, message in found]
        raise ConfigError("\n".join(lines)) from None


class _LastWins(RoundTripConstructor):
    """Takes the last of several equal keys, as SnakeYAML does, which Cassandra reads its file with."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.repeated: list[tuple[str, int]] = []

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key in mapping:
            self.repeated.append((str(key), key_node.start_mark.line + 1))
        return True


def read_last_wins(path: Path) -> tuple[Any, list[tuple[str, int]]]:
    """Parse one YAML file of a service that takes the last of several equal keys; give it, and what is repeated.

    Each repeated key comes with the line (from 1) on which it is set again. Raises ConfigError as `read_yaml` does.
    """
    yaml = YAML(typ="rt")
    yaml.Constructor = _LastWins
    return _parse(path, _text(path), yaml), yaml.constructor.repeated


def read_yaml(path: Path, missing: str = "", closed: str = CLOSED) -> Any:
    """Parse one YAML file (of ours or of a service), keeping line numbers (`.lc` on mappings and lists).

    Raises ConfigError naming file and line. A key that occurs twice is an error. `missing`: what to do if there is
    no such file; `closed`: if this user may not read it.
    """
    return _parse(path, _text(path, missing, closed), YAML(typ="rt"))


def _text(path: Path, missing: str = "", closed: str = CLOSED) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        next = {FileNotFoundError: missing, PermissionError: closed}.get(type(error), "")
        raise ConfigError(f"{path}: can't be read: {error.strerror}", next=next) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text") from None


def _parse(path: Path, text: str, yaml: YAML) -> Any:
    if template := unfilled_line(text):
        line, piece = template
        raise ConfigError(f"{path}:{line}: {explain(piece)}")
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {_problem(error)}") from None
    except (YAMLError, ValueError):  # ReaderError of control characters, impossible dates
        raise ConfigError(f"{path}: not valid YAML: a value or character that YAML doesn't allow") from None


def line_of(document: Any, location: Iterable[int | str]) -> int:
    """Give the line (from 1) of the deepest part of `location` found in a `document` that `read_yaml` read."""
    line = 1
    node = document
    for key in location:
        try:
            mark = node.lc.key(key) if isinstance(node, dict) else node.lc.item(key)  # type: ignore[attr-defined]
            line = mark[0] + 1
            node = node[key]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line


def _problem(error: MarkedYAMLError) -> str:
    """Say what the parser says without quoting the file: its text may hold a value."""
    problem = str(error.problem or error.context or "can't be parsed")
    if problem.startswith("expected <block end>"):
        return "this line doesn't belong to what is above it; check its indentation"
    if problem.startswith("found duplicate key"):
        return "this key occurs twice"
    for quote in ('"', "'"):
        # Single characters ('\t', ':') explain the mistake; anything longer may be a value.
        start = problem.find(quote)
        end = problem.find(quote, start + 1)
        if 0 <= start < end and end - start > 3 and not problem[start + 1 :].startswith("<"):
            problem = problem[:start].rstrip() + problem[end + 1 :]
    return problem


def plain(node: Any) -> Any:
    """Turn ruamel's mappings and lists into plain ones; scalars stay."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return node


def _describe(document: Any, detail: ErrorDetails) -> tuple[int, str]:
    """Render one validation error as its line number and `KEY: what`."""
    location, sections = _locate(detail["loc"])
    key = key_path(detail["loc"]) or "the file"
    line = line_of(document, location)
    kind = detail["type"]
    if location and location[-1] == "[key]":  # of a mapping whose keys are names
        name = ".".join(map(str, location[:-1]))
        return line, f"{name}: not a name: use letters, digits, . _ -, and begin with a letter or digit"
    if kind == "extra_forbidden":
        allowed = sorted({name for section in sections for name in section.model_fields})
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed are: {', '.join(allowed)}"
        return line, f"{key}: unknown key; {hint}"
    if kind == "missing":
        return line, f"{key}: missing ({_meaning(sections, str(location[-1]))})"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = detail.get("ctx", {}).get("expected_tags", "'folder', 's3'")
        return line_of(document, (*location, "kind")), f"{key}.kind: must be one of {expected}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        keys = sorted({name for section in _sections(detail["loc"]) for name in section.model_fields})
        return line, f"{key}: must hold keys, not a single value; allowed are: {', '.join(keys)}"
    if kind == "string_pattern_mismatch":
        return line, f"{key}: not allowed like this ({_meaning(sections, str(location[-1]))})"
    if kind in ("int_parsing", "int_type", "int_from_float"):
        return line, f"{key}: must be a whole number"
    if kind in ("float_parsing", "float_type"):
        return line, f"{key}: must be a number"
    if kind == "path_type":
        return line, f"{key}: must be a path"
    message = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return line, f"{key}: {message[0].lower() + message[1:]}"


def key_path(loc: Location) -> str:
    """Give the key path, such as `database.host`, of a location in a pydantic error."""
    return ".".join(str(part) for part in _locate(loc)[0])


def _locate(loc: Location) -> tuple[Location, list[type[Model]]]:
    """Give the location without pydantic's union tags, and the sections that may hold its last key."""
    sections: list[type[Model]] = [Config]
    holders = sections
    location: list[int | str] = []
    tag = named = False
    for part in loc:
        if named:  # by whoever wrote the file: what stands there has the sections of the whole
            location.append(part)
            named = False
            continue
        if tag:
            sections = [s for s in sections if s.model_fields["kind"].default == part]
            tag = False
            continue
        location.append(part)
        if isinstance(part, int):
            continue
        holders = sections
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        sections = [model for field in fields for model in _models(field.annotation)]
        tag = any(_is_tagged(field) for field in fields)
        named = any(get_origin(field.annotation) is dict for field in fields)
    return tuple(location), holders


def _is_tagged(field: FieldInfo) -> bool:
    """Whether sections of several kinds may stand there, each told by its `kind`."""
    parts = [field, *(part for choice in get_args(field.annotation) for part in getattr(choice, "__metadata__", ()))]
    return any(getattr(part, "discriminator", None) for part in parts)


def _sections(loc: Location) -> list[type[Model]]:
    """Give the sections that the value at `loc` may be."""
    location, holders = _locate(loc)
    fields = [h.model_fields[str(location[-1])] for h in holders if location and location[-1] in h.model_fields]
    return [model for field in fields for model in _models(field.annotation)] or [Config]


def _models(annotation: Any) -> list[type[Model]]:
    """List the sections that occur in a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _meaning(holders: list[type[Model]], key: str) -> str:
    """Say what a missing key is for."""
    fields: Mapping[str, FieldInfo] = {k: f for holder in holders for k, f in holder.model_fields.items()}
    field = fields.get(key)
    if field is None:
        return "it is required"
    if field.description:
        return field.description
    nested = _models(field.annotation)
    return (nested[0].__doc__ or "it is required").splitlines()[0] if nested else "it is required"
