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
from propolis.config.discovery.this_host import is_this_host
from propolis.config.places import PlaceConfig, RepositoryConfig
from propolis.config.schema import Config
from propolis.errors import ConfigError
from propolis.stack.stack import buckets, folders

_UNTOUCHED = "Nothing was changed"
Bucket = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class Claim:
    """One folder, file or part of a bucket, and which key of the configuration claims it for itself."""

    key: str
    path: Path | None = None
    bucket: Bucket | None = None
    """Endpoint, bucket (empty: all of them) and the parts of the prefix."""

    def __str__(self) -> str:
        if self.bucket is None:
            return f"{self.key} ({self.path})"
        if not self.bucket[1]:
            return f"{self.key} (all of {self.bucket[0]})"
        return f"{self.key} (s3://{'/'.join((self.bucket[1], *self.bucket[2]))})"


def require_apart(config: Config) -> None:
    """Raise ConfigError unless all that one configuration names is apart from everything else that it names."""
    found = [*_of_stack(config), Claim("state", config.state), *_of_repository(config.repository)]
    _require(itertools.combinations(found, 2), "Use a separate place for each")


def require_place_apart(config: Config, key: str, place: PlaceConfig) -> None:
    """Raise ConfigError unless one more place for a repository, named by `key`, is apart from all others."""
    found = [*_of_stack(config), Claim("state", config.state), *_of_repository(config.repository)]
    _require(((_of_place(key, place), other) for other in found), "Choose another place")


def require_target_apart(target: Config, source: Config) -> None:
    """Raise ConfigError unless a restore into `target` leaves alone what `source` keeps and where its backups are."""
    kept = [Claim("the source's state", source.state)]
    kept += [Claim(f"the source's {one.key}", one.path, one.bucket) for one in _of_repository(source.repository)]
    _require(itertools.product(_of_stack(target), kept), "Restore into other folders, or move the repository")


def require_folder_apart(config: Config, key: str, folder: Path) -> None:
    """Raise ConfigError unless a folder to write into is apart from all that one configuration names."""
    found = [*_of_stack(config), Claim("state", config.state), *_of_repository(config.repository)]
    _require(((Claim(key, folder), other) for other in found), "Name another folder")


def overlap(one: Path, other: Path, mounted: Sequence[Mount]) -> bool:
    """Whether one of two paths is the other or contains it, through whatever links and mounts they are reached.

    Paths that aren't there yet count, too: they will be made where they are named.
    """
    return _share(_Place.of(one, mounted), _Place.of(other, mounted))


def _of_stack(config: Config) -> list[Claim]:
    found = [Claim(tree.name, tree.path) for tree in folders(config)]
    for tree in buckets(config):
        found.append(Claim(tree.name, bucket=_bucket(tree.bucket.endpoint, tree.bucket.bucket, tree.bucket.prefix)))
    if config.minio is not None:
        # A backup stops it, and a restore sets all that it holds back.
        found.append(Claim("minio", bucket=_bucket(config.minio.url, "", "")))
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
    if place.url.startswith("ssh://"):
        return Claim(key)  # on another host
    if not place.url.startswith("s3://"):
        return Claim(key, Path(place.url))
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    return Claim(key, bucket=_bucket(place.endpoint, bucket, prefix))


def _bucket(endpoint: str | None, bucket: str, prefix: str) -> Bucket:
    url = urllib.parse.urlsplit(endpoint or "https://aws")
    server = url.netloc.lower()
    if ":" not in server.rpartition("]")[2]:
        server += ":443" if url.scheme == "https" else ":80"
    return server, bucket, tuple(part for part in prefix.split("/") if part)


def _require(pairs: Iterable[tuple[Claim, Claim]], next: str) -> None:
    mounted = mounts()
    places: dict[Path, _Place] = {}

    def place(path: Path) -> _Place:
        if path not in places:
            places[path] = _Place.of(path, mounted)
        return places[path]

    for one, other in pairs:
        # The key of this host may well lie beside its journals, both being for Propolis alone.
        if {one.key, other.key} == {"state", "repository.host_key"}:
            continue
        if one.path is not None and other.path is not None:
            found = _share(place(one.path), place(other.path))
        else:
            found = one.bucket is not None and other.bucket is not None and _share_keys(one.bucket, other.bucket)
        if found:
            raise ConfigError(
                f"The folders of {one} and {other} overlap: one contains the other", left=_UNTOUCHED, next=next
            )


def _share_keys(one: Bucket, other: Bucket) -> bool:
    shorter = min(len(one[2]), len(other[2]))
    same_bucket = one[1] == other[1] or "" in (one[1], other[1])
    return same_bucket and _is_same_server(one[0], other[0]) and one[2][:shorter] == other[2][:shorter]


def _is_same_server(one: str, other: str) -> bool:
    """Whether two addresses are one server: the same, or the same port of this host under different names."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if host == other_host or port != other_port:
        return one == other
    return all(is_this_host(name.strip("[]")) for name in (host, other_host))


@dataclass(frozen=True)
class _Place:
    """All by which a path can be known to be, or to be in, another."""

    real: Path
    """With every link followed."""
    on_disk: tuple[str, Path]
    """The filesystem and where in it the path is: the same for every bind mount that shows it."""
    shown: tuple[tuple[str, Path], ...]
    """The same for what is mounted inside of it."""
    own: tuple[int, int] | None
    """Device and inode; None: it isn't there."""
    above: frozenset[tuple[int, int]]
    """Those of the folders that hold it, and its own."""

    @classmethod
    def of(cls, path: Path, mounted: Sequence[Mount]) -> _Place:
        real = Path(os.path.realpath(path))
        below = [mount for mount in mounted if real.is_relative_to(mount.point)]
        # Of those at one point the last made is the one that is seen.
        mount = max(reversed(below), key=lambda mount: len(mount.point.parts), default=None)
        found = [_identity(folder) for folder in (real, *real.parents)]
        return cls(
            real,
            ("", real) if mount is None else (mount.device, mount.root / real.relative_to(mount.point)),
            tuple((mount.device, mount.root) for mount in mounted if mount.point.is_relative_to(real)),
            found[0],
            frozenset(identity for identity in found if identity is not None),
        )

    def contains(self, other: _Place) -> bool:
        """Whether the other is this or lies in it."""
        if other.real.is_relative_to(self.real) or self.own in other.above:
            return True
        device, path = other.on_disk
        return any(device == known and path.is_relative_to(folder) for known, folder in (self.on_disk, *self.shown))


def _share(one: _Place, other: _Place) -> bool:
    return one.contains(other) or other.contains(one)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
