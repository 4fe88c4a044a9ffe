"""The rules, in the order in which what they look at is needed, and whom each of them stops.

To a restore, services that don't answer or hold nothing are what it is for: it is warned at most.
"""

from __future__ import annotations

from pathlib import Path

from propolis.checks import folders, repository, services, settings, space, targets
from propolis.checks.asking import ask
from propolis.checks.look import Look
from propolis.config.schema import Config
from propolis.stack.rules import Check, Rule

_FIRST: tuple[Rule[Look], ...] = (
    Rule("hosts", settings.this_host, stops=("doctor", "backup", "restore")),
    Rule("settings", settings.agree, stops=("doctor", "backup")),
    Rule("services", services.running, stops=("doctor",), warns=("backup",)),
)
_LAST: tuple[Rule[Look], ...] = (
    Rule("folders", folders.readable, stops=("doctor", "backup")),
    Rule("space for a clone", space.for_clones, stops=("doctor", "backup")),
    Rule("space for a restore", space.for_restore, stops=("restore",)),
    Rule(targets.NAME, targets.replaceable, stops=("restore",)),
    Rule("leftovers", folders.leftovers, stops=("doctor",)),
    Rule("kept data", folders.kept, stops=("doctor",)),
    Rule("state folder", folders.state, stops=("doctor",)),
    Rule("bucket", repository.bucket, stops=("doctor", "backup")),
    Rule("host key", repository.host_key, stops=("doctor",)),
    Rule("repository", repository.usable, stops=("doctor",)),
)


def rules_of(look: Look) -> tuple[Rule[Look], ...]:
    """Every rule that the stack has to keep: those of each service between those of all."""
    return (*_FIRST, *(rule for service in look.services.values() for rule in service.rules()), *_LAST)


def checks(config: Config, identity: Path | None = None, file: Path | None = None) -> list[Check]:
    """Ask every rule, as the doctor does; takes a few seconds.

    `identity` is a file with the recovery key, for a host whose own key the repository doesn't know yet; `file` the
    configuration where that isn't the default one: hints name it.
    Writes only a lock into the repository and little trial files where clones would lie, and removes them.
    """
    look = Look(config, identity=identity, file=file)
    return ask(rules_of(look), look)
