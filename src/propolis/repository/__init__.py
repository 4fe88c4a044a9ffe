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

from propolis.repository.crypto.identities import Identity, Recipient, read_identities, write_identity
from propolis.repository.format.damage import Finding
from propolis.repository.format.entries import BackupId, Entry, Header, TreeHeader
from propolis.repository.format.manifest import Manifest
from propolis.repository.io.limits import Limits, idle_disk, parse_rate
from propolis.repository.model import (
    Altered,
    BackupSummary,
    Facts,
    ObjectSink,
    ObjectSource,
    Observer,
    RestoreResult,
    Stats,
    VerifyLevel,
    VerifyResult,
)
from propolis.repository.read.restore import restore_bucket, restore_folder
from propolis.repository.read.verify import verify
from propolis.repository.repository import Repository
from propolis.repository.storage.location import Location
from propolis.repository.write.begin import begin
from propolis.repository.write.writer import Writer

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
    "ObjectSink",
    "ObjectSource",
    "Observer",
    "Recipient",
    "Repository",
    "RestoreResult",
    "Stats",
    "TreeHeader",
    "VerifyLevel",
    "VerifyResult",
    "Writer",
    "begin",
    "idle_disk",
    "parse_rate",
    "read_identities",
    "restore_bucket",
    "restore_folder",
    "verify",
    "write_identity",
]
