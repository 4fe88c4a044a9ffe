"""All that could make a restore fail, checked before anything is touched."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propolis.config.agreement import elsewhere
from propolis.config.schema import CassandraConfig
from propolis.errors import IntegrityError, PreflightError
from propolis.repository import verify
from propolis.repository.locks import ReadingLease
from propolis.restore import logins
from propolis.restore.bucket_keys import try_keys
from propolis.restore.context import RestoreContext
from propolis.stack import database, index
from propolis.stack.model import Tree, trees

SPARE_BYTES = 256 * 2**20
UNTOUCHED = "Nothing was touched"


def check(context: RestoreContext, wanted: tuple[str, ...], running: tuple[str, ...]) -> Mapping[str, Any]:
    """Check the backup, the key, cluster name, versions, targets and room. Raises the first thing found wrong."""
    assert context.repository is not None
    assert context.manifest is not None
    if wrong := elsewhere(context.config):
        raise PreflightError("; ".join(wrong), left=UNTOUCHED, next="Run the restore on that host")
    lease = context.resources.enter_context(ReadingLease(context.repository.storage))
    if lease.warning:
        context.observer.note(lease.warning)
    context.repository.require_pack_key()
    checked = verify(context.repository, context.manifest.id, "manifest")
    if not checked.ok:
        raise IntegrityError(
            f"Backup {context.manifest.id} is not whole: {checked.findings[0].what} ({checked.findings[0].object})",
            left=UNTOUCHED,
            next="Restore another backup; `propolis verify` tells all that is wrong with this one",
        )
    targets = [tree for tree in trees(context.config) if tree.name in wanted]
    if context.config.cassandra is not None and any(tree.store == "database" for tree in targets):
        _same_cluster(context, context.config.cassandra)
    _fitting_versions(context, running)
    _room(context, targets)
    check_logins(context)
    for tree in targets:
        if tree.bucket is not None:
            try_keys(tree.bucket, context.settings)
    return {"backup": context.manifest.id, "packs": checked.packs}


def _same_cluster(context: RestoreContext, cassandra: CassandraConfig) -> None:
    backed_up = context.header.facts.get("cluster_name")
    here = cassandra.cluster_name
    if backed_up != here:
        raise PreflightError(
            f"The backup is of the Cassandra cluster {backed_up!r}, the target's is named {here!r}: "
            "Cassandra refuses to start on another cluster's data",
            left=UNTOUCHED,
            next=f"Set cluster_name: {backed_up!r} in {cassandra.config}/cassandra.yaml and in propolis.yaml",
        )


def check_logins(context: RestoreContext) -> None:
    """Refuse what would end with a TheHive that can't log in to its stores; what can't be told is only said."""
    for found in logins.checks(context.logins, set_password=context.set_password):
        if found.result == "fail":
            raise PreflightError(found.message, left=UNTOUCHED, next=found.hint)
        if found.result == "warn":
            context.observer.note(f"{found.message}. {found.hint}")


def _fitting_versions(context: RestoreContext, running: tuple[str, ...]) -> None:
    """Data can't go back to an older version, nor over a major one; what isn't running is told by its start."""
    here: dict[str, str] = {}
    try:
        if "database" in running and context.config.cassandra is not None:
            here["database"] = f"cassandra {database.facts(context.config.cassandra).release_version}"
        if "index" in running and context.config.elasticsearch is not None:
            found = index.facts(context.config.elasticsearch)
            here["index"] = f"{found.distribution} {found.version}"
    except PreflightError as error:
        context.observer.note(f"Versions could not be compared: {error.what}")
    for service, version in here.items():
        backed_up = context.header.services.get(service)
        if backed_up is not None and not _fits(backed_up, version):
            raise PreflightError(
                f"The backup was taken on {backed_up}, this host runs {version}",
                left=UNTOUCHED,
                next="Install the version that the backup was taken on, or a newer one of the same major release",
            )


def _fits(backed_up: str, here: str) -> bool:
    product, _, version = backed_up.partition(" ")
    other, _, present = here.partition(" ")
    was, now = _numbers(version), _numbers(present)
    return product == other and now[:1] == was[:1] and now >= was


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())


def _room(context: RestoreContext, targets: list[Tree]) -> None:
    """Both the present data and the restored lie on the target's filesystem until the checks passed."""
    needed: dict[int, tuple[Path, int]] = {}
    for tree in targets:
        header = context.header.tree(tree.name)
        if tree.path is None or header is None:
            continue
        folder = _nearest(tree.path)
        if tree.path.exists() and not tree.path.is_dir():
            raise PreflightError(f"{tree.path} is in the way: not a folder", left=UNTOUCHED, next="Move it away")
        device = folder.stat().st_dev
        path, bytes_so_far = needed.get(device, (folder, 0))
        needed[device] = (path, bytes_so_far + header.bytes - header.holes + header.entries * 4096)
    for path, needs in needed.values():
        free = shutil.disk_usage(path).free
        if needs + SPARE_BYTES > free:
            raise PreflightError(
                f"No room on the filesystem of {path}: the restore needs {needs / 2**20:.0f} MiB beside the present "
                f"data, {free / 2**20:.0f} MiB are free",
                left=UNTOUCHED,
                next="Free some space, or restore fewer stores with --only",
            )


def _nearest(path: Path) -> Path:
    return path if path.exists() else _nearest(path.parent)
