"""The part of a restore that is planned on one of several hosts, as their coordinator asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from propolis.command.context import Context
from propolis.errors import PreflightError, UsageError
from propolis.restore.cold import restore_plan
from propolis.restore.former import UndoRequest, settled, undo_plan
from propolis.restore.former.undo import stores_of
from propolis.restore.prepare import prepare
from propolis.restore.request import RestoreRequest
from propolis.restore.review import Review, review, review_undo
from propolis.run import Plan
from propolis.stack.stack import STORES


class HostOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Options of a restore as they cross a link. No path and no secret is among them."""

    backup: str = ""
    """Its whole ID: all hosts restore the same one."""
    undo: str = ""
    """Instead: the whole ID of the restore that is undone."""
    hosts: dict[str, str] = {}
    """This stack's host → the backup's whose data it gets."""
    stores: tuple[str, ...] = ()
    set_password: bool = False
    keep_days: int | None = 0
    """None: for an undo, as long as the restore kept what it replaced."""
    replace_indices: tuple[str, ...] = ()
    replace_keyspaces: tuple[str, ...] = ()
    review: bool = False
    """Whether somebody is to be shown what would be replaced."""


def host_plan(
    options: Mapping[str, Any], parent: str | None, context: Context
) -> tuple[Plan[Context], Mapping[str, Any]]:
    """Plan this host's part, and give what the coordinator is to show of it. `parent` means nothing. Touches nothing.

    Raises UsageError for options that aren't a restore's, and what `prepare` raises.
    """
    try:
        given = msgspec.convert(dict(options), HostOptions)
    except msgspec.ValidationError as error:
        raise UsageError(f"The coordinator's options are not those of a restore: {error}") from None
    if given.undo:
        return _undo_plan(given, context)
    if unknown := sorted(set(given.stores).difference(STORES)):
        raise UsageError(f"There is no store {', '.join(unknown)}; stores are {', '.join(STORES)}")
    config = context.config
    request = RestoreRequest(
        source=config,
        target=config,
        backup=given.backup,
        identity=config.restore.identity,
        stores=given.stores,
        set_password=given.set_password,
        keep_days=given.keep_days or 0,
        replace_indices=given.replace_indices,
        replace_keyspaces=given.replace_keyspaces,
        hosts=given.hosts,
    )
    restoration = prepare(request, context)
    plan = restore_plan(restoration, context)
    facts: dict[str, Any] = {
        "logins": [f"{found.message}. {found.hint}" for found in restoration.logins.checks() if found.result != "ok"]
    }
    if given.review:
        facts["review"] = msgspec.to_builtins(review(context, restoration))
    return plan, facts


def _undo_plan(given: HostOptions, context: Context) -> tuple[Plan[Context], Mapping[str, Any]]:
    request, kept = settled(UndoRequest(context.config, given.undo, given.keep_days, is_woven=True))
    plan = undo_plan(request, context)
    facts: dict[str, Any] = {"stores": list(stores_of(request.target, kept)), "days": kept.days}
    if given.review:
        found = review_undo(context, kept)
        facts["review"] = msgspec.to_builtins(
            Review(
                backup=kept.run,
                stack=found.target,
                host="",
                taken=kept.at,
                target=found.target,
                target_host=found.target_host,
                since="",
                stores=found.stores,
                notes=found.notes,
            )
        )
    return plan, facts


def review_of(host: str, facts: Mapping[str, Any]) -> Review:
    """What a host's part says that it would replace. Raises PreflightError for what isn't understood."""
    try:
        return msgspec.convert(facts.get("review"), Review)
    except msgspec.ValidationError as error:
        raise PreflightError(
            f"What the host {host} says that it would replace is not understood: {error}",
            left="Nothing was changed",
            next="Check that the same version of Propolis is installed on every host",
        ) from None
