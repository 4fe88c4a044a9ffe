"""Finding the attachments: a folder or a bucket, by `storage` of application.conf."""

from __future__ import annotations

from propolis.config.discovery.finding import Findings, first, source
from propolis.config.hocon import Hocon
from propolis.errors import ConfigError

_SETTINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bucket", ("bucket",)),
    ("endpoint", ("endpoint", "endpoint-url")),
    ("region", ("aws.region.default-region", "region")),
    ("prefix", ("folder",)),
)
_STYLES: tuple[tuple[str, str], ...] = (
    ("aws.credentials.access-key-id", "aws.credentials.secret-access-key"),
    ("accessKey", "secretKey"),
    ("access-key", "secret-key"),
    ("accessKey", "aws.credentials.secret-access-key"),
)
"""Pairs of keys as documented for one version or another; the last mixes two styles, as the vendor's example does."""

_UNSUPPORTED = {
    "hdfs": "attachments in Hadoop",
    "database": "attachments inside the database",
}


def files_values(found: Findings, hocon: Hocon) -> None:
    """Find the section `files`. Raises ConfigError for what makes going on senseless."""
    provider = hocon.text("storage.provider")
    where = f"{hocon.origin('storage.provider')}: storage.provider"
    if provider == "localfs":
        if hocon.text("storage.localfs.location") is None:
            unread = "; storage.localfs.directory is set, but no version reads it" if _is_misnamed(hocon) else ""
            raise ConfigError(
                f"{where} is localfs, but storage.localfs.location is not set{unread}",
                next="Set it to the folder that TheHive uses (without it, version 4 uses /tmp/scalligraph)",
            )
        found.put("files.kind", "folder", source(hocon, "storage.provider"))
        found.copy("files.folder", hocon, "storage.localfs.location")
        if hocon.has("storage.s3"):
            found.warn(f"{hocon.origin('storage.s3')}: storage.s3 is set, but not used: {where} is localfs")
    elif provider == "s3":
        found.put("files.kind", "s3", source(hocon, "storage.provider"))
        _bucket(found, hocon)
        if hocon.has("storage.localfs.location"):
            unused = "storage.localfs.location"
            found.warn(f"{hocon.origin(unused)}: {unused} is set, but not used: {where} is s3")
    elif provider is None:
        raise ConfigError(
            f"{hocon.file}: storage.provider is not set, so init can't tell where attachments are",
            next="Set it to localfs, with storage.localfs.location, or to s3, as TheHive uses them",
        )
    else:
        what = _UNSUPPORTED.get(provider, "which is not known")
        raise ConfigError(f"{where} must be localfs or s3; it is {provider}: {what} can't be backed up yet")


def _is_misnamed(hocon: Hocon) -> bool:
    """Whether the setting is there that the Docker image of TheHive 4 writes, and nothing reads."""
    return hocon.text("storage.localfs.directory") is not None


def _bucket(found: Findings, hocon: Hocon) -> None:
    for key, names in _SETTINGS:
        setting = first(hocon, *(f"storage.s3.{name}" for name in names))
        if setting is not None:
            found.copy(f"files.{key}", hocon, setting)
        elif key == "bucket":
            found.problem(f"{hocon.file}: storage.provider is s3, but storage.s3.bucket is not set")
    _keys(found, hocon)


def _keys(found: Findings, hocon: Hocon) -> None:
    """Find the keys as one pair: an access key of one style is never taken with the secret key of another's."""
    provider = "storage.s3.aws.credentials.provider"
    if hocon.text(provider) == "anon":
        raise ConfigError(
            f"{hocon.origin(provider)}: {provider} is anon: a bucket without keys can't be backed up yet"
        )
    pairs = _pairs(hocon)
    if pairs is None:
        return
    if not pairs:
        names = sorted({name for pair in _STYLES for name in pair if _is_set(hocon, name)})
        found.problem(f"{hocon.file}: storage.s3 has {', '.join(names)}, but not the key that belongs with it")
        return
    chosen = pairs[0]
    others = [pair for pair in pairs[1:] if _values(hocon, pair) != _values(hocon, chosen)]
    if others:
        found.warn(
            f"{_where(hocon, others[0])} differ from {_where(hocon, chosen)}: the latter are taken."
            " Remove those that TheHive doesn't use; `propolis doctor` shows whether the bucket opens"
        )
    found.secret("files.access_key", hocon, f"storage.s3.{chosen[0]}")
    found.secret("files.secret_key", hocon, f"storage.s3.{chosen[1]}")


def bucket_keys(hocon: Hocon) -> tuple[str, str] | None:
    """Give the access key and the secret key that TheHive uses; None where it uses those of the host, or has none."""
    pairs = _pairs(hocon)
    access, secret = _values(hocon, pairs[0]) if pairs else (None, None)
    return None if access is None or secret is None else (access, secret)


def _pairs(hocon: Hocon) -> list[tuple[str, str]] | None:
    """List the pairs of keys that are set, the one to take first; None where those of the host are used.

    Those are what AWS hands to the host, or to its container: TheHive uses them, and so does Propolis.
    """
    access = list(dict.fromkeys(pair[0] for pair in _STYLES if _is_set(hocon, pair[0])))
    secret = list(dict.fromkeys(pair[1] for pair in _STYLES if _is_set(hocon, pair[1])))
    if hocon.text("storage.s3.aws.credentials.provider") == "default" or not (access or secret):
        return None
    if len(access) == len(secret) == 1:
        return [(access[0], secret[0])]
    return [pair for pair in _STYLES if pair[0] in access and pair[1] in secret]


def _is_set(hocon: Hocon, name: str) -> bool:
    return hocon.text(f"storage.s3.{name}") is not None


def _values(hocon: Hocon, pair: tuple[str, str]) -> tuple[str | None, ...]:
    return tuple(hocon.text(f"storage.s3.{name}") for name in pair)


def _where(hocon: Hocon, pair: tuple[str, str]) -> str:
    return f"{hocon.origin(f'storage.s3.{pair[0]}')}: {pair[0]} and {pair[1]}"
