"""Nothing that is written may overlap: what is backed up, what Propolis keeps, and where backups are.

A repository inside a folder that is backed up would be set back by a restore, and the backups made since be lost.
This is the one rule for all folders and buckets; whoever names another one asks here.
"""

from __future__ import annotations

import itertools
import os
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from propolis.clone.mounts import Mount, mounts
from propolis.config.schema import Config, PlaceConfig, RepositoryConfig
from propolis.errors import ConfigError
from propolis.stack.model import trees

_UNTOUCHED = "Nothing was touched"


@dataclass(frozen=True)
class Claim:
    """One folder, file or part of a bucket, and which key of the configuration claims it for itself."""

    key: str
    path: Path | None = None
    bucket: tuple[str, str, tuple[str, ...]] | None = None
    """Endpoint, bucket and the parts of the prefix."""

    def __str__(self) -> str:
        if self.bucket is None:
            return f"{self.key} ({self.path})"
        return f"{self.key} (s3://{'/'.join((self.bucket[1], *self.bucket[2]))})"


def require_apart(config: Config) -> None:
    """Raise ConfigError unless all that one configuration names is apart from everything else that it names."""
    found = [*_of_stack(config), Claim("state", config.state), *_of_repository(config.repository)]
    _require(itertools.combinations(found, 2), "Give each a place of its own")


def require_place_apart(config: Config, key: str, place: PlaceConfig) -> None:
    """Raise ConfigError unless one more place for a repository, named by `key`, is apart from all others."""
    found = [*_of_stack(config), Claim("state", config.state), *_of_repository(config.repository)]
    _require(((_of_place(key, place), other) for other in found), "Name another place")


def require_target_apart(target: Config, source: Config) -> None:
    """Raise ConfigError unless a restore into `target` leaves alone what `source` keeps and where its backups are."""
    kept = [Claim("the source's state", source.state)]
    kept += [Claim(f"the source's {one.key}", one.path, one.bucket) for one in _of_repository(source.repository)]
    _require(itertools.product(_of_stack(target), kept), "Restore into other folders, or move the repository")


def overlap(one: Path, other: Path, mounted: Sequence[Mount]) -> bool:
    """Whether one of two paths is the other or contains it, through whatever links and mounts they are reached.

    Paths that aren't there yet count, too: they will be made where they are named.
    """
    return _contains(one, other, mounted) or _contains(other, one, mounted)


def _of_stack(config: Config) -> list[Claim]:
    found = [Claim(tree.name, tree.path) for tree in trees(config) if tree.path is not None]
    for tree in trees(config):
        if tree.bucket is not None:
            found.append(
                Claim(tree.name, bucket=_bucket(tree.bucket.endpoint, tree.bucket.bucket, tree.bucket.prefix))
            )
    if config.cassandra is not None:
        found.append(Claim("database.saved_caches", config.cassandra.saved_caches))
    return found


def _of_repository(repository: RepositoryConfig) -> list[Claim]:
    places = [(f"repository.copies[{number}]", place) for number, place in enumerate(repository.copies)]
    return [
        *(_of_place(key, place) for key, place in [("repository", repository), *places]),
        Claim("repository.host_key", repository.host_key),
    ]


def _of_place(key: str, place: PlaceConfig) -> Claim:
    if not place.url.startswith("s3://"):
        return Claim(key, Path(place.url))
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    return Claim(key, bucket=_bucket(place.endpoint, bucket, prefix))


def _bucket(endpoint: str | None, bucket: str, prefix: str) -> tuple[str, str, tuple[str, ...]]:
    url = urllib.parse.urlsplit(endpoint or "https://aws")
    server = url.netloc.lower()
    if ":" not in server.rpartition("]")[2]:
        server += ":443" if url.scheme == "https" else ":80"
    return server, bucket, tuple(part for part in prefix.split("/") if part)


def _require(pairs: Iterable[tuple[Claim, Claim]], next: str) -> None:
    mounted = mounts()
    for one, other in pairs:
        if _overlap(one, other, mounted):
            raise ConfigError(
                f"The folders of {one} and {other} overlap: one contains the other", left=_UNTOUCHED, next=next
            )


def _overlap(one: Claim, other: Claim, mounted: Sequence[Mount]) -> bool:
    if one.path is not None and other.path is not None:
        # The key of this host may well lie beside its journals, both being for Propolis alone.
        if {one.key, other.key} == {"state", "repository.host_key"}:
            return False
        return overlap(one.path, other.path, mounted)
    if one.bucket is not None and other.bucket is not None:
        shorter = min(len(one.bucket[2]), len(other.bucket[2]))
        return one.bucket[:2] == other.bucket[:2] and one.bucket[2][:shorter] == other.bucket[2][:shorter]
    return False


def _contains(outer: Path, inner: Path, mounted: Sequence[Mount]) -> bool:
    outer, inner = Path(os.path.realpath(outer)), Path(os.path.realpath(inner))
    if inner.is_relative_to(outer) or _identity(outer) in _identities(inner):
        return True
    shown = [_on_disk(outer, mounted)]
    shown += [(mount.device, mount.root) for mount in mounted if mount.point.is_relative_to(outer)]
    device, path = _on_disk(inner, mounted)
    return any(device == other and path.is_relative_to(folder) for other, folder in shown)


def _on_disk(path: Path, mounted: Sequence[Mount]) -> tuple[str, Path]:
    """The filesystem and where in it a resolved path is: the same for every bind mount that shows it."""
    below = [mount for mount in mounted if path.is_relative_to(mount.point)]
    # Of those at one point the last made is the one that is seen.
    mount = max(reversed(below), key=lambda mount: len(mount.point.parts), default=None)
    if mount is None:
        return "", path
    return mount.device, mount.root / path.relative_to(mount.point)


def _identities(path: Path) -> set[tuple[int, int]]:
    found = map(_identity, (path, *path.parents))
    return {identity for identity in found if identity is not None}


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
