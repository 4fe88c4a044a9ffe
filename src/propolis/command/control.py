"""Stopping a stack's services, starting them, and waiting until they answer for real."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable

from propolis.command.waiting import patiently
from propolis.config.schema import Config
from propolis.config.secrets import Login
from propolis.errors import PreflightError, PropolisError, ServicesDownError
from propolis.platform import open_platform
from propolis.platform.base import ServiceState
from propolis.run import Observer
from propolis.run.journal import describe
from propolis.stack.stack import LABELS, START_WAVES, address, agrees, answers, needed_by, services
from propolis.stack.thehive import server as thehive
from propolis.stack.thehive.elsewhere import elsewhere

PAUSE_ELSEWHERE = 0.5
"""Seconds between two looks at what other hosts start."""

UNHEALTHY_PATIENCE = 120.0
"""Seconds for which a TheHive that wasn't healthy before is waited for after its start."""


class ServiceControl:
    """A stack's services on this host, and what one command did to them. `warn` takes what somebody should know."""

    def __init__(self, config: Config, observer: Observer, warn: Callable[[str], None]) -> None:
        self.takes_unhealthy = False
        """TheHive was stopped although it wasn't healthy (--force-unhealthy): it need not be so after."""
        self.logins: dict[str, Login] = {}
        """The login that holds for a store now, where that isn't the configured one: its data is of elsewhere."""
        self._config = config
        self._observer = observer
        self._warn = warn
        self._platform = open_platform(config.platform, config.timeouts.stop)
        self._stopped: dict[str, float] = {}
        """When each service was first told to stop, and when it last answered since: by the monotonic clock."""
        self._answered: dict[str, float] = {}
        self._answering: set[str] = set()
        self._started_in_time = False
        self._revived = False

    def is_running(self, service: str) -> bool:
        """Whether the service's process runs, answering or not."""
        return self._platform.state(service) is ServiceState.RUNNING

    def has(self, service: str) -> bool:
        """Whether the service is one of this stack's, on this host.

        A store that TheHive keeps itself has none. Beyond that only TheHive may be missing, and only if it surely
        runs nowhere. Raises PreflightError if the platform has no TheHive while one may be running.
        """
        if service not in services(self._config):
            return False
        if service != "thehive" or service in self._platform.services():
            return True
        thehive.require_absent(self._config.require_thehive())
        return False

    def running(self) -> tuple[str, ...]:
        """Services that run now, in the order in which they are started. Raises PreflightError as `has` does."""
        names = (name for wave in START_WAVES for name in wave)
        return tuple(name for name in names if self.has(name) and self.is_running(name))

    def require_down(self, services: Iterable[str]) -> None:
        """Check that these services don't run: what is cloned or replaced under a running one is no whole state.

        Raises PreflightError naming those that do. Somebody may have started them since the plan was made.
        """
        if up := [LABELS[name] for name in services if self.has(name) and self.is_running(name)]:
            names = " and ".join(up)
            raise PreflightError(
                f"{names[0].upper()}{names[1:]} {'was' if len(up) == 1 else 'were'} started in the meantime",
                left="Its data was not changed" if len(up) == 1 else "Their data was not changed",
                next="Run the same command again",
            )

    @property
    def downtime(self) -> float | None:
        """Seconds from the moment TheHive was told to stop until it answered again; None if it wasn't stopped."""
        return self._between({"thehive"})

    @property
    def outage(self) -> float | None:
        """Seconds from the first stop of a service of this host until the last of them answered again."""
        return self._between(self._stopped)

    def _between(self, services: Iterable[str]) -> float | None:
        stopped = [self._stopped[name] for name in services if name in self._stopped]
        answered = [self._answered[name] for name in services if name in self._answered]
        return round(max(answered) - min(stopped), 3) if stopped and answered else None

    def stop(self, service: str) -> None:
        """Stop a service and wait until it is gone."""
        self._stopped.setdefault(service, time.monotonic())
        self._answering.discard(service)
        with patiently(self._observer, f"{LABELS[service]} to stop"):
            self._platform.stop(service)

    def start(self, service: str) -> None:
        """Launch a service without waiting for it. One that runs is left alone."""
        if service == "thehive" and not self.is_running(service):
            others_listen = all(nodes.listen() for nodes in elsewhere(self._config))
            self._started_in_time = others_listen and self._answering.issuperset(self._stores())
        self._platform.start(service)

    def wait_for(self, service: str, *, revive: bool = False, seconds: float | None = None) -> None:
        """Wait until a service answers for real; raise PreflightError when it doesn't within its time.

        That is `seconds`, or `timeouts.start` for one that was just started. `revive`: a TheHive that never will,
        since it was started before its stores answered, is restarted once.
        """
        patience = self._config.timeouts.start if seconds is None else min(seconds, self._config.timeouts.start)
        if service == "thehive" and self.takes_unhealthy:
            patience = min(patience, UNHEALTHY_PATIENCE)
        with patiently(self._observer, f"{LABELS[service]} at {address(self._config, service)}", patience):
            if service == "thehive":
                try:
                    self._wait_for_thehive(revive, patience)
                except PreflightError as error:
                    if not self.takes_unhealthy:
                        raise
                    self._warn(f"TheHive is not healthy; continuing because of --force-unhealthy: {error.what}")
                    return
            else:
                answers(self._config, service, patience, lambda: self.is_running(service), self.logins.get(service))
                self._answering.add(service)
        if service in self._stopped:
            self._answered[service] = time.monotonic()

    def agree(self, service: str) -> None:
        """Wait until the whole cluster of a service is there; raise PreflightError when it isn't in time."""
        patience, login = self._config.timeouts.start, self.logins.get(service)
        with patiently(self._observer, f"the cluster of {LABELS[service]}", patience):
            agrees(self._config, service, patience, lambda: self.is_running(service), login)

    def _wait_for_thehive(self, revive: bool, patience: float) -> None:
        config = self._config.require_thehive()

        def alive() -> bool:
            return self.is_running("thehive")

        try:
            found = thehive.answers(config, patience, alive, self._never_listens if revive else None)
        except thehive.NeverListens:
            self._revived = True
            self._observer.note(
                "TheHive is running but does not listen, because it was started before its database and its index "
                "answered. They answer now, so TheHive is restarted"
            )
            self._platform.stop("thehive")
            self.start("thehive")
            found = thehive.answers(config, patience, alive)
        if found.login_refused:
            self._observer.note(
                f"TheHive reports that it is healthy, but the login in propolis.yaml fails ({found.detail})"
            )

    def _never_listens(self) -> bool:
        """Whether it gave up on its stores, as far as that can be determined: a slow start must not be cut short."""
        if self._revived or self._started_in_time:
            return False
        stores = {store: self._platform.age(store) for store in self._stores()}
        others = elsewhere(self._config)
        ages = (*stores.values(), *(None for _ in others))
        if not started_too_early(self._platform.age("thehive"), ages, self._config.timeouts.listen):
            return False
        if not all(nodes.listen() for nodes in others):
            return False
        try:
            for store in stores:
                answers(self._config, store, 5.0)
                agrees(self._config, store, 5.0)
                self._answering.add(store)
        except PreflightError:
            return False
        return True

    def _stores(self) -> tuple[str, ...]:
        """The services that TheHive needs at its start."""
        return needed_by(self._config, "thehive")

    def _await_stores_elsewhere(self) -> None:
        """Wait for other hosts' database and index, though not for ever: TheHive gives up on them, and stays so."""
        patience = self._config.timeouts.start
        deadline = time.monotonic() + patience
        for nodes in elsewhere(self._config):
            with patiently(self._observer, f"{LABELS[nodes.service]} on other hosts", patience):
                while not nodes.listen() and time.monotonic() < deadline:
                    time.sleep(PAUSE_ELSEWHERE)

    def bring_back(self, services: tuple[str, ...]) -> None:
        """Have these services running and answering, whatever state they are in now.

        The services of one wave start side by side; a wave waits for the one before, without which it couldn't serve,
        and TheHive for its stores on other hosts, which see to them themselves.
        Raises ServicesDownError, and nothing else, having tried all of a wave.
        """
        failures: list[str] = []
        for wave in START_WAVES:
            wanted = [name for name in wave if name in services]
            if "thehive" in wanted:
                self._await_stores_elsewhere()
            for action in (self.start, functools.partial(self.wait_for, revive=True)):
                for name in wanted:
                    try:
                        action(name)
                    except Exception as error:
                        failures.append(error.what if isinstance(error, PropolisError) else describe(error))
            if failures:
                raise ServicesDownError(
                    f"Not all services are running again: {'; '.join(failures)}",
                    next="See the service's own log, fix the cause, then run `propolis recover`",
                )


def started_too_early(age: float | None, stores: Iterable[float | None], patience: float) -> bool:
    """Whether a TheHive that doesn't listen was started before its stores answered, as far as ages tell, and gave up.

    All in seconds: its own age, those of the stores' processes (None: not known), and `patience`, within which a
    store answers once it was started, and TheHive gives up. One that was started later than that after its stores is
    taken for slow: it may be migrating its data.
    """
    if age is None or age < patience:
        return False
    return any(store is None or store < age + patience for store in stores)
