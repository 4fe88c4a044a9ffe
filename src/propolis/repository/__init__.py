"""The repository: where backups are kept (format version 1, `docs/repository-format.md`).

    location = Location.from_config(config.repository)
    Repository.init(location, [recovery_recipient, …], host_identity)                → Repository
    repository = Repository.open(location, [host_identity or recovery_identity, …])

    repository.backups(stack=None, damaged=None) -> list[BackupSummary]    newest last
    repository.resolve("latest" | prefix, stack=None) -> BackupId   RepositoryError when none or several fit
    repository.summary(id) -> BackupSummary
    repository.manifest(id) -> Manifest                             .header, .entries(tree=None) -> Iterator[Entry]

    with begin(repository, stack, parent="latest" | id | None, observer=None) as writer:
        writer.add_folder(store, tree, folder, original, inode_of=None, exclude=None) -> TreeHeader
        writer.add_bucket(store, tree, source, original) -> TreeHeader
        summary = writer.commit(Facts(kind=…, services=…, facts=…))     manifest written last; raises IncompleteError
        writer.stats                                                     before it if anything could not be read

    with repository.lease("shared"):
        restore_folder(repository, manifest, tree, target, owner=None, paths=None, observer=None) -> RestoreResult
        restore_bucket(repository, manifest, tree, sink, paths=None, observer=None) -> RestoreResult
        verify(repository, id, level, sample=10, observer=None) -> VerifyResult          look at .ok

Retention has modules of its own: `maintenance.prune.prune(repository, rules, stack, plan=False) -> PruneResult`,
`records.marks.read_marks`, `add_hold`, `release_holds`, `record_verification`, and `access.leases.leases`, `unlock`.

Keys are age identities: `Identity.generate()`, `read_identities(path)`, `write_identity(path, identity)`; or of other
kinds: `crypto.recipients.read_keys(path)`. `maintenance.rekey.add_key`, `remove_key` change who may read;
`maintenance.copy.copy_repository` copies.
`stack.files.bucket.S3Bucket.open(bucket, prefix, Endpoint(…))` is a source and a sink.

Every deliberate failure is a `RepositoryError` (unreachable, no permission, wrong key, newer format), an
`IntegrityError` (bytes are not what they should be), a `BusyError` (leased), an `IncompleteError` (a source could not
be read whole) or a plain `PropolisError` (the target of a restore can't be written).
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Altered": "model",
    "BackupId": "format.entries",
    "BackupSummary": "model",
    "Entry": "format.entries",
    "Facts": "model",
    "Finding": "format.damage",
    "Header": "format.entries",
    "Identity": "crypto.identities",
    "Limits": "io.limits",
    "Location": "storage.location",
    "Manifest": "format.manifest",
    "ObjectSink": "model",
    "ObjectSource": "model",
    "Observer": "model",
    "Recipient": "crypto.identities",
    "Repository": "repository",
    "RestoreResult": "model",
    "Stats": "model",
    "TreeHeader": "format.entries",
    "VerifyLevel": "model",
    "VerifyResult": "model",
    "Writer": "write.writer",
    "begin": "write.begin",
    "idle_disk": "io.limits",
    "parse_rate": "io.limits",
    "read_identities": "crypto.identities",
    "restore_bucket": "read.restore",
    "restore_folder": "read.restore",
    "verify": "read.verify",
    "write_identity": "crypto.identities",
}
"""Where each name comes from. It is loaded when it is first asked for: a server of a repository needs none of them,
and would take three times as long to start. For type checkers, `__init__.pyi` says the same."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found
