"""What backups hold, for a person and for programs: differences, files that were extracted or found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from propolis.compare import Comparison
from propolis.filesystem.paths import shown
from propolis.report.backups import show_findings
from propolis.report.console import NOT_RESTORED, console, escape, show_unkept
from propolis.report.json import plain
from propolis.report.units import counted, human_bytes
from propolis.repository.browse.choose import Chosen, label_of
from propolis.repository.browse.diff import Change, Total, TreeDiff
from propolis.repository.browse.extract import Extract, ExtractResult
from propolis.repository.browse.find import FindResult, Run

_MARKS = {"added": "+", "removed": "-", "changed": "~"}
_KINDS = {"d": "/", "l": " (link)", "h": " (hard link)"}


@dataclass
class Totals:
    """How much differs: in each tree, in each store, and in all."""

    trees: dict[str, tuple[str, Total]] = field(default_factory=dict)
    """By tree: its store, and its numbers."""

    def add(self, tree: TreeDiff) -> None:
        """One more tree, all of whose changes were taken."""
        self.trees[tree.name] = tree.store, tree.total

    def stores(self) -> dict[str, Total]:
        """By store."""
        found: dict[str, Total] = {}
        for store, total in self.trees.values():
            found.setdefault(store, Total()).add(total)
        return found

    @property
    def all(self) -> Total:
        """Of all together."""
        found = Total()
        for _, total in self.trees.values():
            found.add(total)
        return found


def show_diff(comparison: Comparison, limit: int | None) -> Totals:
    """The differences of each tree, `limit` of them at most, then how many there are."""
    totals = Totals()
    after = comparison.after or "the present state"
    _say(f"Changes from {comparison.before} to {after}:")
    for tree in comparison.trees:
        _list(tree, limit)
        totals.add(tree)
    _table(totals)
    if not totals.all.differs:
        _say("No differences were found.")
    if comparison.after is None and not comparison.content_read:
        comparison.remarks.append(
            "Files were compared by type, size, time, owner, mode and attributes; --content compares their bytes, too"
        )
    show_findings((), comparison.remarks)
    for name in comparison.unread:
        console().print(f"[yellow]not compared:[/] {escape(name)}")
    return totals


def print_diff(comparison: Comparison) -> Totals:
    """The same for programs: a line of JSON for each change, each tree, and at the end the summary."""
    totals = Totals()
    for tree in comparison.trees:
        for change in tree.changes:
            fields = {name: getattr(change, name) for name in change.__struct_fields__}
            _print({"record": "change"} | fields | {"path": shown(change.path)})
        totals.add(tree)
        _print({"record": "tree", "tree": tree.name, "store": tree.store, "kind": tree.kind, "total": tree.total})
    _print(
        {
            "record": "summary",
            "before": comparison.before,
            "after": comparison.after,
            "content_read": comparison.content_read,
            "stores": totals.stores(),
            "total": totals.all,
            "remarks": comparison.remarks,
            "unread": comparison.unread,
        }
    )
    return totals


def show_plan_of_extract(chosen: Extract) -> None:
    """What an extract would write."""
    out = console()
    for one in chosen.paths:
        out.print(escape(f"{one.text}: {_meant(one)}"))
    out.print(escape(f"All of it would be written to {chosen.to}. Nothing was changed."))


def show_extract(result: ExtractResult) -> None:
    """What was written, and what was not."""
    out = console()
    out.print(
        escape(
            f"Wrote {counted(result.files, 'file')} ({human_bytes(result.bytes)}) of {result.backup} to {result.to}."
        )
    )
    for one in result.paths:
        out.print(escape(f"  {one.text}: {_meant(one)}"))
    show_unkept(NOT_RESTORED, result.unkept)
    for name in result.unnamable:
        out.print(f"[yellow]not written:[/] {escape(name)} can't be a file's name here")
    for folder in result.leftovers:
        out.print(f"[yellow]leftover:[/] {escape(folder)} belongs to an extract that was killed or is still running")


def extract_as_json(result: ExtractResult) -> dict[str, Any]:
    """The same for programs."""
    return {**plain(result), "paths": [plain(one) | {"found": one.found} for one in result.paths]}


def show_found(result: FindResult, *, stacks: bool) -> None:
    """In which backups each file lies; `stacks`: of which stack, too."""
    if result.how == "beginning":
        _say(f"No file is called {result.text}. These names begin with it:")
    for file in result.files:
        stack = f"{shown(file.stack.encode())}: " if stacks else ""
        _say(stack + shown(label_of(file.tree, file.path)))
        for number, run in enumerate(file.runs):
            _say(f"  {_backups(run)}: {human_bytes(run.size)}" + _content(file.runs, number))
    if result.left_out:
        _say(f"… and {result.left_out} more (--all lists them)")
    show_findings(result.damaged, result.remarks)


def found_as_json(result: FindResult) -> dict[str, Any]:
    """The same for programs. Runs with equal `content` have the same bytes."""
    files = [
        {
            "stack": file.stack,
            "tree": file.tree,
            "path": shown(file.path),
            "runs": [plain(run) | {"content": run.content.hex()} for run in file.runs],
        }
        for file in result.files
    ]
    return {**plain(result), "files": files}


def _list(tree: TreeDiff, limit: int | None) -> None:
    count = 0
    for change in tree.changes:
        count += 1
        if limit is None or count <= limit:
            _say(f"  {_MARKS[change.kind]} {_named(change)}{_told(change)}")
    if limit is not None and count > limit:
        _say(f"  … and {count - limit} more in {shown(tree.name.encode())} (--all lists them)")


def _named(change: Change) -> str:
    return shown(label_of(change.tree, change.path)) + _KINDS.get(change.type, "")


def _told(change: Change) -> str:
    if change.kind != "changed":
        return f"  {human_bytes(change.before or change.after)}" if change.type in "fo" else ""
    sizes = ""
    if change.before != change.after:
        sizes = f"  {human_bytes(change.before)} -> {human_bytes(change.after)}"
    elif change.type in "fo":
        sizes = f"  {human_bytes(change.after)}"
    return f"{sizes}  ({', '.join(change.what)})"


def _table(totals: Totals) -> None:
    rows: list[tuple[str, ...]] = [("", "added", "removed", "changed", "unchanged")]
    for store, total in totals.stores().items():
        rows.append((store, *_cells(total)))
        inside = [(name, found) for name, (of, found) in totals.trees.items() if of == store]
        if len(inside) > 1:
            rows += [(f"  {shown(name.encode())}", *_cells(found)) for name, found in inside]
    rows.append(("all", *_cells(totals.all)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        _say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(total: Total) -> Iterator[str]:
    yield f"{total.added} ({human_bytes(total.added_bytes)})" if total.added else "0"
    yield f"{total.removed} ({human_bytes(total.removed_bytes)})" if total.removed else "0"
    if total.changed:
        sizes = f"{human_bytes(total.changed_before)} -> {human_bytes(total.changed_after)}"
        yield f"{total.changed} ({sizes}; {total.other_content} in content)"
    else:
        yield "0"
    yield f"{total.unchanged} ({human_bytes(total.unchanged_bytes)})"


def _meant(one: Chosen) -> str:
    if not one.found:
        return "not in the backup"
    parts = [f"{counted(one.files, 'file')} ({human_bytes(one.size)})"]
    parts += [counted(count, what) for count, what in ((one.links, "link"), (one.folders, "folder")) if count]
    return ", ".join(parts)


def _backups(run: Run) -> str:
    if run.backups == 1:
        return f"in {run.newest}"
    return f"in {run.backups} backups, from {run.oldest} to {run.newest}"


def _content(runs: list[Run], number: int) -> str:
    """Where a file has had several contents: which of them this one is."""
    different = list(dict.fromkeys(run.content for run in runs))
    return f", content {different.index(runs[number].content) + 1} of {len(different)}" if len(different) > 1 else ""


def _print(record: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(plain(record)).decode() + "\n")


def _say(line: str) -> None:
    # Without Rich: there may be a million of them.
    sys.stdout.write(line + "\n")
