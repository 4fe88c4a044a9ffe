"""What a stack consists of: trees, and services that write to them. Which ones there are: `propolis.stack.stack`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from propolis.config.schema import Config, S3Files
from propolis.config.secrets import Login
from propolis.stack.asking.retry import Alive
from propolis.stack.ring import Ring
from propolis.stack.rules import Asking, Check, Once, Rule

Immutable = Callable[[str], bool]
"""Says of a path in a tree ("a/b/c") whether the file never changes in place once its service stopped.

Anything a rule doesn't know is False: then a clone copies its bytes.
"""

KeptEmpty = Callable[[str], str | None]
"""Says of a folder in a tree ("a/b") whether it is kept without what it holds, and what that is called."""


def none_kept_empty(path: str) -> str | None:
    """Keep every folder with all that is in it (a `KeptEmpty` rule)."""
    return None


def nothing_immutable(path: str) -> bool:
    """Say of every file that it may change in place (an `Immutable` rule): its bytes are copied."""
    return False


def on_host(name: str, host: str | None) -> str:
    """The name that a tree has on a host, e.g. `database/db2/data-0`; the same name where `host` is none."""
    store, _, rest = name.partition("/")
    return f"{store}/{host}/{rest}" if host else name


def bare(name: str) -> str:
    """A tree's name without its host, e.g. `database/data-0`."""
    store, _, rest = name.partition("/")
    return f"{store}/{rest.rpartition('/')[2]}"


def host_in(name: str) -> str:
    """The host in a tree's name; empty where the stack is on one host."""
    return name.partition("/")[2].rpartition("/")[0]


@dataclass(frozen=True)
class TreeOfStore(ABC):
    """One folder or bucket of a store, as the repository keeps it.

    `name` is `store/…` and the same in every backup; `store/HOST/…` where the stack is spread over several hosts.
    `service` writes to it: while that service is stopped, nothing in it changes.
    """

    store: str
    name: str
    service: str
    host: str = field(default="", kw_only=True)
    """The host that has it, as its coordinator calls it; empty where the stack is on one host."""

    def on(self, host: str | None) -> Self:
        """The same tree, named as of a host."""
        return replace(self, name=on_host(self.name, host), host=host) if host else self

    @property
    @abstractmethod
    def target(self) -> str:
        """What the journal of a restore calls it."""


@dataclass(frozen=True)
class FolderTree(TreeOfStore):
    """A folder of this host.

    `immutable` says which files of a stopped service never change in place, `kept_empty` which folders' contents are
    left out.
    """

    immutable: Immutable
    path: Path
    kept_empty: KeptEmpty = none_kept_empty

    @property
    def target(self) -> str:
        """Its path."""
        return str(self.path)


@dataclass(frozen=True)
class BucketTree(TreeOfStore):
    """A bucket, or a part of it."""

    bucket: S3Files

    @property
    def target(self) -> str:
        """The tree's name."""
        return self.name


Tree = FolderTree | BucketTree
"""One folder or bucket of a stack."""


class Facts(ABC):
    """What a service says of itself."""

    @property
    @abstractmethod
    def release(self) -> str:
        """Product and version as a manifest tells them, e.g. `cassandra 4.1.10`; empty where it tells none."""

    @property
    def kept(self) -> Mapping[str, Any]:
        """What a manifest keeps besides, by the names of its facts: a restore compares it."""
        return {}

    @property
    def member(self) -> Mapping[str, Any]:
        """What hosts compare of a node of a cluster, as plain values: empty for a service that has no such.

        `cluster` is its name, `node` this node's ID, `nodes` those of all, `release` its product and version.
        """
        return {}


F = TypeVar("F", bound=Facts, covariant=True)


@dataclass(frozen=True)
class BackedUp:
    """What a backup tells of one service. `release` None: it did not run then."""

    release: str | None
    facts: Mapping[str, Any]
    """All facts of the manifest."""


class Service(ABC, Generic[F]):
    """One service of a stack: all that is particular to it. Others know only this.

    To add one: its module, its section in the schema, and its class in the list of `propolis.stack.stack`.
    """

    role: ClassVar[str]
    """Its name for the platform, in journals and manifests, e.g. `database`."""
    label: ClassVar[str]
    """Its name within a sentence, e.g. `the database`."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Roles of services that must answer before it starts, and may stop only after it; those that a stack has."""
    proof: ClassVar[str]
    """What proves that it answers, e.g. `query succeeds`."""
    stopping: ClassVar[str] = "stop"
    """What is done to stop it, e.g. `drain and stop`."""
    logins: ClassVar[str] = ""
    """What its logins are called, where they lie in its own data and come with a restore, e.g. `role`."""

    names: ClassVar[tuple[str, ...]]
    """The names of its trees in every backup, without the numbers of those that have one."""
    optional: ClassVar[str] = ""
    """The section of the configuration that a stack may lack, and with it this service; empty: none."""
    proven: ClassVar[bool] = False
    """Whether a restore checks what it holds, before TheHive starts."""
    same_major: ClassVar[bool] = True
    """Whether data can't go to another major release. To an older one it never can."""

    def __init__(self) -> None:
        self.told: Once[F] = Once(self.facts)
        """What it says of itself, asked once."""

    @classmethod
    @abstractmethod
    def of(cls, config: Config) -> Self | None:
        """The stack's service of this kind; None where it has none."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it answers, as a person writes it: a URL, or host and port."""

    @abstractmethod
    def trees(self) -> tuple[Tree, ...]:
        """What it writes to and reads, in a fixed order."""

    @abstractmethod
    def answers(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> object:
        """Wait until it answers for real, for at most `timeout` seconds and as long as it is `alive`.

        `login` is used instead of the configured one, where it has users of its own. Raises PreflightError saying
        what it last answered, ConfigError if its secret can't be had.
        """

    @property
    def nodes(self) -> int:
        """How many nodes its cluster has, this one among them; 1: it is no cluster."""
        return 1

    def ring(self) -> Ring | None:
        """Where this node is found and looks for others, as its configuration says; None: it doesn't, or is alone."""
        return None

    def agrees(self, timeout: float, alive: Alive | None = None, login: Login | None = None) -> None:
        """Wait until its whole cluster is there, as this node sees it; raises as `answers` does.

        `answers` is about this node alone: others may be down, and their hosts see to them.
        """

    @abstractmethod
    def facts(self) -> F:
        """Ask what it says of itself. Raises PreflightError if it doesn't answer."""

    @abstractmethod
    def rules(self) -> tuple[Rule[Asking], ...]:
        """Rules that it has to keep, in the order in which they are asked."""

    def same(self, backed_up: BackedUp, look: Asking) -> Iterator[Check]:
        """Check that a backup's data fits what is here, before it replaces this service's data.

        Data can't go back to an older version, nor over a major one; what isn't running is told by its start.
        """
        here = self.told.known() if look.asks(self.role) else None
        if here is None or not here.release:
            return
        name = f"version of {self.label}"
        if not backed_up.release:
            message = "the backup doesn't have it, since the service was not running"
            yield Check(name, "warn", message, f"If it was newer than {here.release}, install that version first")
        elif not self._fits(backed_up.release, here.release):
            same = " of the same major release" if self.same_major else ""
            yield Check(
                name,
                "fail",
                f"the backup was taken on {backed_up.release}, this host runs {here.release}",
                f"Install the version that the backup was taken on, or a newer one{same}",
            )

    def _fits(self, backed_up: str, here: str) -> bool:
        product, _, version = backed_up.partition(" ")
        other, _, present = here.partition(" ")
        was, now = _numbers(version), _numbers(present)
        return product == other and now >= was and (now[:1] == was[:1] or not self.same_major)

    def give_password(self, known: Login, wanted: Login) -> None:
        """Give the role or user of `wanted` its password, logged in as `known`, for a service that has `logins`.

        Returns once the login is accepted. Raises PreflightError if it isn't, or if the service refuses.
        """
        raise NotImplementedError


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
