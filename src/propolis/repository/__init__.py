"""The repository: where backups are kept (format version 1, `docs/repository-format.md`).

    location = Location.from_config(config.repository, base=config_file.parent)
    Repository.init(location, [recovery_recipient, …], host_identity)                → Repository
    repository = Repository.open(location, [host_identity or recovery_identity, …])

    repository.list(stack=None, damaged=None) -> list[BackupSummary]    newest last
    repository.resolve("latest" | prefix, stack=None) -> BackupId   RepositoryError when none or several fit
    repository.summary(id) -> BackupSummary
    repository.manifest(id) -> Manifest                             .header, .entries(tree=None) -> Iterator[Entry]

    with repository.writer(stack, parent="latest" | id | None, observer=None) as writer:
        writer.add_folder(store, tree, folder, original, inode_of=None, exclude=None) -> TreeHeader
        writer.add_bucket(store, tree, source, original) -> TreeHeader
        summary = writer.commit(Facts(kind=…, services=…, facts=…))     manifest written last; raises IncompleteError
        writer.stats                                                     before it if anything could not be read

    with repository.lease("shared"):
        restore_folder(repository, manifest, tree, target, owner=None, paths=None, observer=None) -> RestoreResult
        restore_bucket(repository, manifest, tree, sink, paths=None, observer=None) -> RestoreResult
        verify(repository, id, level, sample=10, observer=None) -> VerifyResult          look at .ok

Retention has modules of its own: `prune.prune(repository, rules, stack, plan=False) -> PruneResult`,
`marks.read_marks`, `add_hold`, `release_holds`, `record_verification`, and `locks.leases`, `unlock`.

Keys are age identities: `Identity.generate()`, `read_identities(path)`, `write_identity(path, identity)`; or of other
kinds: `recipients.read_keys(path)`. `rekey.add_key`, `remove_key` change who may read; `copy.copy_repository` copies.
`S3Bucket.open(bucket, prefix, endpoint=…, region=…, access_key=…, secret_key=…)` is a source and a sink.

Every deliberate failure is a `RepositoryError` (unreachable, no permission, wrong key, newer format), an
`IntegrityError` (bytes are not what they should be), a `BusyError` (leased), an `IncompleteError` (a source could not
be read whole) or a plain `PropolisError` (the target of a restore can't be written).
"""

from propolis.repository.buckets import S3Bucket
from propolis.repository.keys import Identity, Recipient, read_identities, write_identity
from propolis.repository.limits import Limits, idle_disk, parse_rate
from propolis.repository.manifest import Manifest
from propolis.repository.model import (
    Altered,
    BackupId,
    BackupSummary,
    Entry,
    Facts,
    Finding,
    Header,
    ObjectMeta,
    ObjectSink,
    ObjectSource,
    Observer,
    RestoreResult,
    Stats,
    TreeHeader,
    VerifyLevel,
    VerifyResult,
)
from propolis.repository.reader import restore_bucket, restore_folder
from propolis.repository.repository import Repository
from propolis.repository.storage import Location
from propolis.repository.verify import verify
from propolis.repository.writer import Writer

__all__ = [
    "Altered",
    "BackupId",
    "BackupSummary",
    "Entry",
    "Facts",
    "Finding",
    "Header",
    "Identity",
    "Limits",
    "Location",
    "Manifest",
    "ObjectMeta",
    "ObjectSink",
    "ObjectSource",
    "Observer",
    "Recipient",
    "Repository",
    "RestoreResult",
    "S3Bucket",
    "Stats",
    "TreeHeader",
    "VerifyLevel",
    "VerifyResult",
    "Writer",
    "idle_disk",
    "parse_rate",
    "read_identities",
    "restore_bucket",
    "restore_folder",
    "verify",
    "write_identity",
]
