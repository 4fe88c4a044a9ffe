"""The process platform, with real little programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from propolis.config.schema import PlatformConfig
from propolis.errors import ConfigError, PreflightError
from propolis.platform import open_platform
from propolis.platform.base import ServiceState
from propolis.platform.process import table
from propolis.platform.process.platform import ProcessPlatform

WAIT = 20.0


class Host:
    """A folder of service files, and the platform on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.services = root / "services"
        self.services.mkdir()
        self.platform = ProcessPlatform(self.services)

    def describe(self, name: str, command: list[str], **more: object) -> Path:
        path = self.services / f"{name}.yaml"
        spec = {
            "command": command,
            "pid_file": str(self.root / "run" / f"{name}.pid"),
            "log": str(self.root / "log" / f"{name}.log"),
            "stop_timeout": 10,
            **more,
        }
        path.write_text(json.dumps(spec))
        path.chmod(0o600)
        return path

    def script(self, name: str, text: str, **more: object) -> Path:
        return self.describe(name, [sys.executable, "-S", "-c", text], **more)

    def log(self, name: str) -> str:
        path = self.root / "log" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def pid_file(self, name: str) -> Path:
        return self.root / "run" / f"{name}.pid"

    def state(self, name: str) -> ServiceState:
        return self.platform.state(name)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    for name in host.platform.services():
        for process in table.members(None, str(host.services / f"{name}.yaml")):
            os.kill(process.pid, signal.SIGKILL)


FORKING = """
import os, signal, time
for _ in range(2):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        print("child", os.getpid(), flush=True)
        time.sleep(600)
"""


def test_a_service_runs_after_start_and_is_gone_after_stop(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    assert host.state("database") is ServiceState.STOPPED
    host.platform.start("database")
    assert host.state("database") is ServiceState.RUNNING
    pids = host.platform.pids("database")
    assert len(pids) == 1
    host.platform.stop("database")
    assert host.state("database") is ServiceState.STOPPED
    assert not table.members(None, str(host.services / "database.yaml"))
    assert not host.pid_file("database").exists()


def test_a_service_is_as_old_as_its_first_process_and_a_restart_makes_it_young(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    assert host.platform.age("database") is None
    host.platform.start("database")
    first = host.platform.age("database")
    assert first is not None
    until(lambda: (host.platform.age("database") or 0) > first + 0.2)
    older = host.platform.age("database")
    assert older is not None
    host.platform.stop("database")
    host.platform.start("database")
    again = host.platform.age("database")
    assert again is not None
    assert -0.1 <= again < older


def test_starting_a_running_service_leaves_it_alone(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    host.platform.start("database")
    before = host.platform.pids("database")
    host.platform.start("database")
    assert host.platform.pids("database") == before


def test_stopping_a_stopped_service_is_no_error(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    host.platform.stop("database")
    assert host.state("database") is ServiceState.STOPPED


def test_the_service_has_a_session_of_its_own_no_input_no_foreign_descriptors_and_its_umask(host: Host) -> None:
    host.script(
        "index",
        "import os, sys, time\n"
        "print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()), sorted(os.listdir('/proc/self/fd'))[:4],\n"
        "      oct(os.umask(0)), os.getcwd(), flush=True)\n"
        "time.sleep(600)",
        umask="077",
        working_directory="/usr",
    )
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        host.platform.start("index")
        until(lambda: host.log("index"))
    finally:
        os.close(reading)
        os.close(writing)
    # Descriptor 3 is the listing's own.
    assert host.log("index") == "True '' ['0', '1', '2', '3'] 0o77 /usr\n"


def test_the_service_gets_only_the_environment_its_file_gives(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    host.script(
        "index", "import os, time; print(sorted(os.environ), flush=True); time.sleep(600)", environment={"ONE": "1"}
    )
    host.platform.start("index")
    until(lambda: host.log("index"))
    names = set(eval(host.log("index")))
    assert names - {"LC_CTYPE"} == {"LANG", "ONE", "PATH", "PROPOLIS_SERVICE"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_starts_a_service_under_its_own_number_without_any_privilege(host: Host) -> None:
    host.describe(
        "index",
        [
            "sh",
            "-c",
            "id -u; id -g; id -G; grep -E 'Cap(Eff|Prm)' /proc/self/status | cut -f2 | sort -u; exec sleep 600",
        ],
        user=61234,
        group=61235,
    )
    host.platform.start("index")
    until(lambda: host.log("index").count("\n") == 4)
    assert host.log("index").split() == ["61234", "61235", "61235", "0000000000000000"]


def test_a_service_whose_launcher_ended_runs_as_long_as_a_child_lives_and_stop_ends_the_children(host: Host) -> None:
    host.script("thehive", FORKING + "while True:\n    time.sleep(0.05)\n    os.getpid()\n    break\n")
    host.platform.start("thehive")
    record = table.read_pid_file(host.pid_file("thehive"))
    assert record is not None
    until(lambda: host.log("thehive").count("child") == 2)
    until(lambda: (found := table.find(record.pid)) is None or not found.alive)
    assert host.state("thehive") is ServiceState.RUNNING
    host.platform.stop("thehive")
    assert host.state("thehive") is ServiceState.STOPPED
    for line in host.log("thehive").splitlines():
        child = table.find(int(line.split()[1]))
        assert child is None or not child.alive


def test_stop_waits_for_children_that_outlive_the_launcher(host: Host) -> None:
    host.script(
        "index",
        "import os, signal, sys, time\n"
        "if os.fork() == 0:\n"
        "    signal.signal(signal.SIGTERM, lambda *a: (time.sleep(0.5), print('flushed', flush=True), sys.exit()))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
        "time.sleep(600)\n",
    )
    host.platform.start("index")
    until(lambda: "ready" in host.log("index"))
    host.platform.stop("index")
    assert "flushed" in host.log("index")


def test_a_child_that_leaves_the_session_still_belongs_to_the_service(host: Host) -> None:
    host.script(
        "index",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    print('away', flush=True)\n    time.sleep(600)\n",
    )
    host.platform.start("index")
    until(lambda: "away" in host.log("index"))
    assert host.state("index") is ServiceState.RUNNING
    host.platform.stop("index")
    assert host.state("index") is ServiceState.STOPPED


def test_a_service_that_ignores_the_signal_is_reported_by_name_and_never_killed(host: Host) -> None:
    host.script(
        "database",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\ntime.sleep(600)",
        stop_timeout=0.3,
    )
    host.platform.start("database")
    until(lambda: "up" in host.log("database"))
    with pytest.raises(PreflightError, match=r"Service database did not stop within 0\.3 s"):
        host.platform.stop("database")
    assert host.state("database") is ServiceState.RUNNING


def test_a_service_told_to_stop_by_somebody_who_died_is_waited_for_and_launched_anew(host: Host) -> None:
    slow = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('ending', flush=True)\n    time.sleep(2)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\n"
        "while True:\n    time.sleep(0.1)\n"
    )
    host.script("thehive", slow)
    host.platform.start("thehive")
    until(lambda: "up" in host.log("thehive"))
    former = host.platform.pids("thehive")
    stop = (
        "from pathlib import Path\nfrom propolis.platform.process.platform import ProcessPlatform\n"
        f"ProcessPlatform(Path({str(host.services)!r})).stop('thehive')"
    )
    stopper = subprocess.Popen([sys.executable, "-c", stop])
    until(lambda: "ending" in host.log("thehive"))
    stopper.kill()
    stopper.wait()
    assert host.platform.pids("thehive") == former, "it is still about to end"
    host.platform.start("thehive")
    assert host.state("thehive") is ServiceState.RUNNING
    assert host.platform.pids("thehive") != former
    host.platform.start("thehive")
    until(lambda: host.log("thehive").count("up") == 2)


def test_the_stop_signal_of_the_file_is_the_one_that_is_sent(host: Host) -> None:
    host.script(
        "database",
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *a: (print('interrupted', flush=True), sys.exit()))\n"
        "print('up', flush=True)\ntime.sleep(600)",
        stop_signal="SIGINT",
    )
    host.platform.start("database")
    until(lambda: "up" in host.log("database"))
    host.platform.stop("database")
    assert "interrupted" in host.log("database")


def test_a_zombie_counts_as_stopped(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    child = subprocess.Popen(["true"])
    until(lambda: (found := table.find(child.pid)) is not None and not found.alive)
    found = table.find(child.pid)
    assert found is not None
    _record(host, "database", child.pid, found.started, table.boot_id())
    assert host.state("database") is ServiceState.STOPPED
    child.wait()


def test_a_pid_file_whose_number_now_belongs_to_another_process_means_stopped_and_nothing_is_signalled(
    host: Host,
) -> None:
    host.describe("database", ["sleep", "600"])
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        found = table.find(other.pid)
        assert found is not None
        _record(host, "database", other.pid, found.started - 1, table.boot_id())
        assert host.state("database") is ServiceState.STOPPED
        host.platform.stop("database")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_pid_file_from_before_a_reboot_means_stopped(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        found = table.find(other.pid)
        assert found is not None
        _record(host, "database", other.pid, found.started, "00000000-0000-0000-0000-000000000000")
        assert host.state("database") is ServiceState.STOPPED
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("damage", [None, b"", b"garbage\n", b"12\n", b"\xff\xfe"])
def test_a_running_service_is_found_without_a_usable_pid_file(host: Host, damage: bytes | None) -> None:
    host.describe("database", ["sleep", "600"])
    host.platform.start("database")
    host.pid_file("database").unlink()
    if damage is not None:
        host.pid_file("database").write_bytes(damage)
    assert host.state("database") is ServiceState.RUNNING
    host.platform.start("database")
    assert len(host.platform.pids("database")) == 1
    host.platform.stop("database")
    assert host.state("database") is ServiceState.STOPPED


STARTER = """
import sys
from pathlib import Path
from propolis.platform.process.platform import ProcessPlatform
platform = ProcessPlatform(Path(sys.argv[1]))
print("starting", flush=True)
platform.start("database")
print("started", flush=True)
sys.stdin.read()
"""


def test_a_service_survives_the_death_of_the_program_that_started_it(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(host.services)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "starting\n"
    assert starter.stdout.readline() == "started\n"
    starter.kill()
    starter.communicate()
    assert host.state("database") is ServiceState.RUNNING
    host.platform.stop("database")


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02, 0.03, 0.05])
def test_a_starter_killed_at_any_moment_never_leads_to_two_services_or_to_one_nobody_knows(
    host: Host, delay: float
) -> None:
    marker = host.root / "ran"
    host.script("database", f"import os, time\nopen({str(marker)!r}, 'a').write('x')\ntime.sleep(600)")
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(host.services)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "starting\n"
    time.sleep(delay)
    starter.kill()
    starter.communicate()
    host.platform.start("database")
    until(lambda: marker.exists() and marker.read_text())
    assert len(host.platform.pids("database")) == 1
    host.platform.stop("database")
    assert marker.read_text() == "x"


def test_two_programs_that_start_a_service_at_once_start_one(host: Host) -> None:
    host.describe("database", ["sleep", "600"])
    starters = [
        subprocess.Popen([sys.executable, "-c", STARTER, str(host.services)], stdin=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for starter in starters:
        starter.communicate("")
        assert starter.returncode == 0
    assert len(host.platform.pids("database")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": ["/no/such/program"]}, "/no/such/program: No such file"),
        ({"command": ["/"]}, "Permission denied"),
        ({"working_directory": "/no/such/folder"}, "/no/such/folder: No such file"),
        ({"log": "/dev/full/x/y"}, "Not a directory"),
    ],
)
def test_a_service_that_cannot_be_launched_is_an_error_that_says_why(
    host: Host, change: dict[str, object], message: str
) -> None:
    host.describe("database", ["sleep", "600"])
    spec = json.loads((host.services / "database.yaml").read_text())
    (host.services / "database.yaml").write_text(json.dumps(spec | change))
    with pytest.raises(PreflightError, match=message) as caught:
        host.platform.start("database")
    assert "database" in caught.value.what
    assert host.state("database") is ServiceState.STOPPED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command: [sleep", "is not YAML"),
        ("command: sleep 600\npid_file: /p\nlog: /l\n", "command"),
        ("command: []\npid_file: /p\nlog: /l\n", "command: is empty"),
        ("command: [a]\npid_file: /p\n", "log"),
        ("command: [a]\npid_file: p\nlog: /l\n", "pid_file: 'p' is not an absolute path"),
        ("command: [a]\npid_file: /p\nlog: /l\nstop_signal: SIGKILL\n", "SIGKILL gives a service no chance"),
        ("command: [a]\npid_file: /p\nlog: /l\nstop_signal: TERM\n", "there is no signal 'TERM'"),
        ("command: [a]\npid_file: /p\nlog: /l\nusr: root\n", "usr"),
        ("command: [a]\npid_file: /p\nlog: /l\numask: '999'\n", "umask: '999' is not an octal number"),
        ("command: [a]\npid_file: /p\nlog: /l\nuser: no-such-user\n", "there is no user 'no-such-user'"),
        ("command: [a]\npid_file: /p\nlog: /l\ngroup: root\n", "group: is given without user"),
        ("command: [a]\npid_file: /p\nlog: /l\nstop_timeout: 0\n", "stop_timeout: must be above 0"),
        ("", "object"),
    ],
)
def test_a_wrong_service_file_is_an_error_that_names_file_and_key(host: Host, text: str, message: str) -> None:
    path = host.services / "database.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        host.platform.state("database")
    assert str(path) in caught.value.what
    path.unlink()


def test_a_service_file_that_others_can_write_is_refused(host: Host) -> None:
    host.describe("database", ["sleep", "600"]).chmod(0o666)
    with pytest.raises(ConfigError, match="can write to it"):
        host.platform.start("database")
    (host.services / "database.yaml").chmod(0o600)


@pytest.mark.parametrize("name", ["none", "../database", "A B"])
def test_an_unknown_service_is_an_error(host: Host, name: str) -> None:
    with pytest.raises(ConfigError):
        host.platform.state(name)


def test_a_file_that_names_no_time_gets_the_configurations(host: Host) -> None:
    host.script(
        "database",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\ntime.sleep(600)",
        stop_timeout=None,
    )
    patient = open_platform(PlatformConfig(kind="process", services=host.services), 0.3)
    patient.start("database")
    until(lambda: "up" in host.log("database"))
    with pytest.raises(PreflightError, match=r"Service database did not stop within 0\.3 s"):
        patient.stop("database")


def test_the_services_are_those_with_a_file(host: Host) -> None:
    host.describe("index", ["true"])
    host.describe("database", ["true"])
    (host.services / "README").write_text("")
    opened = open_platform(PlatformConfig(kind="process", services=host.services))
    assert opened.services() == ("database", "index")


def _record(host: Host, name: str, pid: int, started: int, boot: str) -> None:
    host.pid_file(name).parent.mkdir(exist_ok=True)
    host.pid_file(name).write_text(table.PidRecord(pid, started, boot).text())
