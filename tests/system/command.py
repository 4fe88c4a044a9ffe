"""The `propolis` command as a test, or a user, runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from propolis.config.load import load
from propolis.config.schema import Config
from propolis.run import read_journal
from propolis.run.lock import held

KILLER = Path(__file__).with_name("killer.py")
UNMEASURED = {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
"""Without coverage: a killed process leaves none, and to start it takes as long as to load Propolis."""


@dataclass(frozen=True)
class Ran:
    """What one call of the command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def one_clear_error(self, code: int) -> str:
        """The error message; fails unless there is exactly that exit code and no traceback."""
        assert self.code == code, (self.code, self.out, self.err)
        assert "Traceback" not in self.err + self.out, self.err
        assert "propolis:" in self.err or "Error:" in self.err, self.err
        return self.err


class Propolis:
    """Calls the command with one configuration."""

    def __init__(self, config_file: Path) -> None:
        self.config_file = config_file

    @property
    def config(self) -> Config:
        return load(self.config_file)

    def run(self, *arguments: str | Path, env: dict[str, str] | None = None) -> Ran:
        return self._call([sys.executable, "-m", "propolis"], arguments, env)

    def ok(self, *arguments: str | Path) -> Ran:
        ran = self.run(*arguments)
        assert ran.code == 0, (arguments, ran.code, ran.out, ran.err)
        return ran

    def killed(self, step: int, moment: str, *arguments: str | Path) -> Ran:
        """Run and kill it at a step; fails if it was not killed."""
        ran = self.disturbed(step, moment, *arguments)
        assert ran.code == -9, (step, ran.code, ran.out, ran.err)
        return ran

    def disturbed(self, step: int, moment: str, *arguments: str | Path, replacement: str = "") -> Ran:
        """Run it with something happening at a step (see `killer.py`)."""
        command = [sys.executable, str(KILLER), str(step), moment, "--"]
        return self._call(command, arguments, {"REPLACEMENT": replacement, **UNMEASURED})

    def killed_with_watchdog(self, step: int, *arguments: str | Path) -> Ran:
        """The same after a step, with its watchdog killed before: as when the whole machine stops."""
        return self.killed(step, "all", *arguments)

    def plan(self, *arguments: str | Path) -> list[str]:
        """The steps' titles that `--plan` prints."""
        lines = self.ok(*arguments, "--plan").out.splitlines()[1:]
        return [line.split(". ", 1)[1] for line in lines]

    def step(self, command: str, beginning: str, *arguments: str | Path) -> int:
        """The number, from 0, of the first step whose title begins so."""
        titles = self.plan(command, *arguments)
        return next(number for number, title in enumerate(titles) if title.startswith(beginning))

    def newest_journal_is_closed(self) -> bool:
        journals = sorted((self.config.state / "journal").glob("*.jsonl"))
        state = read_journal(journals[-1])
        return state is None or not state.is_open

    def wait_until_recovered(self, timeout: float = 240) -> None:
        """Wait for the watchdog to have put everything right by itself; no human, no command."""
        deadline = time.monotonic() + timeout
        while not self.newest_journal_is_closed() or held(self.config.state):
            assert time.monotonic() < deadline, "the watchdog did not recover: " + self.watchdog_log()
            time.sleep(0.1)

    def recover(self, timeout: float = 120) -> None:
        """Recover as a person would who finds the watchdog at it: again, once that is through."""
        deadline = time.monotonic() + timeout
        while (ran := self.run("recover")).code == 11:
            assert time.monotonic() < deadline, self.watchdog_log()
            time.sleep(0.5)
        assert ran.code == 0, (ran.code, ran.out, ran.err)

    def watchdog_log(self) -> str:
        return (self.config.state / "watchdog.log").read_text()

    def _call(self, command: list[str], arguments: tuple[str | Path, ...], env: dict[str, str] | None) -> Ran:
        if arguments[:1] == ("restore",) and "--plan" not in arguments:
            arguments = (*arguments, "--yes")  # a test is nobody who could be asked
        environment = {**os.environ, "PROPOLIS_CONFIG": str(self.config_file), "COLUMNS": "200", **(env or {})}
        done = subprocess.run(
            [*command, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=600,
        )
        return Ran(done.returncode, done.stdout, done.stderr)
