"""Gives every lab a loopback address of its own, so that all servers can keep their usual ports.

Linux answers on all of 127.0.0.0/8 without set-up. A claim is a small file in the cache that names the lab's
root; it lapses when that root is gone, so that a killed lab takes no address for ever.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from propolis_lab.errors import LabError
from propolis_lab.programs import artefacts

_TRIES = 200


def claim_address(root: Path, ports: Iterable[int]) -> str:
    """A loopback address that no other lab has and on which these ports are free. `root` must exist."""
    wanted = tuple(ports)
    for _ in range(_TRIES):
        address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        if _claim(address, root):
            if all(is_free(address, port) for port in wanted):
                return address
            release(address, root)
    raise LabError(f"No loopback address has the ports {', '.join(map(str, wanted))} free")


def claim_port(root: Path) -> int:
    """A port on 127.0.0.1 for what can't listen elsewhere; below the range the kernel gives to clients."""
    for _ in range(_TRIES):
        port = random.randint(20000, 31999)
        name = f"127.0.0.1-{port}"
        if _claim(name, root):
            if is_free("127.0.0.1", port):
                return port
            release(name, root)
    raise LabError("No port is free on 127.0.0.1")


def release(name: str, root: Path) -> None:
    """Give one claim back."""
    path = _folder() / name
    if _owner(path) == str(root):
        path.unlink(missing_ok=True)


def release_all(root: Path) -> None:
    """Give back every claim of that root."""
    for path in _folder().iterdir():
        release(path.name, root)


def is_free(address: str, port: int) -> bool:
    """Whether nothing is bound to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that is merely fading away is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _folder() -> Path:
    folder = artefacts.cache() / "claims"
    folder.mkdir(exist_ok=True)
    return folder


def _owner(path: Path) -> str | None:
    with suppress(FileNotFoundError):
        return path.read_text()
    return None


def _claim(name: str, root: Path) -> bool:
    """Linked into place whole, so that nobody ever sees a claim without its owner."""
    path = _folder() / name
    with artefacts.locked("claims"):
        owner = _owner(path)
        if owner is not None and Path(owner).exists():
            return False
        part = path.with_name(f".{name}.{os.getpid()}")
        part.write_text(str(root))
        part.replace(path)
        return True
