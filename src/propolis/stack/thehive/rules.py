"""Rules of TheHive: whether it is well, and whether the stores that it keeps itself are there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from propolis.config.schema import BerkeleyConfig, Config, LuceneConfig, TheHiveConfig
from propolis.errors import PreflightError
from propolis.stack.rules import Asking, Check, Once, Rule
from propolis.stack.thehive import embedded, server
from propolis.stack.thehive.health import Health, health

NAME = "thehive"
"""The name of the check of its health."""

PATIENCE = 5.0
"""Seconds that an unhealthy one is given to say that it is well."""


class TheHiveRules:
    """What TheHive says of itself, and what lies in its folders."""

    def __init__(self, config: Config, section: TheHiveConfig, told: Once[server.TheHiveFacts]) -> None:
        self._config = config
        self._section = section
        self._told = told

    def all(self) -> tuple[Rule[Asking], ...]:
        """Every rule."""
        kept = [
            *(["database"] if isinstance(self._config.database, BerkeleyConfig) else []),
            *(["index"] if isinstance(self._config.index, LuceneConfig) else []),
        ]
        return (
            *(Rule(one, partial(self.kept_in_folder, one), ("doctor", "backup"), ("restore",)) for one in kept),
            Rule(NAME, self.well, stops=("doctor", "backup")),
        )

    def kept_in_folder(self, store: str, look: Asking) -> Iterator[Check]:
        """Whether its own database or index lies in its folder."""
        lacking = embedded.missing(self._config, store)
        if lacking is not None:
            hint = f"Set {store}.folder in propolis.yaml to the folder that TheHive uses"
            yield Check(store, "fail", lacking, hint)
        else:
            yield Check(store, "ok", "TheHive runs it itself, in a folder")

    def well(self, look: Asking) -> Iterator[Check]:
        """Whether it works, where the platform has it: one that doesn't may not start again once it is stopped."""
        if not look.asks(NAME) or not look.has(NAME):
            return
        try:
            found = self._health(look)
        except PreflightError as error:
            message = error.what
        else:
            version = self._told.get().version
            message = f"answers at {self._section.url}" + (f", version {version}" if version else "")
            message += f" ({found.detail})"
            if found.state != "error":
                yield Check(NAME, "ok" if found.state == "ok" else "warn", message, found.hint)
                return
        if look.force_unhealthy:
            yield Check(NAME, "warn", f"{message}; the backup was taken anyway (--force-unhealthy)")
        else:
            hint = (
                "Fix this first: once stopped, TheHive may not start again. "
                "`propolis backup --force-unhealthy` backs it up anyway"
            )
            yield Check(NAME, "fail", message, hint)

    def _health(self, look: Asking) -> Health:
        """Ask how it is. Raises PreflightError if it doesn't answer, or isn't well within some seconds."""
        try:
            found = health(self._section)
        except PreflightError:
            look.wait(NAME)
            return health(self._section)
        return server.answers(self._section, PATIENCE) if found.state == "error" else found
