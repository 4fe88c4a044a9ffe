"""The object `config`, which describes a repository."""

from __future__ import annotations

import msgspec

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository.format.names import CONFIG, FORMAT, MAX_SEGMENT_BYTES, SMALL_LIMIT, hash_name
from propolis.repository.storage.base import MissingObjectError, Storage
from propolis.structs import read_in_threads


class DamagedConfig(IntegrityError):
    """The object `config` is not what it was when the repository was made."""


@read_in_threads
class RepositoryInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """The object `config`."""

    format: int
    id: str
    created: str
    segment_bytes: int
    gather_bytes: int


def read_info(storage: Storage) -> tuple[RepositoryInfo, str]:
    """The object `config` and its hash; raises `RepositoryError` when there is no repository or a newer one."""
    try:
        data = storage.get(CONFIG, SMALL_LIMIT)
    except MissingObjectError:
        raise RepositoryError(
            f"There is no repository at {storage.place}: the object config is missing",
            next="Correct repository.url, or create a repository with `propolis repository init`",
        ) from None
    try:
        number = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("format")
        if number is None or msgspec.json.decode(number, type=int) > FORMAT:
            found = bytes(number or b"unknown").decode(errors="replace")
            raise RepositoryError(
                f"The repository at {storage.place} has format {found}; this version of Propolis knows format "
                f"{FORMAT}",
                left="It was not changed",
                next="Use a newer Propolis",
            )
        info = msgspec.json.decode(data, type=RepositoryInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedConfig(f"The object config of the repository at {storage.place} is damaged: {error}") from None
    if not (0 < info.segment_bytes <= MAX_SEGMENT_BYTES and 0 < info.gather_bytes <= MAX_SEGMENT_BYTES):
        raise DamagedConfig(f"The object config of the repository at {storage.place} has absurd sizes")
    return info, hash_name(data)
