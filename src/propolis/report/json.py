"""Results as JSON, for programs."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from propolis.run import Plan

_LOCK_TYPE = type(threading.Lock())


def as_json(result: object) -> str:
    """One JSON document, indented, with stable keys."""
    encoded = msgspec.json.encode(plain(result))
    return msgspec.json.format(encoded, indent=2).decode()


def print_json(result: object) -> None:
    """Print a result on standard output."""
    sys.stdout.write(as_json(result) + "\n")


def print_plan(plan: Plan[Any], hosts: Sequence[str] = ()) -> None:
    """Print the steps that a command would take; `commits` is the one from which on it is completed, not undone."""
    steps = [
        {"number": number, "title": step.title, "commits": step.commits} for number, step in enumerate(plan.steps, 1)
    ]
    print_json({"command": plan.command, "hosts": hosts, "steps": steps})


def plain(value: Any) -> Any:
    """Turn a result object into JSON values: dataclasses and structs become objects; locks are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: plain(part) for name, part in found if not isinstance(part, _LOCK_TYPE)}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {plain(str(key)): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):  # names of files needn't be text
        return value.encode("utf-8", "backslashreplace").decode()
    return value
