"""Numbers as people read them."""

from __future__ import annotations


def human_bytes(count: int) -> str:
    """Give bytes in binary units, such as `1.5 GiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def counted(count: int, what: str) -> str:
    """Give a number of things, such as `1 file` or `3 files`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def about(what: str, object: str, more: str = "") -> str:
    """What is wrong with a repository's object: its name is added, unless it is named already."""
    added = "; ".join(part for part in ("" if object in what else object, more) if part)
    return f"{what} ({added})" if added else what


def human_seconds(seconds: float) -> str:
    """Give a span in its largest fitting unit, such as `3 h` or `4.2 s`."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    for unit, length in (("min", 60.0), ("h", 3600.0)):
        if seconds / length < 90:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
