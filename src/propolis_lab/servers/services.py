"""Describes the lab's services to the process platform, and ends them for good."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from propolis.platform.process.platform import ProcessPlatform
from propolis_lab.errors import LabError

_END_WAIT = 30.0


def describe(
    folder: Path,
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    pid_file: Path,
    environment: Mapping[str, str],
    uid: int | None = None,
    working_directory: Path | None = None,
) -> ProcessPlatform:
    """Write `<folder>/<name>.yaml` (it may hold secrets: 0600) and return the platform on that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    described: dict[str, object] = {
        "command": list(command),
        "environment": dict(environment),
        "working_directory": str(working_directory or "/"),
        "log": str(log),
        "pid_file": str(pid_file),
        "stop_signal": "SIGTERM",
        "stop_timeout": 180,
    }
    if uid is not None and os.geteuid() == 0:
        described |= {"user": uid, "group": uid}
    lines = [f"# {name}, as the process platform starts it"]
    lines += [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in described.items()]
    path = folder / f"{name}.yaml"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
    return ProcessPlatform(folder)


def end(platform: ProcessPlatform, name: str) -> None:
    """Kill every process of the service: what it wrote is about to be thrown away."""
    deadline = time.monotonic() + _END_WAIT
    while pids := platform.pids(name):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LabError(f"{name}: processes {pids} can't be killed")
        time.sleep(0.02)
