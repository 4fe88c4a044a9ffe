"""The promise that services come back, in a shape so plain that every version of Propolis can keep it.

A journal may be one that this version can't read: a newer one wrote it, or a line is damaged. Then nothing of its run
can be undone. But which services ran before, and how they are started, stands in a line of its own.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pydantic

from propolis.command.waiting import patiently
from propolis.config.schema import Config, PlatformConfig
from propolis.errors import PropolisError, ServicesDownError
from propolis.platform import open_platform
from propolis.run import Observer, UnreadableJournal
from propolis.stack.stack import LABELS, START_WAVES, address

_PAUSE = 0.5


class Promise(msgspec.Struct, frozen=True):
    """What is owed. Fields are only ever added, each with a default."""

    services: list[str]
    """Those that ran before, and have to run again."""
    platform: dict[str, Any]
    """How they are started: the configuration's section of this name."""
    addresses: dict[str, str] = {}
    """Where each accepts connections once it is up: `host:port`."""
    seconds: float = 600.0
    """How long that may take."""
    because: str = ""
    """Why no service may be started, if none is named."""


def promise(config: Config, services: tuple[str, ...], because: str = "") -> Mapping[str, Any]:
    """What a step gives the journal to keep."""
    return msgspec.to_builtins(  # type: ignore[no-any-return]
        Promise(
            services=list(services),
            platform=config.platform.model_dump(mode="json"),
            addresses={name: _host_and_port(address(config, name)) for name in services},
            seconds=config.timeouts.start,
            because=because,
        )
    )


def keep_promise(journal: UnreadableJournal, observer: Observer) -> None:
    """Bring back the services that a run stopped whose journal can't be read. Idempotent.

    Raises ServicesDownError if it can't be determined which, or if one doesn't come back.
    """
    found = _promise_of(journal.lines)
    if found is None:
        return
    if not found.services:
        if found.because:
            raise ServicesDownError(
                f"{journal.what}. Services were not started: {found.because}", left=journal.left, next=journal.next
            )
        return
    names = ", ".join(LABELS.get(name, name) for name in found.services)
    observer.note(f"the journal {journal.path} can't be read; restarting {names} all the same")
    if failures := _bring_back(found, observer):
        raise ServicesDownError(
            f"{journal.what}. Not all services are running again: {'; '.join(failures)}",
            left=journal.left,
            next=journal.next,
        )


def keep_up(config: Config, services: tuple[str, ...], observer: Observer) -> list[str]:
    """Have these services run and listen on the data that is there now; say which don't. Idempotent.

    Whether they answer to a login isn't asked: which one holds may not be known.
    """
    return _bring_back(msgspec.convert(promise(config, services), type=Promise), observer)


def _bring_back(found: Promise, observer: Observer) -> list[str]:
    failures: list[str] = []
    try:
        control = open_platform(PlatformConfig.model_validate(found.platform))
        known = {name for wave in START_WAVES for name in wave}
        # One that only another version knows is started first: TheHive may need it, and it needs none of these.
        for wave in (tuple(name for name in found.services if name not in known), *START_WAVES):
            wanted = [name for name in wave if name in found.services]
            for name in wanted:
                control.start(name)
            for name in wanted:
                failures += _wait(found, name, observer)
            if failures:
                break
    except (PropolisError, pydantic.ValidationError) as error:
        failures.append(error.what if isinstance(error, PropolisError) else "its platform is unknown to this version")
    return failures


def _wait(promise: Promise, service: str, observer: Observer) -> list[str]:
    where = promise.addresses.get(service)
    if where is None:
        return []
    host, _, port = where.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        return [
            f"{LABELS.get(service, service)} was started, but {where!r}, where it could be checked, is not an address"
        ]
    deadline = time.monotonic() + promise.seconds
    with patiently(observer, f"{LABELS.get(service, service)} at {where}", promise.seconds):
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=10.0):
                return []
            time.sleep(_PAUSE)
    return [f"{LABELS.get(service, service)} at {where} did not answer within {promise.seconds:g} s"]


def _promise_of(lines: list[dict[str, Any]]) -> Promise | None:
    """The last promise that can be read; None if nothing was stopped yet."""
    for line in reversed(lines):
        if line.get("event") == "promise":
            try:
                return msgspec.convert(line.get("promise"), type=Promise)
            except msgspec.ValidationError:
                continue
    return _older_promise(lines)


def _older_promise(lines: list[dict[str, Any]]) -> Promise | None:
    """Journals had no such line at first: then the step that keeps services tells, and the configuration."""
    begun = {line.get("step") for line in lines if line.get("event") == "before"}
    first = next((line for line in lines if line.get("event") == "begin"), {})
    steps = first.get("steps")
    named = dict(enumerate(steps)) if isinstance(steps, list) else {}
    kinds = {step["type"]: step for number, step in named.items() if number in begun and isinstance(step, dict)}
    try:
        if "replace-folders" in kinds:
            config = first["facts"]["config"]
            return Promise([], config["platform"], because="the restore was replacing the services' folders")
        kept = kinds["keep-services"]["services"]
        config = first["facts"]["config"]
        database, index = config.get("database", {}), config.get("index", {})
        where = {
            "database": f"{database.get('host')}:{database.get('port')}",
            "index": _host_and_port(str(index.get("url"))),
            "thehive": _host_and_port(str(config.get("thehive", {}).get("url"))),
        }
        return Promise(list(kept), config["platform"], {name: where[name] for name in kept})
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _host_and_port(where: str) -> str:
    if "://" not in where:
        return where.replace("[", "").replace("]", "")
    url = urlsplit(where)
    return f"{url.hostname or ''}:{url.port or (443 if url.scheme == 'https' else 80)}"
