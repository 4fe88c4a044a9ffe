"""Which logins hold after a restore: roles and users come with the data, and this host's TheHive has its own.

Cassandra keeps its roles in `system_auth`, Elasticsearch its native users in the index `.security`, OpenSearch in one
like it: a restore replaces all of them by the backup's. Keys of a bucket don't come with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from propolis.config import hocon, secrets
from propolis.config.schema import Config
from propolis.config.secrets import Login
from propolis.errors import ConfigError
from propolis.stack import database

Service = Literal["database", "index"]

Settings = Callable[[], hocon.Hocon]
"""Reads the backup's application.conf. Raises ConfigError saying why it can't be had."""

_KEYS: Mapping[Service, tuple[str, str]] = {
    "database": ("db.janusgraph.storage.username", "db.janusgraph.storage.password"),
    "index": (
        "db.janusgraph.index.search.elasticsearch.http.auth.basic.username",
        "db.janusgraph.index.search.elasticsearch.http.auth.basic.password",
    ),
}
_WHO: Mapping[Service, tuple[str, str]] = {"database": ("Cassandra", "role"), "index": ("the index", "user")}


@dataclass(frozen=True)
class Check:
    """What is to be said of a login before the restore, in the form of the doctor's checks."""

    name: str
    result: Literal["ok", "warn", "fail"]
    message: str
    hint: str = ""


@dataclass(frozen=True)
class LoginAfter:
    """What becomes of one service's login by a restore.

    `same`: the backup's login is this host's. `differs`: this host's no longer holds. `comes along`: so it is, but
    TheHive's settings are restored, too. `unknown`: it can't be told.
    """

    service: Service
    state: Literal["same", "differs", "comes along", "unknown"]
    reason: str
    """Why it is unknown; what differs."""
    here: Login | None = field(default=None, repr=False)
    backed_up: Login | None = field(default=None, repr=False)
    can_set: bool = False
    """Whether Propolis can give this host's password to what comes with the data."""
    lines: str = ""
    """What to change instead: file, line and key."""

    @property
    def name(self) -> str:
        """The role or user that this host's TheHive logs in as."""
        return self.here[0] if self.here else ""


def logins_after(
    config: Config, stores: frozenset[str], settings: Settings, *, superuser: str, settings_come: bool
) -> tuple[LoginAfter, ...]:
    """Compare this host's logins with the backup's, for those of `stores` that have users of their own.

    `superuser` is the role that the backup knows to be one, or empty; `settings_come`: application.conf is restored
    in place. Raises ConfigError if a password of this host can't be had.
    """
    here: dict[Service, Login | None] = {}
    if "database" in stores and config.cassandra is not None and database.asks_for_login(config.cassandra):
        here["database"] = secrets.login(config.cassandra.username, config.cassandra.password)
    if "index" in stores and config.elasticsearch is not None:
        login = secrets.login(config.elasticsearch.username, config.elasticsearch.password)
        if login is not None and login[0] not in _file_users(config.elasticsearch.config):
            here["index"] = login
    after = [_after(config, service, login, settings, superuser) for service, login in here.items()]
    return tuple(
        replace(one, state="comes along") if settings_come and one.state == "differs" else one for one in after
    )


def _after(config: Config, service: Service, here: Login | None, settings: Settings, superuser: str) -> LoginAfter:
    user_key, password_key = _KEYS[service]
    try:
        found = settings()
        backed_up = _pair(found.text(user_key), found.text(password_key))
    except ConfigError as error:
        return LoginAfter(service, "unknown", error.what, here)
    if here == backed_up:
        return LoginAfter(service, "same", "", here, backed_up)
    product, kind = _WHO[service]
    lines = _lines(config, (user_key, password_key))
    if here is None or backed_up is None:
        who = "this host's propolis.yaml" if here is None else "the backup's TheHive"
        return LoginAfter(
            service, "differs", f"{who} logs in to {product} without a password", here, backed_up, False, lines
        )
    if here[0] == backed_up[0]:
        reason = f"the password of {product}'s {kind} {here[0]} is the backup's after the restore, not this host's"
        return LoginAfter(service, "differs", reason, here, backed_up, True, lines)
    reason = f"this host's TheHive logs in to {product} as {here[0]}, the backup's as {backed_up[0]}"
    can_set = service == "database" and backed_up[0] == superuser
    return LoginAfter(service, "differs", reason, here, backed_up, can_set, lines)


def checks(logins: tuple[LoginAfter, ...], *, set_password: bool) -> Iterator[Check]:
    """Say of each login whether it holds after the restore: `fail` where TheHive couldn't log in."""
    for login in logins:
        product, kind = _WHO[login.service]
        name = f"login of the {login.service}"
        if login.state == "same":
            yield Check(name, "ok", f"the {kind} {login.name} has the same password in the backup")
        elif login.state == "comes along":
            message = f"TheHive's settings are restored with the data: {login.reason}"
            hint = f"If {login.lines} is not what propolis.yaml refers to, change it there after the restore"
            yield Check(name, "warn", message, hint)
        elif login.state == "unknown":
            message = f"{kind}s of {product} come with the data, and the backup's can't be compared: {login.reason}"
            hint = f"If {product} refuses the login after the restore, the former data is put back"
            yield Check(name, "warn", message, hint)
        elif set_password and login.can_set:
            yield Check(name, "ok", f"the {kind} {login.name} gets this host's password")
        else:
            yield Check(name, "fail", _sentence(login), _next(login))


def _sentence(login: LoginAfter) -> str:
    product, kind = _WHO[login.service]
    return f"{product[0].upper()}{product[1:]}'s {kind}s come with the data: {login.reason}"


def _next(login: LoginAfter) -> str:
    _, kind = _WHO[login.service]
    change = f"set {login.lines} to what the backup has, and propolis.yaml with it"
    if login.can_set:
        return f"Add --set-password, and the {kind} {login.name} gets this host's password; or {change}"
    return f"{change[0].upper()}{change[1:]}"


def settable(logins: tuple[LoginAfter, ...]) -> list[LoginAfter]:
    """Those that don't hold after the restore unless Propolis gives them this host's password, which it can."""
    return [login for login in logins if login.state == "differs" and login.can_set]


def agreed(logins: tuple[LoginAfter, ...], ask: Callable[[str], bool] | None) -> bool:
    """Ask a person whether those that can be set shall be; True if so for all of them, and if there are any."""
    wanted = settable(logins)
    return ask is not None and bool(wanted) and all(ask(_question(login)) for login in wanted)


def _question(login: LoginAfter) -> str:
    _, kind = _WHO[login.service]
    return f"{_sentence(login)}. Give the {kind} {login.name} this host's password after the restore?"


def _pair(user: str | None, password: str | None) -> Login | None:
    return None if user is None or password is None else (user, password)


def _lines(config: Config, keys: tuple[str, str]) -> str:
    """Where this host's application.conf has the login: `file:line (key)`, for user and password."""
    file = config.thehive.config / "application.conf"
    try:
        read = hocon.read(file)
        origins = [(read.origin(key), key) for key in keys]
    except ConfigError:
        origins = [(None, key) for key in keys]
    return " and ".join(f"{origin or file} ({key})" for origin, key in origins)


def _file_users(folder: Path) -> frozenset[str]:
    """Users of Elasticsearch's file realm: they are in its configuration, which stays this host's."""
    try:
        lines = (folder / "users").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(line.partition(":")[0].strip() for line in lines if ":" in line)
