"""Which addresses processes have TCP connections with, as the kernel knows it."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_ESTABLISHED = "01"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def peers(pids: Iterable[int]) -> set[str]:
    """Addresses of the other ends of all established connections of these processes."""
    found = set()
    for pid in pids:
        inodes = _sockets(Path(f"/proc/{pid}"))
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _ESTABLISHED and fields[9] in inodes:
                    found.add(_address(fields[2].partition(":")[0]))
    return found


def _sockets(process: Path) -> set[str]:
    found = set()
    for link in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if match := _SOCKET.fullmatch(str(link.readlink())):
                found.add(match[1])
    return found


def _address(text: str) -> str:
    """The kernel writes each 32 bits of an address in its own byte order."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if len(packed) == 4:
        return str(ipaddress.IPv4Address(packed))
    address = ipaddress.IPv6Address(packed)
    return str(address.ipv4_mapped or address)
