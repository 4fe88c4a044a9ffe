"""The coordinator's own propolis.yaml with one host more or less: whatever else stands in it stays, comments too."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from propolis import durable
from propolis.config.hosts import HostConfig
from propolis.config.load import load
from propolis.config.schema import Config
from propolis.errors import ConfigError


def with_host(file: Path, name: str, host: HostConfig) -> str:
    """The text of the file with one host more, or another way to reach it."""

    def change(document: Any) -> None:
        if not isinstance(document.get("hosts"), dict):
            document["hosts"] = {}
        document["hosts"][name] = host.model_dump(mode="json", exclude_none=True)

    return _changed(file, change)


def without_host(file: Path, name: str) -> str:
    """The text of the file with one host less; without any, `hosts` goes."""

    def change(document: Any) -> None:
        del document["hosts"][name]
        if not document["hosts"]:
            del document["hosts"]

    return _changed(file, change)


def write_document(file: Path, text: str, expected: Config) -> None:
    """Replace the file by this text, with the same owner and permissions; a failure leaves it as it was.

    Raises ConfigError, also where the text doesn't read as `expected`: then it isn't written.
    """
    trial = file.with_name(f".{file.name}.new")
    try:
        trial.unlink(missing_ok=True)
        durable.write_new(trial, text)
        try:
            if load(trial) != expected:
                raise ConfigError(
                    f"{file} can't be changed without changing its meaning",
                    left="It was not changed",
                    next="Change `hosts` in it by hand",
                )
            status = file.stat()
            os.chown(trial, status.st_uid, status.st_gid)
            trial.chmod(status.st_mode & 0o7777)
            trial.replace(file)
            durable.sync_folder(file.parent)
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{file}: can't be written: {error.strerror}", left="It was not changed") from None


def _changed(file: Path, change: Callable[[Any], None]) -> str:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 1 << 16
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load(file.read_text(encoding="utf-8"))
    change(document)
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()
