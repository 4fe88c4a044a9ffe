"""How TheHive says it is, and whether a login works: that it answers proves nothing.

Measured on TheHive 4.1.24: `/api/status` stays 200 with its database stopped or its index deleted; `/api/health` is
200 then, too, and only its body tells (`Ok`, `Warning`, `Error`). A login needs both, the database and the index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from propolis.config import secrets
from propolis.config.schema import TheHiveConfig
from propolis.stack.asking.http import HttpClient, HttpFailure

State = Literal["ok", "warning", "error"]

_HEALTH = "/api/health"
_STATUS = ("/api/status", "/api/v1/status/public")
"""Open to everybody. TheHive 4 has the first, TheHive 5 both (StrangeBee's API reference)."""

_WHO_AM_I = ("/api/v1/user/current", "/api/user/current")
_LOGIN = ("/api/v1/login", "/api/login")

_UNTOLD = f"it has no {_HEALTH}"

_STATES: Mapping[str, State] = {"ok": "ok", "warning": "warning", "error": "error"}

_ABSENT = (401, 403, 404, 405)
"""What a version that doesn't know a path answers, or a proxy that doesn't let it through."""


@dataclass(frozen=True)
class Health:
    """What TheHive answered.

    `ok`: all that could be asked is well. `warning`: it serves, but something is amiss with it, its health can't be
    told, or it refuses the configured login while it calls itself well. `error`: it answers and doesn't work.
    """

    state: State
    detail: str
    """What was asked and answered, in a few words; never a secret."""
    login_refused: bool = False

    @property
    def hint(self) -> str:
        """What to do, where it isn't `ok`."""
        if self.state == "ok":
            return ""
        if self.login_refused:
            return "Correct thehive.api_key, or thehive.username and thehive.password, in propolis.yaml"
        if self.detail.startswith(_UNTOLD):
            return "Set thehive.api_key in propolis.yaml: then a login proves that TheHive works"
        return "TheHive's own log says what is wrong"


def health(config: TheHiveConfig, timeout: float = 10.0) -> Health:
    """Ask TheHive how it is, and log in where propolis.yaml says as whom. `timeout` in seconds, for each request.

    Raises PreflightError if it doesn't answer at all, ConfigError if its secret can't be had.
    """
    try:
        return ask(config, timeout)
    except HttpFailure as failure:
        raise failure.as_preflight(f"TheHive at {config.url}") from None


def ask(config: TheHiveConfig, timeout: float) -> Health:
    """As `health`. Raises HttpFailure if it doesn't answer."""
    with HttpClient(config.url, timeout=timeout) as client:
        said = _said(client)
        told = said is not None
        found = said or _answering(client)
    if found.state == "error":
        return found
    login = _login(config, timeout)
    if login is None:
        return found
    detail = f"{found.detail}; {login.detail}"
    if login.state == "ok":
        return Health(found.state if told else "ok", detail)
    return Health("warning" if told and login.login_refused else "error", detail, login.login_refused)


def status(client: HttpClient) -> Any:
    """Give what `/api/status` answers, or the path that newer versions have. Raises HttpFailure."""
    return _first(_STATUS, client.get)


def _said(client: HttpClient) -> Health | None:
    """What `/api/health` says; None where this version has none."""
    try:
        body = str(client.get(_HEALTH)).strip().strip('"')
    except HttpFailure as failure:
        if failure.status is None:
            raise
        return None if failure.status in _ABSENT else Health("error", f"{_HEALTH}: {failure}")
    state = _STATES.get(body.lower())
    return None if state is None else Health(state, f"{_HEALTH}: {body}")


def _answering(client: HttpClient) -> Health:
    """What can be said where there is no `/api/health`: little."""
    try:
        status(client)
    except HttpFailure as failure:
        if failure.status is None:
            raise
        return Health("error", f"{_STATUS[0]}: {failure}")
    return Health("warning", f"{_UNTOLD}, and {_STATUS[0]} answers whatever is down")


def _login(config: TheHiveConfig, timeout: float) -> Health | None:
    """Log in as propolis.yaml says; None if it says nothing."""
    if config.api_key is not None:
        who = "the API key"
        with HttpClient(config.url, bearer=secrets.resolve(config.api_key), timeout=timeout) as client:
            return _tried(_WHO_AM_I, client.get, who)
    if config.username is None or config.password is None:
        return None
    login = {"user": config.username, "password": secrets.resolve(config.password)}
    with HttpClient(config.url, timeout=timeout) as client:
        return _tried(_LOGIN, lambda path: client.request("POST", path, login), f"the login of {config.username}")


def _tried(paths: tuple[str, ...], call: Callable[[str], Any], who: str) -> Health:
    try:
        _first(paths, call)
    except HttpFailure as failure:
        if failure.status is None:
            raise
        if failure.status == 402:  # how TheHive asks for a second factor
            return Health("error", f"{who} needs a second factor: set thehive.api_key instead", login_refused=True)
        refused = failure.status in (401, 403)
        return Health("error", f"it refuses {who}" if refused else f"{who}: {failure}", refused)
    return Health("ok", f"{who} is accepted")


def _first(paths: tuple[str, ...], call: Callable[[str], Any]) -> Any:
    """Call with the first path that this version has."""
    for path in paths[:-1]:
        try:
            return call(path)
        except HttpFailure as failure:
            if failure.status not in (404, 405):
                raise
    return call(paths[-1])
