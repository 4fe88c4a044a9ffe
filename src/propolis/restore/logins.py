"""Which logins hold after a restore: roles and users come with the data, and this host's TheHive has its own.

Cassandra keeps its roles in `system_auth`, Elasticsearch its native users in the index `.security`, OpenSearch in one
like it: a restore replaces all of them by the backup's. Keys of a bucket don't come with the data.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from propolis.checks import Check
from propolis.config import hocon, secrets
from propolis.config.environment import of_service
from propolis.config.schema import Config
from propolis.config.secrets import Login
from propolis.errors import ConfigError
from propolis.stack.database import server as database

Service = Literal["database", "index"]

Settings = Callable[[], hocon.Hocon]
"""Reads the backup's application.conf. Raises ConfigError saying why it can't be had."""

_KEYS: Mapping[Service, tuple[str, ...]] = {
    "database": ("db.janusgraph.storage.username", "db.janusgraph.storage.password"),
    "index": (
        "db.janusgraph.index.search.elasticsearch.http.auth.basic.username",
        "db.janusgraph.index.search.elasticsearch.http.auth.basic.password",
    ),
}
_WHO: Mapping[Service, tuple[str, str]] = {"database": ("Cassandra", "role"), "index": ("the index", "user")}


_WITHOUT = "TheHive uses no password, neither here nor in the backup"


@dataclass(frozen=True)
class LoginAfter:
    """What becomes of one service's login by a restore.

    `same`: the backup's login is this host's. `differs`: this host's no longer holds. `comes along`: so it is, but
    TheHive's settings are restored, too. `unknown`: it can't be determined.
    """

    service: Service
    state: Literal["same", "differs", "comes along", "unknown"]
    reason: str
    """Why it is unknown; what differs."""
    here: Login | None = field(default=None, repr=False)
    """TheHive's on this host."""
    own: Login | None = field(default=None, repr=False)
    """Propolis' own: usually the same."""
    backed_up: Login | None = field(default=None, repr=False)
    """TheHive's in the backup; None where it had none, or it can't be determined."""
    can_set: bool = False
    """Whether Propolis can give this host's password to what comes with the data."""
    lines: str = ""
    """What to change instead: file, line and key."""

    @property
    def name(self) -> str:
        """The role or user that this host's TheHive logs in as."""
        return self.here[0] if self.here else ""


@dataclass(frozen=True)
class Change:
    """A login as the backup has it, and as it is to be."""

    known: Login = field(repr=False)
    wanted: Login = field(repr=False)


def logins_after(
    config: Config,
    stores: frozenset[str],
    settings: Settings,
    *,
    superuser: str,
    settings_come: bool,
    users_file: Callable[[], str] = str,
) -> tuple[LoginAfter, ...]:
    """Compare this host's logins with the backup's, for those of `stores` that have users of their own.

    `superuser` is the role that the backup knows to be one, or empty; `settings_come`: application.conf is restored
    in place; `users_file` reads the backup's file of the index's users. Raises ConfigError if a password of this
    host can't be had.
    """
    here = _Here(config)
    found: list[LoginAfter] = []
    cassandra, elasticsearch = config.cassandra, config.elasticsearch
    if "database" in stores and cassandra is not None and database.asks_for_login(cassandra):
        own = secrets.login(cassandra.username, cassandra.password)
        found.append(_after(here, "database", own, settings, superuser))
    if "index" in stores and elasticsearch is not None:
        own = secrets.login(elasticsearch.username, elasticsearch.password)
        login = here.login("index", own)
        if (login or own) and not (login and login[0] in _file_users(elasticsearch.config)):
            after = _after(here, "index", own, settings, superuser)
            if after.backed_up is not None and after.backed_up[0] in _users_in(users_file()):
                reason = f"{after.backed_up[0]} is not in the index there, but in a file of its configuration"
                after = replace(after, state="unknown", reason=reason, backed_up=None)
            found.append(after)
    return tuple(
        replace(one, state="comes along") if settings_come and one.state == "differs" else one for one in found
    )


class _Here:
    """TheHive's settings on this host."""

    def __init__(self, config: Config) -> None:
        self._file = Path("application.conf")
        self._read: hocon.Hocon | None = None
        if config.thehive is None:
            return  # on another host
        folder = config.thehive.config
        self._file = folder / "application.conf"
        with contextlib.suppress(ConfigError):
            environment = {**os.environ, **of_service(folder.parent.parent, "thehive", "thehive")}
            self._read = hocon.read(self._file, environment=environment)

    def login(self, service: Service, own: Login | None) -> Login | None:
        """TheHive's login; Propolis' `own` where these settings can't be read."""
        try:
            return own if self._read is None else _pair(self._read, service)
        except ConfigError:
            return own

    def lines(self, keys: Iterable[str]) -> str:
        """Where keys are: `file:line (key)`, for each."""
        origins = [(None if self._read is None else self._read.origin(key), key) for key in keys]
        return " and ".join(f"{origin or self._file} ({key})" for origin, key in origins)


def _after(here: _Here, service: Service, own: Login | None, settings: Settings, superuser: str) -> LoginAfter:
    login = here.login(service, own)
    try:
        backed_up = _pair(settings(), service)
    except ConfigError as error:
        return LoginAfter(service, "unknown", error.what, login, own)
    if login == backed_up:
        return LoginAfter(service, "same", "", login, own, backed_up)
    product, kind = _WHO[service]
    can_set = False
    wrong = _KEYS[service]
    if login is None or backed_up is None:
        whose = "this host's" if login is None else "the backup's"
        reason = f"{whose} TheHive logs in to {product} without a password"
    elif login[0] == backed_up[0]:
        reason = (
            f"after the restore, the password of {product}'s {kind} {login[0]} is the one in the backup, not "
            "this host's"
        )
        can_set, wrong = True, wrong[1:]
    else:
        reason = f"this host's TheHive logs in to {product} as {login[0]}, the backup's as {backed_up[0]}"
        can_set = service == "database" and backed_up[0] == superuser
    return LoginAfter(service, "differs", reason, login, own, backed_up, can_set, here.lines(wrong))


def checks(logins: tuple[LoginAfter, ...], *, set_password: bool) -> Iterator[Check]:
    """Say of each login whether it holds after the restore: `fail` where TheHive couldn't log in."""
    for login in logins:
        product, kind = _WHO[login.service]
        name = f"login of the {login.service}"
        if login.own != login.here:
            message = (
                f"propolis.yaml logs in to {product} with another {kind} or password than TheHive; those are part of "
                "the data, too"
            )
            yield Check(
                f"{name}, Propolis's own",
                "warn",
                message,
                f"Set {login.service}.username and password if it is refused",
            )
        if login.state == "same":
            message = f"the {kind} {login.name} has the same password in the backup" if login.here else _WITHOUT
            yield Check(name, "ok", message)
        elif login.state == "comes along":
            message = f"TheHive's settings are restored with the data: {login.reason}"
            hint = f"If {login.lines} is not what propolis.yaml refers to, change it there after the restore"
            yield Check(name, "warn", message, hint)
        elif login.state == "unknown":
            message = (
                f"{kind}s of {product} are part of the data, and those of the backup can't be compared: "
                f"{login.reason}"
            )
            hint = f"If {product} refuses the login after the restore, the former data is put back"
            yield Check(name, "warn", message, hint)
        elif set_password and login.can_set:
            yield Check(name, "ok", f"the {kind} {login.name} gets this host's password")
        else:
            yield Check(name, "fail", _sentence(login), _next(login))


def _sentence(login: LoginAfter) -> str:
    product, kind = _WHO[login.service]
    return f"{product[0].upper()}{product[1:]}'s {kind}s are part of the data: {login.reason}"


def _next(login: LoginAfter) -> str:
    _, kind = _WHO[login.service]
    change = f"set {login.lines} to what the backup has, and propolis.yaml accordingly"
    if login.can_set:
        return f"Add --set-password, and the {kind} {login.name} gets this host's password; or {change}"
    return f"{change[0].upper()}{change[1:]}"


@dataclass(frozen=True)
class Logins:
    """What becomes of all logins by a restore, and whether this host's passwords are to be given where that helps."""

    after: tuple[LoginAfter, ...] = ()
    set_password: bool = False

    @property
    def settable(self) -> list[LoginAfter]:
        """Those that don't hold after the restore unless Propolis gives them this host's password, which it can."""
        return [login for login in self.after if login.state == "differs" and login.can_set]

    @property
    def to_set(self) -> list[LoginAfter]:
        """Those that get this host's password."""
        return self.settable if self.set_password else []

    @property
    def backed_up(self) -> dict[str, Login]:
        """Propolis' login to each service that holds only the backup's data, where that isn't its own."""
        return {
            login.service: login.backed_up
            for login in self.after
            if login.backed_up is not None and login.backed_up != login.own
        }

    def change_of(self, service: str) -> Change:
        """The login that is to be changed, and to what. Raises LookupError if none is."""
        for login in self.settable:
            if login.service == service and login.backed_up is not None and login.here is not None:
                return Change(login.backed_up, login.here)
        raise LookupError(f"no login of the {service} is to be changed")

    def checks(self) -> Iterator[Check]:
        """Say of each whether it holds after the restore: `fail` where TheHive couldn't log in."""
        return checks(self.after, set_password=self.set_password)

    def agreed(self, ask: Callable[[str], bool]) -> bool:
        """Ask a person whether those that can be set shall be; True if so for all of them, and if there are any."""
        return bool(self.settable) and all(ask(_question(login)) for login in self.settable)


def _question(login: LoginAfter) -> str:
    _, kind = _WHO[login.service]
    return f"{_sentence(login)}. Give the {kind} {login.name} this host's password after the restore?"


def _pair(settings: hocon.Hocon, service: Service) -> Login | None:
    user, password = (settings.text(key) for key in _KEYS[service])
    return None if user is None or password is None else (user, password)


def _file_users(folder: Path) -> frozenset[str]:
    """Users of Elasticsearch's file realm: they are in its configuration, which stays this host's."""
    try:
        return _users_in((folder / "users").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return frozenset()


def _users_in(text: str) -> frozenset[str]:
    return frozenset(line.partition(":")[0].strip() for line in text.splitlines() if ":" in line)
