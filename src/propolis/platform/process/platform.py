"""The `process` platform: plain programs, each described by a service file, started and stopped by Propolis.

For hosts without a service manager, and for the lab. A service runs in a session of its own, detached, and
outlives Propolis. It is recognised by its pid file (number and start time) and by a variable in its
environment, so neither a reused number nor a lost pid file misleads. (A service manager that kills the control
group in which Propolis runs also ends services started there.)
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from propolis.errors import PreflightError
from propolis.platform.base import STOP_SECONDS, ServiceState
from propolis.platform.process import launcher, service_file, table
from propolis.platform.process.service_file import Service

_POLL = 0.02
"""Seconds between looks at a stopping service; it adds at most this to a downtime."""
_LOCK_WAIT = 60.0
"""Seconds to wait for another start or stop of the same service."""


class ProcessPlatform:
    """Services as plain processes, described by `<services>/<service>.yaml`."""

    def __init__(self, services: Path, stop_seconds: float = STOP_SECONDS) -> None:
        self._folder = services
        self._stop_seconds = stop_seconds

    def services(self) -> tuple[str, ...]:
        """Names of the described services. Raises ConfigError if the folder can't be read."""
        return service_file.names(self._folder)

    def state(self, service: str) -> ServiceState:
        """RUNNING if the very process that was started, or any of its descendants, lives."""
        alive = self._alive(self._described(service))
        return ServiceState.RUNNING if alive else ServiceState.STOPPED

    def age(self, service: str) -> float | None:
        """Seconds since the first of its living processes was started; None if there is none."""
        alive = self._alive(self._described(service))
        if not alive:
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - min(process.started for process in alive) / ticks

    def start(self, service: str) -> None:
        """Launch it, unless it runs. One that was told to stop is waited for, then launched anew.

        Raises PreflightError if it can't be launched, or doesn't end.
        """
        self.launch(self._described(service))

    def launch(self, service: Service) -> None:
        """As `start`, for a service already read."""
        with _locked(service) as lock:
            if self._alive(service):
                if not _stopping(service).exists():
                    return
                # Whoever told it to stop died before it had: what still answers now won't for long.
                self._stop(service)
            _stopping(service).unlink(missing_ok=True)
            problem = _run_launcher(service, lock)
        if problem:
            raise PreflightError(
                f"Service {service.name} can't be started: {problem}",
                left="It is stopped",
                next=f"Check command, user and folders in {service.path}",
            )

    def stop(self, service: str) -> None:
        """Ask it to end and wait until every process of it is gone; it is never killed.

        Raises PreflightError, naming the service, if it has not ended after its `stop_timeout`.
        """
        found = self._described(service)
        with _locked(found):
            self._stop(found)

    def pids(self, service: str) -> tuple[int, ...]:
        """Numbers of its living processes, sorted (for measuring)."""
        return tuple(sorted(p.pid for p in self._alive(self._described(service))))

    def _alive(self, service: Service) -> list[table.Process]:
        return table.members(table.read_pid_file(service.pid_file), str(service.path))

    def _described(self, service: str) -> Service:
        return service_file.load(self._folder, service, self._stop_seconds)

    def _stop(self, service: Service) -> None:
        _stopping(service).touch(mode=0o600)
        deadline = time.monotonic() + service.stop_timeout
        asked: set[tuple[int, int]] = set()
        while alive := self._alive(service):
            record = table.read_pid_file(service.pid_file)
            leader = [p for p in alive if record and (p.pid, p.started) == (record.pid, record.started)]
            # The leader ends its children; what is left once it has gone is asked itself.
            for process in leader or alive:
                if (process.pid, process.started) not in asked:
                    asked.add((process.pid, process.started))
                    _signal(process, service)
            if not _wait_for_end(leader or alive, deadline):
                raise PreflightError(
                    f"Service {service.name} did not stop within {service.stop_timeout:g} s"
                    f" (process {', '.join(str(p.pid) for p in alive)})",
                    left=f"It got {service.stop_signal.name} and may still end; it was not killed",
                    next=f"See its log {service.log}, or raise stop_timeout in {service.path}",
                )
        service.pid_file.unlink(missing_ok=True)
        _stopping(service).unlink(missing_ok=True)


def _stopping(service: Service) -> Path:
    """A mark beside the pid file: the service has been, or is about to be, told to stop."""
    return service.pid_file.with_name(service.pid_file.name + ".stopping")


@contextmanager
def _locked(service: Service) -> Iterator[int]:
    """Hold the lock beside the pid file: one start or stop of a service at a time.

    A launcher shares it until it has become the service, even if Propolis has died meanwhile.
    """
    path = service.pid_file.with_name(service.pid_file.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise PreflightError(
            f"Service {service.name}: {path} can't be opened: {error.strerror}",
            left="Nothing was started or stopped",
        ) from error
    try:
        deadline = time.monotonic() + _LOCK_WAIT + service.stop_timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise PreflightError(
                        f"Service {service.name} is being started or stopped by another program",
                        left="Nothing was started or stopped",
                    ) from error
                time.sleep(_POLL)
        yield descriptor
    finally:
        os.close(descriptor)


def _run_launcher(service: Service, lock: int) -> str:
    """Run the launcher; return what went wrong, or nothing once the service's program is executed."""
    spec = service.spec
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **spec.environment}
    environment[table.MARKER] = str(service.path)
    order = {
        "command": spec.command,
        "environment": environment,
        "pid_file": spec.pid_file,
        "log": spec.log,
        "working_directory": spec.working_directory,
        "umask": service.umask,
        "account": msgspec.to_builtins(service.account),
        "boot": table.boot_id(),
    }
    try:
        service.log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{service.log.parent}: {error.strerror}"
    reading, writing = os.pipe()
    try:
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", launcher.__file__, str(lock), str(writing)],
                input=json.dumps(order).encode(),
                pass_fds=(lock, writing),
                env={"PATH": os.defpath},
                cwd="/",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C meant for Propolis must not reach it
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            return f"its launcher failed: {error}"
        finally:
            os.close(writing)
        with os.fdopen(reading, "rb", closefd=False) as pipe:
            return pipe.read().decode(errors="replace")
    finally:
        os.close(reading)


def _signal(process: table.Process, service: Service) -> None:
    """Signal exactly that process, even if its number is given to another one at this moment."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        now = table.find(process.pid)
        if now is not None and now.started == process.started:
            signal.pidfd_send_signal(descriptor, service.stop_signal)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise PreflightError(
            f"Service {service.name} can't be stopped: no permission to signal process {process.pid}",
            left="It is still running",
            next="Run Propolis as root or as the service's user",
        ) from error
    finally:
        os.close(descriptor)


def _wait_for_end(processes: list[table.Process], deadline: float) -> bool:
    """Wait until none of these lives; False on time-out."""
    while any(
        now is not None and now.alive and now.started == process.started
        for process in processes
        for now in (table.find(process.pid),)
    ):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
