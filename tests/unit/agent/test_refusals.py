"""An agent serves its own coordinator, does what its host allows, and says in one line why it doesn't."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from propolis import __version__
from propolis.agent.session import serve
from propolis.config.sample import sample
from propolis.link.frames import frame, read_frame
from propolis.link.messages import PROTOCOL, Answer, Ask, Beat, Do, Failed, FromAgent, Open, ToAgent
from propolis.link.process import EndedAtOnce
from propolis.link.program import open_link

RUN = "20260101T000000Z-abcdef"
GOOD = Open(protocol=PROTOCOL, propolis=__version__, host="db2", stack="hive", run=RUN, command="backup")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    values = YAML(typ="safe").load(sample())
    own = {"name": "hive", "host": "db2", "state": str(tmp_path / "state"), "agent": {"allow": ["restore"]}}
    with (tmp_path / "propolis.yaml").open("w") as out:
        YAML().dump({**values, **own}, out)
    return tmp_path / "propolis.yaml"


def agent(file: Path) -> list[str]:
    return [sys.executable, "-m", "propolis", "agent", "--config", str(file)]


def answers_to(file: Path, said: bytes, *, hang_up: bool = False) -> list[FromAgent]:
    """What an agent says until it ends. It is forked off this process, as it takes long to load."""
    from_near, to_far = os.pipe()
    from_far, to_near = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.dup2(from_near, 0)
            os.dup2(to_near, 1)
            os.closerange(3, 1000)
            os._exit(serve(file))
        finally:
            os._exit(99)
    os.close(from_near)
    os.close(to_near)
    os.write(to_far, said)
    if hang_up:
        os.close(to_far)
    with os.fdopen(from_far, "rb") as source:
        found = [
            msgspec.msgpack.decode(payload, type=FromAgent) for payload in iter(lambda: read_frame(source), None)
        ]
    if not hang_up:
        os.close(to_far)
    _, status = os.waitpid(child, 0)
    answers = [answer for answer in found if not isinstance(answer, Beat)]
    assert os.waitstatus_to_exitcode(status) == getattr(answers[-1], "exit_code", 0)
    return answers


def said_to(file: Path, *messages: ToAgent) -> FromAgent:
    (answer,) = answers_to(file, b"".join(frame(msgspec.msgpack.encode(message)) for message in messages))
    return answer


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({"propolis": "0.0.1"}, rf"has Propolis {__version__}.*coordinator has 0\.0\.1"),
    "another protocol": ({"protocol": 99}, r"\(protocol 99\)"),
    "no version": ({"propolis": ""}, "another one"),
    "another host": ({"host": "db3"}, "is called db2 in its .*, but db3 on its coordinator"),
    "another stack": ({"stack": "other"}, "of the stack hive, but its coordinator's of other"),
    "not allowed": ({}, "doesn't let a coordinator run 'backup': agent.allow in .* has restore"),
    "unknown": ({"command": "\x1b[2J"}, "doesn't let a coordinator run"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_named_and_nothing_was_touched(file: Path, case: str) -> None:
    changed, words = REFUSED[case]
    answer = said_to(file, msgspec.structs.replace(GOOD, **changed))
    assert isinstance(answer, Failed)
    assert answer.exit_code == 12
    assert answer.step is None
    with pytest.raises(RuntimeError, match=words):
        raise RuntimeError(answer.what)
    assert not (file.parent / "state").exists()


@pytest.mark.parametrize("run", ["", "../../etc/passwd", f"{RUN}/x", f"{RUN}\n", RUN.upper()])
def test_a_run_is_called_as_runs_are(file: Path, run: str) -> None:
    file.write_text(file.read_text().replace("- restore", "- backup"))
    answer = said_to(file, msgspec.structs.replace(GOOD, run=run))
    assert isinstance(answer, Failed)
    assert "doesn't let" in answer.what or "for the ID of a run" in answer.what
    assert not (file.parent / "state").exists()


def test_a_configuration_that_is_wrong_is_named_over_the_link(file: Path) -> None:
    file.write_text("name: [")
    answer = said_to(file, GOOD)
    assert isinstance(answer, Failed)
    assert answer.exit_code == 10
    assert str(file) in answer.what


def test_signs_of_life_may_come_before_the_greeting_orders_may_not(file: Path) -> None:
    answer = said_to(file, Beat(), Beat(), Do(step=0))
    assert isinstance(answer, Failed)
    assert "has Propolis" in answer.what


def test_questions_are_answered_and_errors_of_them_told(file: Path) -> None:
    asked = Ask(protocol=PROTOCOL, propolis=__version__, host="db2", stack="hive", question="recover")
    assert said_to(file, asked) == Answer(value=[])
    answer = said_to(file, msgspec.structs.replace(asked, question="what"))
    assert isinstance(answer, Failed)
    assert answer.exit_code == 2


@pytest.mark.parametrize("said", [b"", b"\0", frame(b"\xff"), b"GET / HTTP/1.1\r\n\r\n", frame(b"\x80")[:3]])
def test_whoever_says_something_else_gets_one_frame_and_no_traceback(file: Path, said: bytes) -> None:
    (answer,) = answers_to(file, said, hang_up=True)
    assert isinstance(answer, Failed)
    assert answer.exit_code == 12


def test_on_a_terminal_it_says_who_starts_it(file: Path) -> None:
    near, far = pty.openpty()
    done = subprocess.run(agent(file), stdin=far, capture_output=True, check=False)
    os.close(near)
    os.close(far)
    assert done.returncode == 2
    assert b"started by a coordinator" in done.stderr


def test_one_that_is_not_installed_is_told_by_its_shell(tmp_path: Path) -> None:
    command = ["sh", "-c", "exec propolis-that-is-not-there agent"]
    with open_link(command, "db2", 60.0) as link, pytest.raises(EndedAtOnce, match=r"exit code 127: .*not found"):
        link.receive()
