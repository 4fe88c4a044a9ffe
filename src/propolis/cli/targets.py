"""Where `restore --to` leads."""

from __future__ import annotations

from pathlib import Path

from propolis.config import sample
from propolis.config.discovery import discover
from propolis.config.load import load
from propolis.config.schema import Config
from propolis.errors import ConfigError, UsageError


def target_of(path: Path, source: Config) -> tuple[Config, Path]:
    """The stack that `--to PATH` names, and its configuration file.

    PATH is a propolis.yaml, or the root folder of a stack: then the stack is found from its own configuration files,
    and what was found is kept in its state folder, so that recovery can read it. Raises ConfigError or UsageError.
    """
    if path.is_file():
        return load(path), path
    if not path.is_dir():
        raise UsageError(
            f"--to {path}: neither a propolis.yaml nor a folder",
            left="Nothing was touched",
            next="Give the other stack's propolis.yaml, or the root folder that holds its etc/",
        )
    repository = source.repository.model_dump(mode="json", exclude_none=True)
    found = discover(path, repository=repository)
    if found.config is None:
        raise ConfigError(
            "\n".join(found.problems),
            left="Nothing was touched",
            next=f"Mend these, or write a propolis.yaml for {path} and give that to --to",
        )
    file = found.config.state / "restore-target.yaml"
    file.unlink(missing_ok=True)
    sample.write(file, sample.render(found.config, found.notes))
    return found.config, file
