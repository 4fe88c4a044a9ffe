"""Does with a repository what Propolis's commands do with it, in a process of its own: what the benchmark times.

`backup` and `restore` of the command line need a whole stack; here they are the same calls on one folder. What a user
waits for first, the loading of the command line, is loaded here too.

    python -m bench.engine init|backup|verify|restore|prune REPOSITORY KEYS [FOLDER]

REPOSITORY is a folder, `s3://bucket/prefix` at the endpoint and with the credentials of the environment
(AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or `ssh://host/folder` with ssh's configuration of the
environment (BENCH_SSH_CONFIG). KEYS is a folder with the two keys.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import propolis.cli
from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import IntegrityError, PropolisError
from propolis.report.console import show_error
from propolis.repository import (
    Facts,
    Identity,
    Location,
    Repository,
    read_identities,
    restore_folder,
    verify,
    write_identity,
)
from propolis.repository.maintenance.prune import prune
from propolis.repository.records.marks import record_verification
from propolis.repository.storage.remote.address import Address
from propolis.repository.write.begin import begin

_COMMANDS = {name: name for name in ("backup", "verify", "restore")}
"""What is loaded on the command line for what is done here; `repository` for all else."""
_STACK, _TREE = "bench", "files/data"


def _location(url: str) -> Location:
    if "://" not in url:
        return Location(url)
    environment = os.environ
    if url.startswith("ssh://"):
        ssh, *arguments = Address.parse(url).command()
        return Location(url, command=(ssh, "-F", environment["BENCH_SSH_CONFIG"], *arguments))
    return Location(
        url,
        endpoint=environment["AWS_ENDPOINT_URL"],
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def _open(location: Location, keys: Path, *names: str) -> Repository:
    return Repository.open(location, [key for name in names for key in read_identities(keys / name)])


def _init(location: Location, keys: Path) -> None:
    recovery, host = Identity.generate(), Identity.generate()
    write_identity(keys / "recovery", recovery)
    write_identity(keys / "host", host)
    Repository.init(location, [recovery.recipient], host)


def _backup(location: Location, keys: Path, folder: Path) -> None:
    with begin(_open(location, keys, "host"), _STACK) as writer:
        writer.add_folder("files", _TREE, folder, folder)
        writer.commit(Facts())


def _verify(location: Location, keys: Path) -> None:
    repository = _open(location, keys, "host", "recovery")
    with repository.lease("shared"):
        result = verify(repository, repository.resolve("latest"), "full")
        record_verification(repository, result)
    if not (result.ok and result.decrypted):
        raise IntegrityError(f"Verification failed: {result.findings[:1]}")


def _restore(location: Location, keys: Path, target: Path) -> None:
    repository = _open(location, keys, "host", "recovery")
    with repository.lease("shared"):
        restore_folder(repository, repository.manifest(repository.resolve("latest")), _TREE, target)


def _prune(location: Location, keys: Path) -> None:
    rules = RetentionConfig(keep=KeepConfig(last=1), min_verified=0, grace_hours=0)
    prune(_open(location, keys, "host", "recovery"), rules, _STACK)


def main() -> None:
    """Do one thing."""
    what, url, keys, *folder = sys.argv[1:]
    propolis.cli.application(_COMMANDS.get(what, "repository"))
    location, key_folder = _location(url), Path(keys)
    try:
        if what == "init":
            _init(location, key_folder)
        elif what == "backup":
            _backup(location, key_folder, Path(folder[0]))
        elif what == "verify":
            _verify(location, key_folder)
        elif what == "restore":
            _restore(location, key_folder, Path(folder[0]))
        elif what == "prune":
            _prune(location, key_folder)
        else:
            sys.exit(f"There is no {what}")
    except PropolisError as error:
        show_error(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
