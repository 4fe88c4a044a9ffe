"""Adding a host: reach it, see what is on it, give it a configuration and a key, and let the repository know the key.

Whatever is missing is said with what to do about it. Asking again goes on where it stopped: what is there is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from propolis import __version__
from propolis.command.known import remember
from propolis.command.stores import open_repository
from propolis.config.discovery.alone import told_to_others
from propolis.config.fields import SecretRef
from propolis.config.hosts import HostConfig
from propolis.config.schema import Config
from propolis.errors import ConfigError, PreflightError, PropolisError
from propolis.hosts.asking import Reach, understood
from propolis.hosts.setup.document import with_host, write_document
from propolis.link.process import EndedAtOnce
from propolis.repository import Repository
from propolis.repository.access.keyring import KeyHolder
from propolis.repository.crypto.recipients import parse_recipient
from propolis.repository.maintenance.rekey import add_key

_CREDENTIALS = "/etc/propolis"
"""Where a host has files with the repository's credentials, if the coordinator's are not in files."""


class About(msgspec.Struct, frozen=True):
    """What a host says of itself."""

    propolis: str
    hostname: str
    root: bool
    file: str
    configured: bool
    services: dict[str, str] = {}
    missing: tuple[str, ...] = ()
    host: str = ""
    stack: str = ""
    url: str = ""


class _Discovered(msgspec.Struct, frozen=True):
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    services: dict[str, str] = {}
    missing: tuple[str, ...] = ()


class _Key(msgspec.Struct, frozen=True):
    recipient: str
    closed: str = ""


@dataclass(frozen=True)
class Found:
    """What is on a host, before anything is written there."""

    host: str
    reached: str
    file: str
    """Its configuration, there."""
    configured: bool
    """Whether that was there already."""
    services: dict[str, str]
    """Where they answer, by role."""
    missing: tuple[str, ...] = ()
    """Secrets that can't be had there."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Added:
    """A host that was added."""

    found: Found
    key: str
    """Its key's public part."""
    registered: bool
    """Whether the repository was given the key just now; otherwise it knew it."""
    changed: bool
    """Whether the coordinator's configuration was changed; otherwise it named the host already."""


def find_host(config: Config, file: Path, name: str, host: HostConfig) -> Found:
    """Look what is on a host. Raises PropolisError saying what is missing and what to do; writes nothing."""
    reach = _reach(config, file, name, host)
    about = understood(name, _about(reach, name), About)
    if not about.root:
        raise PreflightError(
            f"Propolis doesn't run as root on {name}",
            left="Nothing was changed",
            next="Have the link run `sudo propolis agent` there; docs/many-hosts.md shows how for one key of ssh",
        )
    if about.configured:
        _require_same(config, name, about)
        return Found(name, str(host), about.file, True, about.services, about.missing)
    found = understood(name, reach.ask(name, "discover", _options(config)), _Discovered)
    if found.problems:
        raise PreflightError(
            f"What is on {name} could not be found:\n" + "\n".join(found.problems),
            left="Nothing was changed",
            next=f"Fix these there, or write {about.file} there by hand, with `host: {name}`; then run this again",
        )
    return Found(name, str(host), about.file, False, found.services, found.missing, found.warnings)


def add_host(
    config: Config,
    file: Path,
    name: str,
    host: HostConfig,
    identity: Path | None = None,
    confirm: Callable[[Found], None] = lambda found: None,
) -> Added:
    """Add a host to the stack. `identity` is a file with the recovery key; `confirm` is shown what was found.

    Raises PropolisError; what was done until then stays, and is said.
    """
    found = find_host(config, file, name, host)
    confirm(found)
    reach = _reach(config, file, name, host)
    repository = open_repository(config, identity)
    if identity is not None:
        repository.require_pack_key()
    if not found.configured:
        reach.ask(name, "configure", _options(config))
    try:
        key = understood(name, reach.ask(name, "key"), _Key)
        registered = _register(config, repository, name, key, identity)
    except PropolisError as error:
        there = "" if found.configured else f"{found.file} was written on {name}. "
        raise type(error)(
            error.what, left=f"{there}{file} was not changed", next=error.next or "Then run this again"
        ) from error
    changed = config.hosts.get(name) != host
    if changed:
        write_document(file, with_host(file, name, host), reach.config)
    return Added(found, key.recipient, registered, changed)


def _reach(config: Config, file: Path, name: str, host: HostConfig) -> Reach:
    if config.host is None:
        raise ConfigError(
            f"{file}: this host has no name, so it can't coordinate others",
            left="Nothing was changed",
            next="Give it one with `host: NAME` there. Trees of its backups are named by it from then on",
        )
    if name == config.host:
        raise ConfigError(f"{name} is this host itself", left="Nothing was changed", next="Name another one")
    values = config.model_dump() | {"hosts": {**config.hosts, name: host}}
    return Reach(Config.model_validate(values), file)


def _about(reach: Reach, name: str) -> Any:
    try:
        return reach.ask(name, "about")
    except EndedAtOnce as error:
        raise PreflightError(error.what, left="Nothing was changed", next=_why(name, error.what)) from error


def _why(name: str, what: str) -> str:
    """What to do about a link that ended at once, by what was said there."""
    said = what.lower()
    if "host key verification failed" in said:
        return f"ssh doesn't know {name} yet: connect once by hand, and compare the key that it shows"
    if "permission denied" in said:
        return f"Let this user's ssh key log in on {name}; docs/many-hosts.md shows how to allow it the agent alone"
    if "could not resolve" in said or "timed out" in said or "refused" in said or "no route" in said:
        return "Check the name, the network and that the server there is up"
    if any(part in said for part in ("not found", "no such", "exit code 127")):
        return f"Install Propolis {__version__} on {name}, where the link's command finds it"
    return "Run the command by hand and check what it says"


def _require_same(config: Config, name: str, about: About) -> None:
    """Check that the configuration there is of this stack. It is its administrator's, so it is never changed."""
    wanted = (("host", about.host, name), ("name", about.stack, config.name))
    wrong = [f"`{key}` is {there or 'not set'}, not {here}" for key, there, here in wanted if there != here]
    if about.url != config.repository.url:
        wrong.append(f"`repository.url` is {about.url}, not {config.repository.url}")
    if wrong:
        raise PreflightError(
            f"{name} has a configuration already, {about.file}, which doesn't fit: {'; '.join(wrong)}",
            left="Nothing was changed",
            next="Correct it there, or move it away; then run this again",
        )


def _options(config: Config) -> dict[str, Any]:
    """What a host is told of the stack: its repository and what TheHive's file says; secrets are files there."""
    section = config.repository
    values = section.model_dump(mode="json", exclude_defaults=True, exclude={"host_key", "copies"})
    for key in values:
        reference = getattr(section, key)
        if isinstance(reference, SecretRef) and reference.file is None:
            values[key] = {"file": f"{_CREDENTIALS}/repository.{key}"}
    return {"repository": values, "known": told_to_others(config)}


def _register(config: Config, repository: Repository, name: str, key: _Key, identity: Path | None) -> bool:
    """Let the repository know a host's key, with the recovery key; False where it does already."""
    known = {holder.recipient for holder in repository.ring.recovery + repository.ring.host}
    if key.recipient in known:
        return False
    if identity is None:
        raise PreflightError(
            f"The repository {config.repository.url} doesn't know the key of {name} yet",
            next="Run this again with --identity RECOVERY-KEY-FILE: only its holder can let another host in",
        )
    taken = {holder.name for holder in repository.ring.recovery + repository.ring.host}
    holder = KeyHolder.of(
        name if name not in taken else f"{name}-{key.recipient[-6:]}", parse_recipient(key.recipient)
    )
    add_key(repository, holder, "host")
    remember(config, Repository(repository.storage, repository.keys))
    return True
