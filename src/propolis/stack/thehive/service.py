"""TheHive, as a service of the stack, with the stores that it keeps itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from propolis.config.schema import BerkeleyConfig, Config, LuceneConfig, TheHiveConfig
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.files import store
from propolis.stack.model import BackedUp, FolderTree, Service, Tree, nothing_immutable
from propolis.stack.rules import Asking, Check, Rule
from propolis.stack.thehive import embedded, server
from propolis.stack.thehive.health import Health
from propolis.stack.thehive.rules import TheHiveRules


class TheHive(Service[server.TheHiveFacts]):
    """TheHive on this host."""

    role = "thehive"
    label = "TheHive"
    needs = ("database", "index", "minio")
    proof = "/api/health"
    names = ("database/berkeleyje", "index/lucene", "files/folder", "files/bucket", "config/thehive")

    def __init__(self, config: Config, section: TheHiveConfig) -> None:
        super().__init__()
        self.config = config
        self.section = section

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The section `thehive`: every stack has one, on one of its hosts."""
        return None if config.thehive is None else cls(config, config.thehive)

    @property
    def address(self) -> str:
        """Its URL."""
        return self.section.url

    def trees(self) -> tuple[Tree, ...]:
        """Attachments, configuration, and the database and the index where it keeps them itself.

        A bucket of the stack's own MinIO is part of that server's folders, and read nowhere else. The files of the
        configuration are few and edited in place, so they are copied.
        """
        kept = [self.config.database, self.config.index]
        own = [tree for one in kept if isinstance(one, BerkeleyConfig | LuceneConfig) for tree in embedded.trees(one)]
        configuration = FolderTree("config", "config/thehive", self.role, nothing_immutable, self.section.config)
        files = self.config.files
        attachments = () if self.config.minio is not None or files is None else store.trees(files)
        return (*own, *attachments, configuration)

    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> Health:
        """Wait until it answers and works; it has no login but the configured one."""
        return server.answers(self.section, timeout, alive)

    def facts(self) -> server.TheHiveFacts:
        """Its version."""
        return server.facts(self.section)

    def rules(self) -> tuple[Rule[Asking], ...]:
        """Whether it is well, and its own stores are there."""
        return TheHiveRules(self.config, self.section, self.told).all()

    def same(self, backed_up: BackedUp, look: Asking) -> Iterator[Check]:
        """Its files are of no version: the database tells which one it needs, and TheHive migrates that itself."""
        return iter(())
