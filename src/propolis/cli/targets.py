"""Where `restore --to` leads."""

from __future__ import annotations

from pathlib import Path

from propolis.command.apart import require_apart, require_target_apart
from propolis.config import sample
from propolis.config.discovery.stack import discover
from propolis.config.load import CLOSED, load
from propolis.config.schema import Config
from propolis.errors import ConfigError, UsageError


def target_of(path: Path, source: Config) -> Config:
    """The stack that `--to PATH` names.

    PATH is a propolis.yaml, or the root folder of a stack: then the stack is found from its own configuration files,
    and what was found is kept in its state folder, for later commands. Raises ConfigError or UsageError,
    also when its folders overlap what the source keeps or where its backups are.
    """
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        raise ConfigError(f"--to {path}: {error.strerror}", left="Nothing was changed", next=CLOSED) from None
    if is_file:
        return _apart(load(path), source)
    if not is_folder:
        raise UsageError(
            f"--to {path}: neither a propolis.yaml nor a folder",
            left="Nothing was changed",
            next="Give the other stack's propolis.yaml, or the root folder that holds its etc/",
        )
    repository = source.repository.model_dump(mode="json", exclude_none=True)
    found = discover(path, repository=repository)
    if found.config is None:
        raise ConfigError(
            "\n".join(found.problems),
            left="Nothing was changed",
            next=f"Fix these, or write a propolis.yaml for {path} and give that to --to",
        )
    target = _apart(found.config, source)
    file = file_of(path, target)
    file.unlink(missing_ok=True)
    sample.write(file, sample.render(target, found.notes))
    return target


def file_of(path: Path, target: Config) -> Path:
    """The configuration of the stack that `--to PATH` names."""
    return path if path.is_file() else target.state / "restore-target.yaml"


def _apart(target: Config, source: Config) -> Config:
    require_apart(target)
    require_target_apart(target, source)
    return target
