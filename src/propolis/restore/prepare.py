"""What is known of a restore before its first step: the backup, what it replaces, and which logins hold after it."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from propolis.command.context import Context
from propolis.command.stores import open_repository
from propolis.config.hocon import Hocon
from propolis.errors import ConfigError, PreflightError, PropolisError, RepositoryError
from propolis.repository import Header, Manifest, Repository, Stats
from propolis.restore import backed_up
from propolis.restore.hosts.names import seen_by
from propolis.restore.logins import Logins, Settings, logins_after
from propolis.restore.others import Kind
from propolis.restore.request import RestoreRequest
from propolis.run import Observer
from propolis.stack.model import Tree, bare, host_in
from propolis.stack.stack import STORES, optional_of, trees_of


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """One backup that goes into one stack."""

    request: RestoreRequest
    repository: Repository
    manifest: Manifest
    in_place: tuple[Tree, ...]
    """Trees that are replaced."""
    beside: tuple[Tree, ...]
    """Those that are laid beside the target's own, for comparison: another host's configuration."""
    logins: Logins
    settings: Settings | None
    """Reads the backup's application.conf, where that is restored in place of this host's."""

    @property
    def header(self) -> Header:
        """The manifest's header."""
        return self.manifest.header

    @property
    def replaceable(self) -> Mapping[Kind, Collection[str]]:
        """What of others may be replaced, since it was named."""
        return {"index": self.request.replace_indices, "keyspace": self.request.replace_keyspaces}

    def beside_folder(self, tree: Tree) -> Path:
        """Where another host's configuration is laid for comparison."""
        return self.request.target.state / "restored-config" / self.manifest.id / Path(tree.name).name

    def progress(self, observer: Observer) -> Callable[[Stats], None]:
        """Pass the repository's counters on to whoever watches."""
        total = sum(tree.bytes for tree in self.header.trees)
        return lambda stats: observer.progress(stats.bytes, total, "bytes")


def prepare(request: RestoreRequest, context: Context) -> Restoration:
    """Open the backup and see what of it fits the target. Touches nothing.

    Raises RepositoryError or IntegrityError for the backup, PreflightError for a target that is laid out otherwise.
    """
    repository = open_repository(request.source, request.identity, request.at)
    if request.is_woven and not repository.reads_packs:
        raise RepositoryError(
            f"{request.target.host} has no key that reads data in the repository {repository.storage.place}",
            left="Nothing was changed",
            next=f"Put the recovery key {repository.ring.recovery_text()} into a file on that host (mode 0600), and "
            "name that file there as restore.identity in propolis.yaml; remove it after the restore",
        )
    remarks: list[str] = []
    manifest = repository.manifest(repository.resolve(request.backup, request.source.name, remarks, sure=True))
    if request.hosts is not None:
        manifest = seen_by(manifest, request.target.host or "", request.hosts)
    for remark in [*(finding.what for finding in repository.damaged_rings), *remarks]:
        context.observer.note(remark)
    targets = _targets(manifest.header, request)
    in_place = tuple(
        tree
        for tree in targets
        if tree.store != "config" or "config" in request.stores or _came_from_here(manifest.header, tree)
    )
    settings = _settings_of(repository, manifest)
    settings_come = any(bare(tree.name) == backed_up.TREE for tree in in_place)
    after = logins_after(
        request.target,
        frozenset(tree.store for tree in in_place),
        settings,
        superuser=str(manifest.header.facts.get("database_superuser", "")),
        settings_come=settings_come,
        users_file=lambda: backed_up.index_users_file(repository, manifest, request.target.host),
    )
    return Restoration(
        request=request,
        repository=repository,
        manifest=manifest,
        in_place=in_place,
        beside=tuple(tree for tree in targets if tree not in in_place),
        logins=Logins(after, set_password=request.set_password),
        settings=settings if settings_come else None,
    )


def _settings_of(repository: Repository, manifest: Manifest) -> Settings:
    """Read the backup's application.conf when it is first asked for."""

    @functools.cache
    def settings() -> Hocon:
        try:
            return backed_up.settings(repository, manifest)
        except ConfigError:
            raise
        except PropolisError as error:  # a missing key, or damage: the restore's own checks say so, and refuse
            raise ConfigError(error.what) from None

    return settings


def _targets(header: Header, request: RestoreRequest) -> tuple[Tree, ...]:
    """The target's trees that the backup can fill."""
    targets = trees_of(request.target, request.stores or STORES)
    backed_up = {tree.name for tree in header.trees}
    missing = [tree.name for tree in targets if tree.name not in backed_up]
    unplaced = [
        tree.name
        for tree in header.trees
        if tree.store in (request.stores or STORES)
        and host_in(tree.name) in ("", request.target.host)
        and tree.name not in {target.name for target in targets}
        and optional_of(tree.name) not in request.without
    ]
    if missing or unplaced:
        sections = sorted({optional_of(name) for name in (*missing, *unplaced)} - {""})
        left_out = f"leave out what is unlike with {' '.join(f'--without {one}' for one in sections)}, "
        raise PreflightError(
            "The target stack has another layout than the backup"
            + (f"; the backup lacks {', '.join(missing)}" if missing else "")
            + (f"; the target has no place for {', '.join(unplaced)}" if unplaced else ""),
            left="Nothing was changed",
            next="Configure the target as the backup's stack was, "
            + (left_out if sections else "")
            + "or restore some stores with --only",
        )
    return targets


def _came_from_here(header: Header, tree: Tree) -> bool:
    held = header.tree(tree.name)
    return held is not None and header.host == socket.gethostname() and held.original == tree.target
