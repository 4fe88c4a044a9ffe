"""The repository: where backups are kept (format version 1, `docs/repository-format.md`).

    location = Location.from_config(config.repository, base=config_file.parent)
    Repository.init(location, recovery=[recipient, …], host=host_identity.recipient)   → Repository
    repository = Repository.open(location, [host_identity or recovery_identity, …])

    repository.list() -> list[BackupSummary]                    newest last
    repository.resolve("latest" | prefix) -> BackupId           IntegrityError/RepositoryError when none or several fit
    repository.summary(id) -> BackupSummary
    repository.manifest(id) -> Manifest                         .header, .entries(tree=None) -> Iterator[Entry]

    with repository.writer(parent=id | None | "latest", observer=None) as writer:
        writer.add_folder(store, tree, folder, original, inode_of=None, exclude=None)
        writer.add_bucket(store, tree, source, original)
        summary = writer.commit(Facts(stack=…, services=…, facts=…))      manifest written last; raises IncompleteError
        writer.stats                                                     before it if anything could not be read

    restore_folder(repository, manifest, tree, target, owner=None, paths=None, observer=None) -> RestoreResult
    restore_bucket(repository, manifest, tree, sink, observer=None) -> RestoreResult
    verify(repository, id, level, sample=10, observer=None) -> VerifyResult   look at .ok

Identities are age X25519 keys: `Identity.generate()`, `read_identities(path)`, `write_identity(path, identity)`.
Buckets: `S3Bucket.open(endpoint, region, bucket, prefix, access_key, secret_key)` is an ObjectSource and an ObjectSink.

Every deliberate failure is a `RepositoryError` (unreachable, no permission, wrong key, newer format), an
`IntegrityError` (bytes are not what they should be), a `BusyError` (locked) or an `IncompleteError`.
"""
