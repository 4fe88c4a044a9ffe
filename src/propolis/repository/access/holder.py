"""Who holds a lease, told so exactly that another run on the same host knows at once when its process is gone.

A process is known by its number, the moment it started, and the namespaces in which both hold; a running system by
its boot ID; a machine by what no two of them in one network have in common. Whatever isn't known for certain is
taken for alive: then the lease expires by itself.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

import msgspec
from blake3 import blake3

from propolis.clock import utc_now, utc_text
from propolis.structs import read_in_threads

_PROC = Path("/proc")
_SYS = Path("/sys")
_MACHINE_ID = Path("/etc/machine-id")
_CONTEXT = "propolis repository 1: machine of a lease's holder"


@read_in_threads
class Holder(msgspec.Struct, frozen=True):
    """What a lease object says. `host`, `pid` and `since` are for people; without the others nothing is concluded."""

    host: str
    pid: int
    since: str
    start: int = 0
    """When the process started, in clock ticks since the boot."""
    boot: str = ""
    """The kernel's boot ID."""
    namespaces: str = ""
    """Those of process numbers and of time: in others, `pid` and `start` mean another process, or none."""
    machine: str = ""
    """A hash of what tells this machine from all others; empty when too little is known."""

    @classmethod
    def this(cls) -> Holder:
        """This process."""
        pid = os.getpid()
        start = _start(pid)
        return cls(
            socket.gethostname(),
            pid,
            utc_text(utc_now()),
            start or 0,
            _boot() if start else "",
            _namespaces() if start else "",
            _machine(),
        )

    def is_gone(self) -> bool:
        """Whether the process surely runs no more: it ran on this very host, and is not there, or before its boot."""
        boot = _boot()
        if not boot or not self.boot:
            return False
        if self.boot != boot:
            # The same machine runs one system at a time.
            return bool(self.machine) and (self.machine, self.host) == (_machine(), socket.gethostname())
        return bool(self.start) and self.namespaces == _namespaces() and not _runs(self.pid, self.start)


def _runs(pid: int, start: int) -> bool:
    """Whether the process of that number, started then, may still do anything."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # somebody else's: it is there
    found = _start(pid)
    return found is None or (found == start and not _is_zombie(pid))


def _start(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None when that can't be determined."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None


def _is_zombie(pid: int) -> bool:
    """Whether all that is left of a process is its exit status."""
    try:
        return _stat(pid)[:1] == ["Z"] and len(os.listdir(_PROC / str(pid) / "task")) == 1  # noqa: PTH208 - names
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """The fields of a process after its name, which may hold anything, in parentheses."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _boot() -> str:
    return _line(_PROC / "sys/kernel/random/boot_id")


def _namespaces() -> str:
    """Names of this process' namespaces of process numbers and of time; kernels before 5.6 have none of time."""
    found = []
    for kind in ("pid", "time"):
        try:
            found.append(os.readlink(_PROC / "self/ns" / kind))  # noqa: PTH115 - text
        except OSError:
            found.append("")
    return " ".join(found)


@functools.cache
def _machine() -> str:
    """Copied systems share their machine ID, so it takes what the hardware tells, too; empty when that isn't told."""
    hardware = [_line(_SYS / "class/dmi/id/product_uuid")]
    try:
        # Those of real or emulated cards: what containers and bridges have isn't theirs alone.
        cards = sorted(card for card in (_SYS / "class/net").iterdir() if (card / "device").exists())
    except OSError:
        cards = []
    hardware += sorted(filter(None, (_line(card / "address") for card in cards)))
    if len(hardware) < 2 or not hardware[0] or not (own := _line(_MACHINE_ID)):
        return ""
    return blake3("\n".join([own, *hardware]).encode(), derive_key_context=_CONTEXT).hexdigest()[:32]


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
