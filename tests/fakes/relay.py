"""Passes bytes on between a coordinator and an agent: `relay.py FOLDER`.

In FOLDER, `agent.json` is the agent's command, and `relay.pid` gets this process's ID.
Killed, it is a cut link; stopped, one that is half open. The agent is its child, and has only it to talk to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path


def pass_on(source: int, target: int) -> None:
    try:
        while part := os.read(source, 65536):
            while part:
                part = part[os.write(target, part) :]
    except OSError:
        pass
    os.close(target)


def main(folder: Path) -> int:
    new = folder / "relay.new"
    new.write_text(str(os.getpid()))
    new.rename(folder / "relay.pid")
    command = json.loads((folder / "agent.json").read_text())
    agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert agent.stdin is not None
    assert agent.stdout is not None
    there = threading.Thread(target=pass_on, args=(0, os.dup(agent.stdin.fileno())), daemon=True)
    agent.stdin.close()
    there.start()
    pass_on(agent.stdout.fileno(), 1)
    return agent.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
