# What `__init__.py` gives, for type checkers.

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
