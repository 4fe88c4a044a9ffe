"""The rules, in the order in which what they look at is needed, and whom each of them stops.

To a restore, services that don't answer or hold nothing are what it is for: it is warned at most.
"""

from __future__ import annotations

from pathlib import Path

from propolis.checks import database, folders, index, repository, services, settings, space, targets
from propolis.checks.asking import ask
from propolis.checks.look import Look
from propolis.checks.model import Check
from propolis.checks.rule import Rule
from propolis.config.schema import Config

RULES: tuple[Rule, ...] = (
    Rule("hosts", settings.this_host, stops=("doctor", "backup", "restore")),
    Rule("settings", settings.agree, stops=("doctor", "backup")),
    Rule("services", services.running, stops=("doctor",), warns=("backup",)),
    Rule("database", database.answers, stops=("doctor", "backup"), warns=("restore",)),
    Rule("database version", database.version, stops=("doctor", "backup"), warns=("restore",)),
    Rule("database nodes", database.nodes, stops=("doctor", "backup", "restore")),
    Rule("database state", database.state, stops=("doctor", "backup"), warns=("restore",)),
    Rule("database cluster", database.cluster, stops=("doctor", "backup", "restore")),
    Rule("database keyspace", database.keyspace, stops=("doctor", "backup")),
    Rule("database clock", database.time, warns=("backup", "restore")),
    Rule("index", index.answers, stops=("doctor", "backup"), warns=("restore",)),
    Rule("index version", index.version, stops=("doctor", "backup"), warns=("restore",)),
    Rule("index health", index.health, stops=("doctor", "backup")),
    Rule("index nodes", index.nodes, stops=("doctor", "backup", "restore")),
    Rule("index contents", index.contents, stops=("doctor", "backup")),
    Rule("indices", index.all_indices, warns=("backup",)),
    Rule("index writes", index.writes, stops=("doctor",), warns=("backup",)),
    Rule("thehive", services.thehive_health, stops=("doctor", "backup")),
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


def checks(config: Config, identity: Path | None = None, file: Path | None = None) -> list[Check]:
    """Ask every rule, as the doctor does; takes a few seconds.

    `identity` is a file with the recovery key, for a host whose own key the repository doesn't know yet; `file` the
    configuration where that isn't the default one: hints name it.
    Writes only a lock into the repository and little trial files where clones would lie, and removes them.
    """
    return ask(RULES, Look(config, identity=identity, file=file))
