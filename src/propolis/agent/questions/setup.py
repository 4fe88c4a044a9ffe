"""What is on a host that a coordinator adds, and what is written there: a configuration if there is none, a key."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from propolis import __version__
from propolis.agent.questions.asked import Asked
from propolis.command.apart import require_apart
from propolis.command.host_key import host_identity, why_closed
from propolis.config import sample, secrets
from propolis.config.discovery.stack import Discovery
from propolis.config.discovery.stack import discover as look
from propolis.config.fields import Model, SecretRef
from propolis.config.load import load
from propolis.config.schema import CassandraConfig, Config, ElasticsearchConfig
from propolis.errors import ConfigError, PreflightError
from propolis.stack.stack import address, instances, services

_USUAL = ("etc", "propolis")
"""Where a configuration usually lies below the root of its host."""


def about(asked: Asked) -> dict[str, Any]:
    """Version and user, and what its configuration says, if there is one."""
    found: dict[str, Any] = {
        "propolis": __version__,
        "hostname": socket.gethostname(),
        "root": os.geteuid() == 0,
        "file": str(asked.file),
        "configured": asked.file.exists(),
    }
    if found["configured"]:
        config = load(asked.file)
        found |= _shown(config) | {"host": config.host or "", "stack": config.name, "url": config.repository.url}
    return found


def discover(asked: Asked) -> dict[str, Any]:
    """What `configure` would write."""
    found = _found(asked)
    return {"problems": list(found.problems), "warnings": list(found.warnings)} | (
        {} if found.config is None else _shown(found.config)
    )


def configure(asked: Asked) -> dict[str, Any]:
    """Write this host's configuration. Raises ConfigError where there is one already: that is its administrator's."""
    found = _found(asked)
    if found.config is None:
        raise ConfigError(
            f"What is on this host could not be found: {'; '.join(found.problems)}",
            left="Nothing was written there",
            next="Fix these, or write its propolis.yaml by hand",
        )
    require_apart(found.config)
    sample.write(asked.file, sample.render(found.config, found.notes))
    return {"file": str(asked.file), "warnings": list(found.warnings)} | _shown(found.config)


def key(asked: Asked) -> dict[str, Any]:
    """This host's own key, made if missing: its public part, and why the repository can't be used with it."""
    config = asked.config()
    recipient = str(host_identity(config.repository.host_key).recipient)
    return {"recipient": recipient, "closed": why_closed(config)}


def _found(asked: Asked) -> Discovery:
    file, options = asked.file.absolute(), asked.options
    repository, known = options.get("repository"), options.get("known", {})
    if not isinstance(repository, Mapping) or not isinstance(known, Mapping):
        raise PreflightError("What was asked is not understood: it names no repository")
    # Where this host keeps its key is nobody else's business.
    repository = {key: value for key, value in repository.items() if key not in ("host_key", "copies")}
    root = file.parents[2] if file.parent.parts[-2:] == _USUAL else Path("/")
    return _with_nodes(look(root, repository=repository, name=asked.ask.stack, host=asked.ask.host, known=known))


def _with_nodes(found: Discovery) -> Discovery:
    """Count the nodes of clusters by asking the servers that run: their files may name only some of them."""
    if found.config is None:
        return found
    sections, notes = {}, dict(found.notes)
    for service in instances(found.config):
        section = getattr(found.config, service.role, None)
        facts = service.told.known() if isinstance(section, CassandraConfig | ElasticsearchConfig) else None
        count = 0 if facts is None else len(facts.member.get("nodes", ()))
        if section is not None and count > service.nodes:
            sections[service.role] = section.model_copy(update={"nodes": count})
            notes[f"{service.role}.nodes"] = "its own answer"
    return replace(found, config=found.config.model_copy(update=sections), notes=notes)


def _shown(config: Config) -> dict[str, Any]:
    """What a configuration has, for a person: its services, and secrets that are missing."""
    return {
        "services": {role: address(config, role) for role in reversed(services(config))},
        "missing": list(_missing(config, "")),
    }


def _missing(section: Model, path: str) -> Iterator[str]:
    """Say which secrets can't be had, and where each is looked for."""
    for name in type(section).model_fields:
        value, key = getattr(section, name), f"{path}{name}"
        if isinstance(value, SecretRef):
            try:
                secrets.resolve(value)
            except ConfigError as error:
                yield f"{key}: {error.what}"
        elif isinstance(value, Model):
            yield from _missing(value, f"{key}.")
