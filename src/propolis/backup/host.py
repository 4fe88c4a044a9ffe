"""The part of a backup that is planned on one of several hosts, as their coordinator asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from propolis.backup.cold import cold_plan
from propolis.backup.options import BACKGROUND, BackupOptions
from propolis.command.context import Context
from propolis.errors import UsageError
from propolis.repository import Limits
from propolis.run import Plan


class HostOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Options of a backup as they cross a link."""

    upload: int | None = None
    """Most bytes a second that a host sends to the repository."""
    reread: bool = False
    force_unhealthy: bool = False

    @classmethod
    def plain(cls, options: BackupOptions) -> dict[str, Any]:
        """Those that a command was called with."""
        found = cls(upload=options.limits.upload, reread=options.reread, force_unhealthy=options.force_unhealthy)
        return msgspec.to_builtins(found)  # type: ignore[no-any-return]


def host_plan(
    options: Mapping[str, Any], parent: str | None, context: Context
) -> tuple[Plan[Context], Mapping[str, Any]]:
    """Plan this host's part; the coordinator needs to know no more of it than of any.

    Touches nothing. Raises UsageError for options that aren't a backup's.
    """
    try:
        given = msgspec.convert(dict(options), HostOptions)
    except msgspec.ValidationError as error:
        raise UsageError(f"The coordinator's options are not those of a backup: {error}") from None
    wanted = BackupOptions(
        limits=Limits(upload=given.upload, background=BACKGROUND.background),
        reread=given.reread,
        force_unhealthy=given.force_unhealthy,
        parent=parent,
    )
    return cold_plan(wanted, context, part=True), {}
