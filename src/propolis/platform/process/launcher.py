"""Turns into a service: a tiny program that ProcessPlatform runs, in Python's isolated mode.

It reads what to run (JSON) from standard input, detaches, records itself in the pid file *before* it becomes
the service, drops privileges and executes. Since it does all that by itself, it does not matter when Propolis
dies. Arguments: the number of the lock's file descriptor and of the one that takes an error message. Both
close when the service is executed. It imports nothing of Propolis, to start in milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any


def main(lock: int, answer: int) -> None:
    """Fork, so that the service is nobody's child, and run it."""
    spec: dict[str, Any] = json.load(sys.stdin)
    if os.fork():
        os._exit(0)
    try:
        os.set_inheritable(lock, False)
        os.set_inheritable(answer, False)
        _become(spec)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        os.write(answer, f"{name}{error.strerror}".encode())
    os._exit(127)


def _become(spec: dict[str, Any]) -> None:
    os.setsid()
    os.umask(0o077)
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
    if spec["account"]:
        os.fchown(log, spec["account"]["uid"], spec["account"]["gid"])
    _record(spec["pid_file"], spec["boot"])
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(spec["umask"])
        if spec["account"]:
            os.setgroups(spec["account"]["groups"])
            os.setgid(spec["account"]["gid"])
            os.setuid(spec["account"]["uid"])
        os.chdir(spec["working_directory"])
        os.execvpe(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606
    except OSError:
        _forget(spec["pid_file"])
        raise


def _record(path: str, boot: str) -> None:
    """Number, start time (which an exec keeps) and boot; renamed into place, so never half a file."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no pathlib here
        started = file.read().rpartition(")")[2].split()[19]
    part = f"{path}.part"
    with open(part, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(f"{os.getpid()}\n{started} {boot}\n")
    os.chmod(part, 0o644)  # noqa: PTH101
    os.replace(part, path)  # noqa: PTH105


def _forget(path: str) -> None:
    """Best effort: privileges may be gone already, and a record of a dead process does no harm."""
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
