"""Rules of an index, a server of either make."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from propolis.config.schema import IndexServerConfig
from propolis.stack.index.contents import IndexInfo, folders
from propolis.stack.index.files import ring_of
from propolis.stack.index.server import IndexFacts
from propolis.stack.index.writes import FLOOD
from propolis.stack.ring import told
from propolis.stack.rules import Asking, Check, Once, Rule, counted, running, supported

SUPPORTED = {"elasticsearch": ("7", "8", "9"), "opensearch": ("1", "2", "3")}

_GRAPH = re.compile(r"_global[0-9]*$")
"""The name of the index that JanusGraph searches: the one that TheHive can't do without."""


class IndexRules:
    """What a server says of itself and of what it holds; of one that doesn't answer only that is said.

    `role` names it in checks, `prefix` is how the indices begin that its user needs, `setting` tells where that is
    set. `is_own` says of a name whether the index is this stack's.
    """

    def __init__(
        self,
        role: str,
        section: IndexServerConfig,
        told: Once[IndexFacts],
        indices: Once[list[IndexInfo]],
        blocks: Once[tuple[str, ...]],
        *,
        prefix: str,
        setting: str,
        is_own: Callable[[str], bool],
    ) -> None:
        self._role = role
        self._inventory = "indices" if role == "index" else f"{role} indices"
        self._section = section
        self._told = told
        self._indices = indices
        self._blocks = blocks
        self._prefix = prefix
        self._setting = setting
        self._is_own = is_own

    def all(self) -> tuple[Rule[Asking], ...]:
        """Every rule."""
        return (
            Rule(self._role, self.answers, stops=("doctor", "backup"), warns=("restore",)),
            Rule(f"{self._role} member", self.member, stops=("backup",)),
            Rule(f"{self._role} seeds", self.seeds, warns=("restore",)),
            Rule(f"{self._role} version", self.version, stops=("doctor", "backup"), warns=("restore",)),
            Rule(f"{self._role} health", self.health, stops=("doctor", "backup")),
            Rule(f"{self._role} nodes", self.nodes, stops=("doctor", "backup", "restore")),
            # A Cortex that nobody has logged in to yet has no index.
            Rule(f"{self._role} contents", self.contents, stops=("doctor", "backup"))
            if self._role == "index"
            else Rule(f"{self._role} contents", self.contents, warns=("backup",)),
            Rule(self._inventory, self.all_indices, warns=("backup",)),
            Rule(f"{self._role} writes", self.writes, stops=("doctor",), warns=("backup",)),
        )

    def answers(self, look: Asking) -> Iterator[Check]:
        """Whether it answers for real."""
        if look.asks(self._role):
            look.wait(self._role)
            self._told.get()
            yield Check(self._role, "ok", f"answers at {self._section.url}")

    def member(self, look: Asking) -> Iterator[Check]:
        """Whether a node of a cluster runs: only then is it seen that all of its nodes are backed up."""
        yield from running(self._role, self._section.nodes, look)

    def seeds(self, look: Asking) -> Iterator[Check]:
        """Whether it is known where a node of a cluster will look for the others."""
        if self._section.nodes > 1:
            yield from told(self._role, ring_of(self._section))

    def version(self, look: Asking) -> Iterator[Check]:
        """Whether its version is supported."""
        if (found := self._facts(look)) is not None:
            yield supported(f"{self._role} version", found.release, SUPPORTED)

    def health(self, look: Asking) -> Iterator[Check]:
        """Whether it has all its nodes and shards."""
        name = f"{self._role} health"
        if (found := self._facts(look)) is None:
            return
        if found.nodes < self._section.nodes:
            message = f"{found.nodes} of its {self._section.nodes} nodes have joined"
            yield Check(name, "fail", message, "Start the others, and check GET _cat/nodes")
            return
        if found.health == "green" or (found.health == "yellow" and found.nodes == 1):
            # One node has no place for replicas: yellow is all that it can be.
            yield Check(name, "ok", found.health)
        elif found.health == "yellow":
            yield Check(name, "warn", "yellow: replicas are missing", "Check GET _cluster/health")
        else:
            message = f"{found.health}: shards are missing, so it would not be healthy again after a restart"
            yield Check(name, "fail", message, "Check GET _cluster/health?level=indices")

    def nodes(self, look: Asking) -> Iterator[Check]:
        """Whether its cluster has no more nodes than are configured."""
        if (found := self._facts(look)) is not None and found.nodes > 1:
            yield from counted(f"{self._role} nodes", self._setting_of("nodes"), self._section.nodes, found.nodes)

    def contents(self, look: Asking) -> Iterator[Check]:
        """Whether it holds its user's indices, open: without them TheHive or Cortex doesn't start again."""
        name = f"{self._role} contents"
        if (found := self._facts(look)) is None:
            return
        closed = [info.name for info in self._indices.known() or () if not info.open and self._is_own(info.name)]
        reopen = f"Open {'it' if len(closed) == 1 else 'them'}: POST /{','.join(closed)}/_open"
        if not found.indices:
            more = f", closed: {', '.join(closed)}" if closed else ""
            message = f"there is no open index whose name begins with {self._prefix}{more}"
            yield Check(name, "fail", message, reopen if closed else self._setting)
            return
        counts = ", ".join(f"{index} ({count} documents)" for index, count in found.indices.items())
        yield Check(name, "ok", counts)
        for index in closed:
            if _GRAPH.search(index) and not any(_same_but_rebuilt(index, other) for other in found.indices):
                yield Check(name, "fail", f"{index} is closed: TheHive does not start without it", reopen)
            else:
                yield Check(name, "warn", f"{index} is closed: it is backed up closed")

    def all_indices(self, look: Asking) -> Iterator[Check]:
        """Whether every index on the disk can be seen, whoever's it is: a restore has to find each again."""
        if self._facts(look) is None:
            return
        seen = {info.uuid for info in self._indices.get()}
        unseen = len(folders(self._section.data).keys() - seen)
        if unseen:
            message = f"{unseen} indices on the disk are hidden from Propolis: they are copied, but not counted"
            user = f"{self._setting_of('username')} of propolis.yaml"
            hint = f"Give the user {user} the privilege to see them (monitor)"
            yield Check(self._inventory, "warn", message, hint)
        else:
            yield Check(self._inventory, "ok", f"Propolis sees every index on the disk ({len(seen)})")

    def writes(self, look: Asking) -> Iterator[Check]:
        """Whether it takes its user's writes: a full disk, or somebody, may have blocked them."""
        name = f"{self._role} writes"
        if self._facts(look) is None:
            return
        blocked = False
        for block in self._blocks.get():
            blocked = True
            hint = f"PUT /_cluster/settings with cluster.blocks.{block}: null, both persistent and transient"
            yield Check(name, "fail", f"the whole index takes no writes (cluster.blocks.{block})", hint)
        for info in self._indices.get():
            own = self._is_own(info.name)
            for block in info.blocks:
                if not info.open or not (own or block == FLOOD):
                    continue
                blocked = True
                message = f"{info.name} takes no writes (index.blocks.{block})"
                hint = "Free some space on its disk; then " if block == FLOOD else ""
                hint += f"PUT /{info.name}/_settings with index.blocks.{block}: null"
                yield Check(name, "fail" if own else "warn", message, hint)
        if not blocked:
            yield Check(name, "ok", "nothing blocks writes")

    def _setting_of(self, key: str) -> str:
        return f"{'index' if self._role == 'index' else 'cortex.index'}.{key}"

    def _facts(self, look: Asking) -> IndexFacts | None:
        return self._told.known() if look.asks(self._role) else None


def _same_but_rebuilt(name: str, other: str) -> bool:
    """Whether two names are of one index: a rebuild makes `…_global1` of `…_global`."""
    return name.rstrip("0123456789") == other.rstrip("0123456789")
