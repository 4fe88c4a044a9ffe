"""Runs programs and says what they took.

A program of its own, since the kernel counts the memory of whoever starts a program as that program's: this one needs
so little that it doesn't show.

Reads a job from stdin and writes what it took to stdout, both JSON. A job's `stages` run one after another; each is
one command, or several joined by pipes. The peak is the sum over a pipe's commands, and the largest stage counts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time


def _stage(commands: list[list[str]], job: dict[str, str | None], environment: dict[str, str]) -> tuple[float, int]:
    """Run commands joined by pipes; returns CPU seconds and KiB at the peak, or exits with the one that failed."""
    output = job["output"]
    started: list[subprocess.Popen[bytes]] = []
    before: int = subprocess.DEVNULL
    log = os.open(str(job["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for number, command in enumerate(commands):
        last = number == len(commands) - 1
        after = log
        if last and output is not None:
            after = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        child = subprocess.Popen(
            command,
            stdin=before,
            stdout=after if last else subprocess.PIPE,
            stderr=log,
            cwd=job["folder"],
            env=environment,
        )
        if before >= 0:
            os.close(before)  # else the one before never notices that this one ended
        before = -1
        if child.stdout is not None:
            before = os.dup(child.stdout.fileno())
            child.stdout.close()
        started.append(child)
    seconds, peak = 0.0, 0
    failed = 0
    for child in started:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds += usage.ru_utime + usage.ru_stime
        peak += usage.ru_maxrss
        # One that lost its reader died of that, and isn't the culprit.
        if child.returncode and failed in (0, -signal.SIGPIPE):
            failed = child.returncode
    if failed:
        json.dump({"failed": failed}, sys.stdout)
        sys.exit(1)
    os.close(log)
    return seconds, peak


def main() -> None:
    """Run the job on stdin."""
    job = json.load(sys.stdin)
    cpu, peak = 0.0, 0
    started = time.monotonic()
    for commands in job["stages"]:
        seconds, most = _stage(commands, job, job["environment"])
        cpu += seconds
        peak = max(peak, most)
    ended = time.monotonic()
    os.sync()
    synced = time.monotonic()
    taken = {"seconds": synced - started, "unsynced": ended - started, "cpu": cpu, "peak": peak * 1024}
    json.dump(taken, sys.stdout)


if __name__ == "__main__":
    main()
