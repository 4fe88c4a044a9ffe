"""Several threads may read the first struct of a kind at once: unprepared, msgspec then crashes the process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import propolis

FOLDER = Path(str(propolis.__file__)).parent
SOURCES = {path: path.read_text() for room in ("repository", "s3") for path in (FOLDER / room).rglob("*.py")}

RACE = """
import sys, threading, msgspec
from propolis.structs import read_in_threads
sys.setswitchinterval(1e-6)
for number in range(300):
    inner = msgspec.defstruct("Inner", [(f"f{i}", dict[str, list[int]], {}) for i in range(30)])
    fields = [("inner", list[inner]), *((f"g{i}", str, "") for i in range(30))]
    struct = read_in_threads(msgspec.defstruct("Outer", fields))
    start = threading.Barrier(4)
    def read():
        start.wait()
        msgspec.json.decode(b'{"inner": [{"f0": {"a": [1]}}], "g29": "z"}', type=struct)
    threads = [threading.Thread(target=read) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def test_every_struct_that_is_read_from_the_repository_is_prepared() -> None:
    read = {name for text in SOURCES.values() for name in re.findall(r"json\.decode\([^\n]*type=([A-Z_]\w+)\)", text)}
    prepared = {name for text in SOURCES.values() for name in re.findall(r"@read_in_threads\nclass (\w+)\(", text)}
    assert {"Header", "KeyRing", "Holder"} <= read
    assert read <= prepared


def test_a_prepared_struct_is_read_by_several_threads_at_once() -> None:
    assert subprocess.run([sys.executable, "-c", RACE], check=False).returncode == 0
