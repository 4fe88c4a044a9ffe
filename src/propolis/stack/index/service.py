"""An index: Elasticsearch or OpenSearch, as a service of the stack. There may be one more, which is Cortex's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

from propolis.config.schema import Config, IndexServerConfig
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.index import contents, files, server, users, writes
from propolis.stack.index.rules import IndexRules
from propolis.stack.model import FolderTree, Service, Tree, nothing_immutable
from propolis.stack.ring import Ring
from propolis.stack.rules import Asking, Once, Rule


class Index(Service[server.IndexFacts]):
    """TheHive's index, a server of either make on this host.

    `prefix` is how the indices begin of whom it is for, `audit` the name of TheHive's audit log, `guest` the prefix
    of somebody else's of this stack who keeps indices here, too.
    """

    role = "index"
    label = "the index"
    proof = "cluster health"
    logins = "user"
    proven = True
    names = ("index/data", "config/index")
    user: ClassVar[str] = "TheHive"
    """Whose it is, by name."""
    data: ClassVar[str] = "index/data"
    """The name of the tree of its data folder."""
    setting: ClassVar[str] = "Set index.prefix to the value of index.search.index-name in application.conf"

    def __init__(
        self, section: IndexServerConfig, prefix: str, audit: str | None = None, guest: str | None = None
    ) -> None:
        super().__init__()
        self.section = section
        self.prefix = prefix
        self.audit = audit
        self.guest = guest
        self.indices = Once(partial(contents.indices, section))
        """Every index that it holds, asked once."""
        self.blocks = Once(partial(writes.cluster_blocks, section))
        """What keeps it from taking writes, asked once."""

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The section `index` where that is a server."""
        section, cortex = config.elasticsearch, config.cortex
        if section is None:
            return None
        guest = cortex.prefix if cortex is not None and cortex.index is None else None
        return cls(section, section.prefix, section.audit, guest)

    @property
    def address(self) -> str:
        """Its URL."""
        return self.section.url

    def trees(self) -> tuple[Tree, ...]:
        """The node's whole data folder, and its configuration."""
        return (
            FolderTree("index", self.data, self.role, files.immutable, self.section.data),
            FolderTree("config", f"config/{self.role}", self.role, nothing_immutable, self.section.config),
        )

    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait until the cluster is at least yellow and its user's indices have all their primaries.

        A node of a cluster is waited for by itself.
        """
        server.answers(self.section, self.prefix, timeout, alive, login)

    @property
    def nodes(self) -> int:
        """As configured."""
        return self.section.nodes

    def ring(self) -> Ring | None:
        """As its own file has it."""
        return files.ring_of(self.section) if self.nodes > 1 else None

    def agrees(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait until all nodes have joined, and its user's indices have all their primaries."""
        if self.nodes > 1:
            server.agrees(self.section, self.prefix, timeout, alive, login)

    def facts(self) -> server.IndexFacts:
        """Make, version, health and the indices of its user."""
        return server.facts(self.section, self.prefix)

    def rules(self) -> tuple[Rule[Asking], ...]:
        """Rules of a server, and of what it holds."""
        return IndexRules(
            self.role,
            self.section,
            self.told,
            self.indices,
            self.blocks,
            prefix=self.prefix,
            setting=self.setting,
            is_own=lambda name: self.owner_of(name) == "stack",
        ).all()

    def owner_of(self, name: str) -> contents.Owner:
        """Say whose an index is."""
        return contents.owner_of(name, self.prefix, self.audit, self.guest)

    def give_password(self, known: Login, wanted: Login) -> None:
        """Give a user its password, logged in as that very user."""
        users.give_user(self.section, self.prefix, known, wanted)

    def noted(self, counted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Say under which names a manifest keeps what was `counted` here: TheHive's index has none of its own."""
        return counted if self.role == Index.role else {self.role: counted}

    def counted(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give what a manifest keeps of this index's counts; see `noted`."""
        found = facts if self.role == Index.role else facts.get(self.role)
        return found if isinstance(found, Mapping) else {}


class CortexIndex(Index):
    """Cortex's own index: another server of the same kind."""

    role = "cortex-index"
    label = "Cortex's index"
    optional = "cortex"
    names = ("index/cortex", "config/cortex-index")
    user = "Cortex"
    data = "index/cortex"
    setting = "Set cortex.prefix to the value of search.index in Cortex's application.conf"

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The section `cortex.index`, where there is one."""
        cortex = config.cortex
        return None if cortex is None or cortex.index is None else cls(cortex.index, cortex.prefix)
