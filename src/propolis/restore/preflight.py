"""All that could make a restore fail, checked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from propolis.checks import Check, Look, Rule, require, rules_of, told
from propolis.checks.asking import refuse
from propolis.checks.look import Target, Wanted
from propolis.checks.space import ENTRY_BYTES
from propolis.command.context import Context
from propolis.errors import IntegrityError
from propolis.repository import verify
from propolis.repository.access.leases import ReadingLease
from propolis.restore import others
from propolis.restore.bucket.keys import try_keys
from propolis.restore.measure import Measured
from propolis.restore.prepare import Restoration
from propolis.stack.index.service import Index
from propolis.stack.model import BackedUp, BucketTree, FolderTree, on_host
from propolis.stack.stack import needed_by, trees

UNTOUCHED = "Nothing was changed"


def check(
    context: Context,
    restoration: Restoration,
    wanted: tuple[str, ...],
    running: tuple[str, ...],
    targets: Sequence[Target],
) -> Mapping[str, Any]:
    """Check the backup and the key, then all rules of the target that concern a restore of the trees `wanted`.

    Raises IntegrityError or RepositoryError for the backup, PreflightError naming every rule that is broken.
    """
    lease = context.resources.enter_context(ReadingLease(restoration.repository.storage))
    if lease.warning:
        context.warn(lease.warning)
    restoration.repository.require_pack_key()
    checked = verify(restoration.repository, restoration.manifest.id, "manifest")
    if not checked.ok:
        first = checked.findings[0]
        raise IntegrityError(
            f"Backup {restoration.manifest.id} is not complete: {first.what} ({first.object})",
            left=UNTOUCHED,
            next="Restore another backup; `propolis verify` reports everything that is wrong with this one",
        )
    look = _look(context, restoration, wanted, running, targets)
    for warning in require((*rules_of(look), *rules(context, restoration, wanted)), look):
        context.warn(". ".join(part for part in (told(warning), warning.hint) if part))
    if restoration.request.keep_days:
        context.observer.note(_kept_beside(context, restoration))
    return {"backup": restoration.manifest.id, "packs": checked.packs}


def _kept_beside(context: Context, restoration: Restoration) -> str:
    """How much of the former data stays beside the restored data, and for how long."""
    here, days = Measured(), restoration.request.keep_days
    for tree in restoration.in_place:
        if isinstance(tree, FolderTree):
            here.add_folder(tree.path, None, context.own_names(tree.path))
    least = "" if here.whole else "at least "
    return (
        f"The former data ({least}{here.files} files, {here.bytes / 1024**2:,.1f} MiB) is kept beside the restored "
        f"data for {days} {'day' if days == 1 else 'days'}; the free space for this was checked"
    )


def rules(context: Context, restoration: Restoration, wanted: tuple[str, ...]) -> tuple[Rule[Look], ...]:
    """Rules that no other command asks: whether this backup fits this stack."""
    return (
        Rule("other stores", partial(_other_stores, context, wanted), stops=("restore",)),
        Rule("others' data", partial(_others, restoration, wanted), stops=("restore",)),
        Rule("versions", partial(_same, restoration, wanted), stops=("restore",)),
        Rule("logins", partial(_logins, restoration), stops=("restore",)),
        Rule("keys of the bucket", partial(_bucket_keys, restoration, wanted), stops=("restore",)),
    )


def _look(
    context: Context,
    restoration: Restoration,
    wanted: tuple[str, ...],
    running: tuple[str, ...],
    targets: Sequence[Target],
) -> Look:
    """The target as rules ask it. What doesn't answer is what the restore is for: nothing is waited for."""
    incoming = []
    everything = not restoration.request.stores
    for tree in trees(context.config):
        header = restoration.header.tree(tree.name)
        if header is None or not isinstance(tree, FolderTree):
            continue
        # Another host's configuration is laid into the state folder, unless only some stores were asked for.
        folder = tree.path if tree.name in wanted else context.config.state
        if tree.name in wanted or (tree.store == "config" and everything):
            incoming.append(
                Wanted(folder, header.bytes - header.holes + header.entries * ENTRY_BYTES, header.entries)
            )
    return Look(
        context.config,
        "restore",
        running=running,
        wait=lambda service: None,
        incoming=incoming,
        targets=targets,
        keep_days=restoration.request.keep_days,
    )


def _other_stores(context: Context, wanted: tuple[str, ...], look: Look) -> Iterator[Check]:
    """Refuse where TheHive, which starts at the end, could not: a store that isn't restored has to answer."""
    if not context.services.has("thehive"):
        return
    restored = {tree.service for tree in trees(look.config) if tree.name in wanted}
    for name in needed_by(look.config, "thehive"):
        if name in restored:
            continue
        if not look.asks(name):
            message = "not running, and not restored: TheHive does not start without it"
            yield Check(f"service {name}", "fail", message, "Start it, or restore it, too")
        elif look.facts(name) is None:
            message = "it does not answer, and is not restored: TheHive does not start without it"
            yield Check(f"service {name}", "fail", message, "Check its log, or restore it, too")


def _same(restoration: Restoration, wanted: tuple[str, ...], look: Look) -> Iterator[Check]:
    """Whether the backup fits the services whose data it replaces: each of them says what has to be the same."""
    header = restoration.header
    replaced = {tree.service for tree in trees(look.config) if tree.name in wanted and tree.store != "config"}
    for role, service in look.services.items():
        if role in replaced:
            yield from service.same(BackedUp(header.services.get(role), header.facts), look)


def check_others_again(
    context: Context, restoration: Restoration, wanted: tuple[str, ...], running: tuple[str, ...]
) -> None:
    """Ask once more after all was fetched, which may have taken hours. Raises PreflightError."""
    refuse(_others(restoration, wanted, Look(context.config, "restore", running=running)), "restore")


def check_drained(context: Context, restoration: Restoration) -> None:
    """Ask the same of the database that was just stopped: writes that were in memory only are in its files now."""
    found, _ = others.keyspace_losses(
        context.config.require_cassandra(), restoration.manifest, context.config.host, running=False, drained=True
    )
    refuse(others.checks(found, restoration.replaceable), "restore", left="The data was not changed")


def _others(restoration: Restoration, wanted: tuple[str, ...], look: Look) -> Iterator[Check]:
    """Refuse to take away what isn't the stack's unless it is named; what else is replaced is a warning."""
    host = look.config.host
    for role, service in look.services.items():
        if isinstance(service, Index) and on_host(service.data, host) in wanted:
            found, unasked = others.index_losses(service, restoration.manifest, running=look.asks(role))
            yield from others.checks(found, restoration.replaceable)
            if unasked:
                message = f"they are known from their folders, since {service.label} can't be asked: {unasked}"
                yield Check("indices", "warn", message)
    cassandra = look.config.cassandra
    if cassandra is not None and any(tree.store == "database" for tree in trees(look.config) if tree.name in wanted):
        running = look.asks("database")
        found, unasked = others.keyspace_losses(cassandra, restoration.manifest, host, running=running)
        yield from others.checks(found, restoration.replaceable)
        if unasked:
            yield Check(
                "keyspaces", "warn", f"they are known from their folders, since Cassandra can't be asked: {unasked}"
            )


def _logins(restoration: Restoration, look: Look) -> Iterator[Check]:
    """Refuse what would end with a TheHive that can't log in to its stores; what can't be determined is a warning."""
    return restoration.logins.checks()


def _bucket_keys(restoration: Restoration, wanted: tuple[str, ...], look: Look) -> Iterator[Check]:
    for tree in trees(look.config):
        if tree.name in wanted and isinstance(tree, BucketTree):
            try_keys(tree.bucket, restoration.settings)
            yield Check("keys of the bucket", "ok", f"they open {tree.bucket.bucket}")
