"""Bringing a stack into the state that a killed run of an earlier version left."""

from __future__ import annotations

import shutil
from pathlib import Path

from compatibility.sets import copy_folder, fill
from fakes.stack import ROLES, FakeStack

STORES = ("etc", "cassandra", "elasticsearch", "files")


def address(stack: FakeStack) -> str:
    """The one that all services of the stack listen on."""
    return stack.propolis.config.require_thehive().url.removeprefix("http://").removesuffix(":9000")


def lay(stack: FakeStack, run: Path, running: list[str], **values: object) -> Path:
    """Bring the stack into the state that the run left, with these values for placeholders; give its journal."""
    for role in ROLES:
        if role not in running:
            stack.platform.stop(role)
    for store in STORES:
        shutil.rmtree(stack.root / store)
    copy_folder(run, stack.root)
    for file in (run / "state").rglob("*"):
        if file.is_file():
            text = fill(file.read_text(), **values)
            (stack.root / file.relative_to(run)).write_text(text)
    if running:
        stack.start(*running)
    (journal,) = (run / "state/journal").glob("*.jsonl")
    return stack.journals / journal.name
