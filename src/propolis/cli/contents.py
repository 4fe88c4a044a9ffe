"""`diff`, `extract`, `find`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from propolis.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    AsOf,
    BackupArgument,
    ConfigFile,
    IdentityFile,
    PlanOnly,
    Quiet,
    config_of,
    is_root,
    moment_of,
    observer,
)
from propolis.command.apart import require_folder_apart
from propolis.command.stores import open_repository
from propolis.compare import compare_backups, compare_live
from propolis.errors import IncompleteError, IntegrityError, PropolisError, UsageError
from propolis.filesystem.paths import shown
from propolis.report.json import print_json
from propolis.report.repository.contents import (
    extract_as_json,
    found_as_json,
    print_diff,
    show_diff,
    show_extract,
    show_found,
    show_plan_of_extract,
)
from propolis.repository import Entry, Repository, Stats
from propolis.repository.access.leases import ReadingLease
from propolis.repository.browse import extract as extracting
from propolis.repository.browse.choose import suggestions
from propolis.repository.browse.extract import Extract, choose
from propolis.repository.browse.find import SHA256, FindResult, find_name, find_segments
from propolis.repository.browse.sums import with_sum
from propolis.restore.owners import group_number, user_number
from propolis.run import Observer
from propolis.stack.stack import STORES

_NAMED = 5

Stores = Annotated[
    str,
    typer.Option("--only", help=f"Only these stores (comma-separated): {', '.join(STORES)}", metavar="STORES"),
]
Limit = Annotated[int, typer.Option("--limit", help="List this many at most", metavar="N", min=0)]
ListAll = Annotated[bool, typer.Option("--all", help="List all of them, however many there are")]


def register(app: typer.Typer) -> None:
    """Add this family's commands."""
    app.command()(diff)
    app.command()(extract)
    app.command()(find)


def diff(
    backup: BackupArgument,
    other: Annotated[
        str | None,
        typer.Argument(
            help="A later backup; without one, the stack's folders and bucket as they are now", metavar="LATER"
        ),
    ] = None,
    store: Stores = "",
    content: Annotated[
        bool,
        typer.Option("--content", help="Read the stack's files, and compare their bytes with the backup's hashes"),
    ] = False,
    limit: Limit = 20,
    list_all: ListAll = False,
    identity: IdentityFile = None,
    at: AsOf = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two backups, or since a backup.

    Changes nothing, and needs no recovery key. --limit counts for each folder that is backed up. With --json, every
    change is a line. The exit code is 0 whether or not there are differences, and 3 if something was not compared.
    """
    stores = _stores(store)
    if content and other is not None:
        raise UsageError(
            "--content reads the stack's files, but two backups were given",
            next="Leave it out: the content of backups is always compared",
        )
    moment = moment_of(at)
    settings = config_of(config)
    repository = open_repository(settings, identity, moment)
    remarks: list[str] = []
    before = repository.resolve(backup, settings.name, remarks)
    if other is None:
        comparison = compare_live(settings, repository, before, stores, content=content)
    else:
        after = repository.resolve(other, settings.name, remarks)
        comparison = compare_backups(repository, before, after, stores)
    comparison.remarks[:0] = dict.fromkeys(remarks)
    totals = print_diff(comparison) if as_json else show_diff(comparison, None if list_all else limit)
    if comparison.unread:
        raise IncompleteError(
            f"Some files could not be compared: {comparison.unread[0]}",
            left=f"{totals.all.unread} of the backup's entries were not compared",
            next="Run Propolis as root, with the stack's bucket and disks in order",
        )


def extract(
    backup: BackupArgument,
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files or folders as `propolis diff` and `find` show them, e.g. files/folder/attachment/3f; "
            "or patterns, in quotes: * and ? within a name, ** across folders",
            metavar="PATH",
        ),
    ],
    to: Annotated[
        Path,
        typer.Option("--to", help="Folder to write the files into, each below its own path", metavar="FOLDER"),
    ],
    identity: IdentityFile = None,
    owners: Annotated[
        bool,
        typer.Option("--owners", help="Restore the owners of the files, looked up by name on this host (root only)"),
    ] = False,
    at: AsOf = "",
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write single files of a backup into a folder.

    Needs the recovery key, and reads only the packs that are needed. Nothing is overwritten, and files get their
    names only when all of them are complete. The exit code is 3 if one of the paths matches nothing.
    """
    if owners and not is_root():
        raise UsageError(
            "--owners: only root can change the owner of files", next="Leave it out, or run Propolis as root"
        )
    moment = moment_of(at)
    settings = config_of(config)
    target = to.absolute()
    require_folder_apart(settings, "--to", target)
    repository = open_repository(settings, identity, moment)
    told = observer(quiet=quiet, as_json=as_json)
    remarks = [finding.what for finding in repository.damaged_rings]
    if not plan:
        repository.require_pack_key()
    id = repository.resolve(backup, settings.name, remarks)
    for remark in remarks:
        told.note(remark)
    chosen = choose(repository.manifest(id), paths, target)
    if not chosen.trees:
        raise _missing(chosen, "Nothing was written")
    if plan:
        show_plan_of_extract(chosen)
    else:
        with _reading(repository, moment, told), _step(told, f"write files to {target}"):
            result = extracting.extract(repository, chosen, owner=_owner if owners else None, observer=_counted(told))
        if as_json:
            print_json(extract_as_json(result))
        elif not quiet:
            show_extract(result)
        if result.unnamable:
            raise IncompleteError(
                f"{len(result.unnamable)} objects can't be files here: {', '.join(result.unnamable[:_NAMED])}",
                left="All others were written",
            )
    if chosen.missing:
        raise _missing(chosen, "Nothing was changed" if plan else "All others were written")


def find(
    text: Annotated[
        str,
        typer.Argument(
            help="A file's name without its folders, a prefix of it, or a pattern in quotes; or a SHA-256",
            metavar="NAME|SHA256",
        ),
    ],
    content: Annotated[
        bool,
        typer.Option(
            "--content",
            help="If no file has this SHA-256 as its name, compute the SHA-256 of every file; slow, needs the "
            "recovery key",
        ),
    ] = False,
    all_stacks: Annotated[bool, typer.Option("--all-stacks", help="Search the backups of other stacks, too")] = False,
    store: Stores = "",
    limit: Limit = 100,
    list_all: ListAll = False,
    identity: IdentityFile = None,
    at: AsOf = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show which backups contain a file, newest first.

    TheHive names an attachment by the SHA-256 of its content. With --content, only attachments are read unless
    --only says otherwise. The exit code is 1 if nothing was found, 14 if a backup could not be searched.
    """
    stores = _stores(store)
    is_sum = SHA256.fullmatch(text) is not None
    if content and not is_sum:
        raise UsageError(
            f"--content: {text!r} is not a SHA-256", next="Give its 64 hexadecimal digits, e.g. of `sha256sum`"
        )
    moment = moment_of(at)
    settings = config_of(config)
    repository = open_repository(settings, identity, moment)
    if content:
        repository.require_pack_key()
    told = observer(quiet=quiet, as_json=as_json)
    listing = repository.listing()
    meant = None if all_stacks else listing.meant(settings.name)
    backups = listing.of(meant)
    name = text.lower() if is_sum else text
    most = None if list_all else limit
    result = find_name(repository, backups, name, stores, most)
    if content and not result.files:
        with _reading(repository, moment, told), _step(told, "compute the SHA-256 of every file"):
            chosen = stores or ("files",)
            found = with_sum(repository, backups, name, chosen, result, _counted(told))
            result.how = "content"
            if found:
                find_segments(repository, backups, found, result, chosen, most)
    result.damaged[:0] = [finding for finding in listing.damaged if finding not in result.damaged]
    if meant is not None and meant != settings.name:
        result.remarks.append(f"There is no backup of the stack {settings.name}: these are of {meant}")
    if as_json:
        print_json(found_as_json(result))
    elif not quiet:
        show_found(result, stacks=all_stacks)
    _end(result, "stacks" if all_stacks else f"stack {meant}", is_sum=is_sum and not content)


def _end(result: FindResult, whose: str, *, is_sum: bool) -> None:
    """Raise what is to be said at the end: what could not be looked through, or that nothing was found."""
    if result.damaged:
        raise IntegrityError(
            f"{len(result.damaged)} objects of the repository could not be searched: {result.damaged[0].what}",
            left=f"{result.searched} backups were searched" + ("" if result.files else ", and have no such file"),
            next="Run `propolis repository check`",
        )
    if not result.files:
        hint = "Give --content and the recovery key with --identity to look for its content (slow)"
        raise PropolisError(
            f"None of the {result.searched} backups of the {whose} has the file {result.text}",
            next=hint if is_sum else "Look at the folders with `propolis diff`, or give a pattern, e.g. '*report*'",
        )


def _missing(chosen: Extract, left: str) -> IncompleteError:
    named = ", ".join(one.text for one in chosen.missing[:_NAMED])
    like = suggestions(chosen.manifest, chosen.missing)
    trees = ", ".join(shown(tree.name.encode()) for tree in chosen.manifest.header.trees)
    return IncompleteError(
        f"The backup {chosen.manifest.id} has nothing called {named}",
        left=left,
        next=f"Did you mean {' or '.join(like)}?" if like else f"Paths begin with one of its trees: {trees}",
    )


def _stores(text: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := sorted(set(found) - set(STORES)):
        raise UsageError(f"--only: there is no store {', '.join(unknown)}; stores are {', '.join(STORES)}")
    return found


def _owner(entry: Entry) -> tuple[int, int]:
    return user_number(entry.user, entry.uid), group_number(entry.group, entry.gid)


@contextlib.contextmanager
def _reading(repository: Repository, moment: datetime | None, told: Observer) -> Iterator[None]:
    """Hold a lease where one can be had: then a prune leaves alone meanwhile what is read."""
    if moment is not None:
        yield
        return
    with ReadingLease(repository.storage) as lease:
        if lease.warning:
            told.note(lease.warning)
        yield


@contextlib.contextmanager
def _step(told: Observer, title: str) -> Iterator[None]:
    told.step_started(1, 1, title)
    try:
        yield
    finally:
        told.close()


def _counted(told: Observer) -> Callable[[Stats], None]:
    def count(stats: Stats) -> None:
        told.progress(stats.read, None, "bytes")

    return count
