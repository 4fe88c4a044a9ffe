"""Puts a restored folder in a present one's place, and back again, in a way that a crash at any point can't harm.

Folders are never renamed themselves, since a data folder may be a mount point: their children are. While a marker
lies in the folder moved aside, all that was there before is aside, and what lies in the target is new.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from propolis import clone
from propolis.command.kept import Former, KeptFolder
from propolis.durable import sync_folder
from propolis.errors import PropolisError
from propolis.filesystem import attributes

OLD_MARKER = ".all-moved-aside"
"""Of journals that name none."""


class Swap(msgspec.Struct, frozen=True):
    """One folder to be replaced: where it is, where its replacement was staged, where its present content goes.

    `staged` None: the folder is only emptied. `former` None: the target wasn't there before. `marker` is the name of
    the file that marks all as moved aside: one that no content has.
    """

    target: str
    staged: str | None
    aside: str
    former: Former | None
    marker: str = OLD_MARKER
    others: tuple[str, ...] = ()
    """Names in the target that are earlier runs' own, such as data that they keep: they stay where they are."""
    kept: KeptFolder | None = None
    """`staged` is what an earlier run replaced and keeps: it comes back as it was, and its marker stays behind."""

    @property
    def own(self) -> frozenset[str]:
        """What lies in the target and is a run's own: there, where the target is a mount of its own."""
        aside = Path(self.aside)
        if aside.parent != Path(self.target).resolve():
            return frozenset(self.others)
        place = aside.name.replace("-aside-", "-", 1)
        return frozenset({aside.name, place, place + clone.RESERVE, *self.others})


def plan_swap(target: Path, run_id: str, *, staged: Path | None, own: Iterable[str] = ()) -> Swap:
    """Plan to replace `target`'s content with that of `staged`; `own` are names in it that are runs' own.

    Touches nothing.
    """
    former = None
    if target.is_dir():
        status = target.stat()
        kept = attributes.read_any(os.fsencode(target.resolve()))
        former = Former(status.st_uid, status.st_gid, status.st_mode & 0o7777, kept)
    return Swap(
        str(target),
        None if staged is None else str(staged),
        str(clone.aside(target, run_id)),
        former,
        f"{OLD_MARKER}-{run_id}",
        tuple(sorted(own)),
    )


def plan_return(kept: KeptFolder, run_id: str, own: Iterable[str]) -> Swap:
    """Plan to replace a folder's content with what it held before an earlier run, which keeps it. Touches nothing."""
    swap = plan_swap(Path(kept.target), run_id, staged=Path(kept.folder), own=own)
    return msgspec.structs.replace(swap, kept=kept)


def swap_in(swap: Swap) -> None:
    """Move the present content aside, then the staged content in."""
    with _explained(f"The content of {swap.target} can't be replaced", "What was moved is being moved back"):
        _swap_in(swap)


def _swap_in(swap: Swap) -> None:
    target, aside = Path(swap.target), Path(swap.aside)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside.mkdir(mode=0o700, exist_ok=True)
    _move_children(target, aside, swap.own)
    (aside / swap.marker).touch(mode=0o600)
    sync_folder(aside)
    if swap.staged is not None:
        staged = Path(swap.staged)
        _close(target)
        if swap.kept is not None:
            _move_children(staged, target, frozenset({swap.kept.marker}))
            _become(target, swap.kept.former)
            return
        _move_children(staged, target, frozenset())
        _take_over(staged, target)
        sync_folder(target)


def swap_back(swap: Swap) -> None:
    """Bring the former content back; idempotent, whatever `swap_in` had done."""
    target, aside = Path(swap.target), Path(swap.aside)
    if not aside.is_dir():
        return
    target.mkdir(mode=0o700, exist_ok=True)
    if (aside / swap.marker).exists():
        _move_new_content_out(swap, target)
        (aside / swap.marker).unlink()
        sync_folder(aside)
    _close(target)
    _move_children(aside, target, frozenset())
    _become(target, swap.former)
    # Last: without this folder there is nothing left to bring back.
    aside.rmdir()
    sync_folder(aside.parent)


def drop_aside(swap: Swap) -> None:
    """Remove for good what was moved aside, and the emptied staging folder; idempotent."""
    aside = Path(swap.aside)
    with _explained(f"The former content in {aside} can't be removed", "Apart from that, the restore is complete"):
        if aside.is_dir():
            shutil.rmtree(aside)
    drop_staged(swap)


def drop_staged(swap: Swap) -> None:
    """Remove the emptied staging folder; idempotent. What an earlier run keeps is for its record to drop."""
    if swap.staged is not None and swap.kept is None:
        clone.drop(Path(swap.staged))


@contextlib.contextmanager
def _explained(what: str, left: str) -> Iterator[None]:
    """Say what the kernel refused; the preflight finds most of it before anything is stopped."""
    try:
        yield
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        raise PropolisError(
            f"{what}: {error.strerror}{named}", left=left, next="Fix the cause, then run `propolis recover`"
        ) from error


def _move_new_content_out(swap: Swap, target: Path) -> None:
    if swap.staged is None:
        with os.scandir(target) as children:
            for child in [child for child in children if child.name not in swap.own]:
                if child.is_dir(follow_symlinks=False):
                    shutil.rmtree(child.path)
                else:
                    Path(child.path).unlink()
        return
    staged = Path(swap.staged)
    staged.mkdir(mode=0o700, exist_ok=True)
    _move_children(target, staged, swap.own)


def _move_children(source: Path, destination: Path, left: frozenset[str]) -> None:
    with os.scandir(source) as children:
        names = [child.name for child in children if child.name not in left]
    for name in names:
        if os.path.lexists(destination / name):
            raise PropolisError(
                f"{destination / name} is in the way of {source / name}",
                left="Neither was changed",
                next="Move one of them away, then run `propolis recover`",
            )
        (source / name).rename(destination / name)
    sync_folder(source)
    sync_folder(destination)


def _take_over(source: Path, target: Path) -> None:
    """Give the target the owner, mode, attributes and times of the folder whose content it got."""
    status = source.stat()
    found = attributes.read_any(os.fsencode(source))
    _dress(target, status.st_uid, status.st_gid, status.st_mode & 0o7777, found)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _become(target: Path, former: Former | None) -> None:
    """Make the folder what it was before: by owner, mode and attributes, or not there at all."""
    if former is not None:
        _dress(target, former.uid, former.gid, former.mode, former.attributes)
        sync_folder(target)
        return
    try:
        target.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return  # what runs keep lies in it
    sync_folder(target.parent)


def _close(target: Path) -> None:
    """Let nobody else in while content comes: its own folder may have been less readable than this one."""
    with _opened(target) as folder:
        attributes.drop_lists(folder)
        os.fchmod(folder, 0o700)


def _dress(target: Path, uid: int, gid: int, mode: int, found: attributes.Attributes | None) -> None:
    with _opened(target) as folder:
        os.fchown(folder, uid, gid)
        if found is not None:
            attributes.replace(folder, found)
        os.fchmod(folder, mode)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
