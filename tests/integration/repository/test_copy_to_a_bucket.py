"""Copies from and to buckets of a real MinIO."""

import itertools
from pathlib import Path

from integration.repository.conftest import Minio
from propolis.repository import Facts, Identity, Location, Repository, restore_folder, verify
from propolis.repository.access.keyring import KeyHolder
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.maintenance.rekey import add_key
from propolis.repository.storage.opening import open_storage
from propolis.repository.write.begin import begin
from unit.repository.repository_tools import TREE, fill, snapshot


def test_a_folder_is_copied_to_a_bucket_and_that_to_another(minio: Minio, tmp_path: Path) -> None:
    host, recovery, added = (Identity.generate() for _ in range(3))
    places = [Location(str(tmp_path / "vault"))]
    places += [
        Location(f"s3://{minio.bucket()}/copy", minio.endpoint, "us-east-1", minio.access_key, minio.secret_key)
        for _ in range(2)
    ]
    repository = Repository.init(places[0], [recovery.recipient], host)
    source = fill(tmp_path / "source")
    with begin(repository, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        summary = writer.commit(Facts())
    add_key(Repository.open(places[0], [recovery]), KeyHolder.of("added", added.recipient))
    planned = copy_repository(open_storage(places[0]), open_storage(places[1]), plan=True)
    for start, end in itertools.pairwise(places):
        done = copy_repository(open_storage(start), open_storage(end))
        assert (done.objects, done.bytes, done.backups) == (planned.objects, planned.bytes, (summary.id,))
        assert copy_repository(open_storage(start), open_storage(end)).objects == 0
    last = Repository.open(places[2], [added])
    assert verify(last, summary.id, "full").ok
    restore_folder(last, last.manifest(summary.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
