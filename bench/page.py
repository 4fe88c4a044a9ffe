"""Renders a record of the repository's benchmark as one page of Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from bench.measure import About, Measurement
from bench.targets import DEPLOYMENT, MB, OURS, SMALL_FILES, Outcome, Target, outcome
from bench.tools import OPERATIONS

_PLACES = {
    "folder": "In a folder",
    "minio": "In a bucket of MinIO on the same machine",
    "ssh": "Behind an sshd on the same machine",
}
_HOW = """Each round, each tool did the same operation in turn, another one first each time, on a repository of its
own. Seconds run from the start of the process until `sync` returned. CPU seconds are those of the
client and its children; peak is its largest resident memory (of a pipe's processes together). Tools ran with their
own defaults and the same priority. Verify and restore came before the change, so that all read the same bytes. Ratios
are of pairs within a round. Medians over rounds (least–most)."""


def page(about: About, measured: Sequence[Measurement]) -> str:
    """Return the page."""
    small = about.scenario == "small-files"
    versions = ", ".join(f"{name} {version}" for name, version in about.versions.items())
    caches = "emptied before each operation" if about.caches_dropped else "left as it was"
    rounds = len({line.round for line in measured})
    lines = [
        "# The repository beside other tools" + (": very many small files" if small else ""),
        "",
        f"{about.started} UTC, {about.machine}; {about.filesystem}. {versions}.",
        "",
        f"Data: {about.data}. {rounds} of {about.rounds} rounds; the page cache was {caches}.",
        "",
        "; ".join(f"*{name}*: {text}" for name, text in OPERATIONS.items()) + ".",
        "",
        _HOW,
        "",
    ]
    for name, title in _PLACES.items():
        here = [line for line in measured if line.place == name]
        if here:
            lines += [f"## {title}", "", *_table(here), "", *_targets(SMALL_FILES if small else DEPLOYMENT, here), ""]
    return "\n".join(lines)


def _table(measured: Sequence[Measurement]) -> list[str]:
    """One row an operation and tool."""
    server = any(line.server_cpu for line in measured)
    lines = [
        "| operation | tool | seconds | CPU s |" + (" server's CPU s |" if server else "") + " peak MB | stored MB |"
        " propolis / tool: time | CPU |",
        "| --- | --- | ---: | ---: |" + (" ---: |" if server else "") + " ---: | ---: | ---: | ---: |",
    ]
    for operation in OPERATIONS:
        tools = list(dict.fromkeys(line.tool for line in measured if line.operation == operation))
        for tool in sorted(tools, key=lambda name: (name != OURS, name != "restic", name)):
            rows = [line for line in measured if (line.operation, line.tool) == (operation, tool)]
            cells = [operation, tool, _spread([row.seconds for row in rows]), _spread([row.cpu for row in rows])]
            if server:
                cells.append(_spread([row.server_cpu for row in rows]))
            size = max(row.size for row in rows)
            cells += [f"{max(row.peak for row in rows) / MB:.0f}", f"{size / MB:.1f}" if size else ""]
            cells += [_ratio(measured, operation, "seconds", tool), _ratio(measured, operation, "cpu", tool)]
            lines.append(f"| {' | '.join(cells)} |")
    shares = [line.others_cpu / line.seconds for line in measured if line.seconds]
    lines += [
        "",
        f"Meanwhile everything else on the machine, the kernel's writing included, used "
        f"{statistics.median(shares):.2f} processors ({min(shares):.2f}–{max(shares):.2f}).",
    ]
    return lines


def _ratio(measured: Sequence[Measurement], operation: str, quantity: str, tool: str) -> str:
    if tool == OURS:
        return ""
    found = outcome(Target("", operation, "cpu" if quantity == "cpu" else "seconds", 0, tool), measured)
    return "" if found is None else f"{found.median:.2f}"


def _targets(targets: Sequence[Target], measured: Sequence[Measurement]) -> list[str]:
    """Return a table of what must be reached; what was not measured is named below it."""
    lines = ["| target | measured | |", "| --- | ---: | --- |"]
    missing = []
    for target in targets:
        found = outcome(target, measured)
        if found is None:
            missing.append(target.text)
        else:
            text = target.text.replace("|", "\\|")
            lines.append(f"| {text} | {_measured(found)} | {'met' if found.met else '**missed**'} |")
    if missing:
        lines += ["", "Not measured here: " + "; ".join(missing) + "."]
    return lines


def _measured(found: Outcome) -> str:
    if found.target.peer is None:
        return f"{found.most / MB:.0f} MB"
    digits: Callable[[float], str] = "{:.3f}".format if found.target.quantity == "size" else "{:.2f}".format
    if found.least == found.most:
        return f"{digits(found.median)} ×"
    return f"{digits(found.median)} × ({digits(found.least)}–{digits(found.most)})"


def _spread(values: Sequence[float]) -> str:
    median = f"{statistics.median(values):.2f}"
    return median if len(values) == 1 else f"{median} ({min(values):.2f}–{max(values):.2f})"
