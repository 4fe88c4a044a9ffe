"""The worst case, for the demo and for tests: services die without a word and all their data is gone."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from propolis_lab.lab.lab import Lab


def crash(lab: Lab, *services: str) -> None:
    """Kill services."""
    for service in services:
        for pid in lab.pids(service):
            os.kill(pid, signal.SIGKILL)


def empty(folder: Path) -> None:
    """Remove all that a folder holds."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()


def lose_everything(lab: Lab, say: Callable[[str], None] = lambda _: None) -> None:
    """Kill every service that belongs to the stack and empty its data folders, or its bucket in a MinIO elsewhere."""
    elsewhere = lab.options.files == "s3" and lab.options.minio == "none"
    if elsewhere:
        say(f"Deleted the {lab.s3.empty_bucket()} objects in the bucket")
    crash(lab, *(service for service in lab.services if not (elsewhere and service == "minio")))
    for folders in lab.data_folders.values():
        for folder in folders:
            empty(folder)
            say(f"Killed the service and emptied {folder}")
