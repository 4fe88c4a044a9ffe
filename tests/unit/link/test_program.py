"""A link is there or it isn't: a far end that is cut off, silent or something else is noticed, and said to be so."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from propolis.errors import PropolisError
from propolis.link import program
from propolis.link.frames import FRAME_LIMIT, frame
from propolis.link.messages import Beat, Do, Done, FromAgent, Note, ToAgent
from propolis.link.process import (
    EndedAtOnce,
    LinkLost,
    NotAnswering,
    NotPropolis,
    NotStarted,
    harmless,
)
from propolis.link.program import WAITING, Program, open_link

Link = Program[ToAgent, FromAgent]

START = """
import os, signal, sys, time, threading
sys.path.insert(0, {source!r})
from propolis.link.frames import frame, read_frame
out, into = os.fdopen(1, "wb", 0), os.fdopen(0, "rb", 0)
"""
SOURCE = str(Path(__file__).parents[3] / "src")
LONG = 60.0
"""A silence that no test waits for."""

OCTAL = "".join(f"\\{byte:03o}" for byte in frame(msgspec.msgpack.encode(Note(text="hello"))))
ENCODED = msgspec.msgpack.encode(Note(text="hello"))


def far(body: str) -> list[str]:
    """A far end that runs this code."""
    return [sys.executable, "-S", "-c", START.format(source=SOURCE) + body]


def says(content: bytes, then: str = "") -> list[str]:
    return far(f"os.write(1, {content!r})\n{then}")


def end_of(link: Link) -> PropolisError:
    """What is said once the link is gone."""
    with pytest.raises(PropolisError) as caught:
        while link.receive() is not None:
            pass
    return caught.value


ECHO = """
import msgspec
from propolis.link.messages import *
while (payload := read_frame(into)) is not None:
    order = msgspec.msgpack.decode(payload, type=ToAgent)
    if isinstance(order, Do):
        out.write(frame(msgspec.msgpack.encode(Done(step=order.step))))
"""


def test_messages_go_to_and_fro_and_their_bytes_are_counted() -> None:
    with open_link([sys.executable, "-c", START.format(source=SOURCE) + ECHO], "db2", LONG) as link:
        for step in range(200):
            link.send(Do(step=step))
        assert [link.receive() for _ in range(200)] == [Done(step=step) for step in range(200)]
        assert link.receive(0.01) is None
        assert link.failure is None
    do, done = (msgspec.msgpack.encode(kind(step=0)) for kind in (Do, Done))
    assert link.sent >= 200 * (4 + len(do))
    assert link.received >= 200 * (4 + len(done))
    with pytest.raises(LinkLost, match="closed"):
        link.send(Do(step=1))


def test_what_is_too_long_is_not_sent_and_hurts_nobody() -> None:
    with open_link([sys.executable, "-c", START.format(source=SOURCE) + ECHO], "db2", LONG) as link:
        with pytest.raises(ValueError, match="longer than"):
            link.send(msgspec.structs.replace(Do(step=1), step="x" * FRAME_LIMIT))
        link.send(Do(step=2))
        assert link.receive() == Done(step=2)


def test_what_can_not_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match=r"host db2 can't be reached: `\S+/nothing -x` .*No such file"):
        open_link([str(tmp_path / "nothing"), "-x"], "db2", LONG)
    with pytest.raises(NotStarted, match="null"):
        open_link(["a\0b"], "db2", LONG)


def test_what_ends_at_once_is_quoted_harmlessly() -> None:
    told = "for n in range(900): print(n, file=sys.stderr)\n"
    told += "print('\\x1b[2Jno route\\u202e', file=sys.stderr); sys.exit(7)"
    with open_link(far(told), "db2", LONG) as link:
        error = end_of(link)
    assert isinstance(error, EndedAtOnce)
    assert error.exit_code == 12
    assert "ended with exit code 7: 896; 897; 898; 899; \\x1b[2Jno route\\u202e" in str(error)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"Welcome to db2!\r\n", '"Welcome to db2!"'),
        (b"hi\n", '"hi"'),
        (b"\x1b]0;owned\x07\xff\xff", r'"\\x1b\]0;owned\\x07'),
        (frame(b"not msgpack"), "not Propolis"),
        (frame(msgspec.msgpack.encode({"is": "nothing"})), "not Propolis"),
        (frame(msgspec.msgpack.encode({"is": "do", "step": 1})), "not Propolis"),
        (frame(b"\x91" * 5000), "not Propolis"),
        ((FRAME_LIMIT + 1).to_bytes(4, "big") + b"x" * 100, "not Propolis"),
    ],
)
def test_what_is_not_propolis_is_said_to_be_so(content: bytes, shown: str) -> None:
    with open_link(says(content, "time.sleep(60)" if len(content) > 4 else ""), "db2", LONG) as link:
        error = end_of(link)
    assert isinstance(error, NotPropolis)
    with pytest.raises(PropolisError, match=shown):
        raise error


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 4 + len(ENCODED) - 1])
@pytest.mark.parametrize("before", [0, 1])
def test_one_that_is_cut_off_at_any_byte_is_lost(cut: int, before: int) -> None:
    with open_link(says(frame(ENCODED) * before + frame(ENCODED)[:cut]), "db2", LONG) as link:
        if before:
            assert link.receive() == Note(text="hello")
        error = end_of(link)
    assert isinstance(error, LinkLost if before else EndedAtOnce)
    with pytest.raises(type(error)):
        link.send(Do(step=1))
    assert link.failure is error


def test_garbage_behind_a_message_loses_the_link_and_kills_the_program() -> None:
    with open_link(says(frame(ENCODED) + b"\xff" * 50, "time.sleep(600)"), "db2", LONG) as link:
        assert link.receive() == Note(text="hello")
        error = end_of(link)
        assert isinstance(error, LinkLost)
        assert "not a message of Propolis" in str(error)
    assert gone(link)


def gone(link: Link) -> bool:
    try:
        os.kill(link._process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_that_never_answers_is_told_from_one_that_fell_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "FIRST_WORD", 2.0)
    with open_link(["sh", "-c", "echo asking for a password >&2; exec sleep 600"], "db2", 1.0) as link:
        error = end_of(link)
    assert isinstance(error, NotAnswering)
    assert "within 2 s (asking for a password)" in str(error)
    with open_link(["sh", "-c", f"printf '{OCTAL}'; exec sleep 600"], "db2", 1.0) as link:
        error = end_of(link)
    assert isinstance(error, LinkLost)
    assert "nothing was heard for 1 s" in str(error)
    assert gone(link)


def test_a_frozen_one_is_lost_and_whoever_sends_to_it_does_not_wait_for_ever() -> None:
    with open_link(["sh", "-c", f"printf '{OCTAL}'; kill -STOP $$"], "db2", 1.0) as link:
        assert link.receive() == Note(text="hello")
        with pytest.raises(LinkLost, match="nothing was heard"):
            while True:
                link.send(Do(step=1))
    assert gone(link)


def test_signs_of_life_keep_it_and_are_not_received() -> None:
    beating = f"""
for _ in range(25):
    os.write(1, {frame(msgspec.msgpack.encode(Beat()))!r}); time.sleep(0.1)
os.write(1, {frame(ENCODED)!r})
while into.read(1): pass
"""
    with open_link(far(beating), "db2", 2.0) as link:
        assert link.receive() == Note(text="hello")


def test_the_far_end_hears_signs_of_life() -> None:
    hears = f"""
for _ in range(3):
    assert b"beat" in read_frame(into)
os.write(1, {frame(ENCODED)!r})
while into.read(1): pass
"""
    with open_link(far(hears), "db2", 3.0) as link:
        assert link.receive() == Note(text="hello")


def test_one_that_says_more_than_is_received_has_to_wait() -> None:
    flood = f"for n in range({WAITING * 3}): os.write(1, {frame(ENCODED)!r})\nwhile into.read(1): pass"
    with open_link(far(flood), "db2", LONG) as link:
        for _ in range(WAITING * 3):
            assert link._arrived.qsize() <= WAITING
            assert link.receive() == Note(text="hello")
    with open_link(far(flood), "db2", LONG):  # closed while the far end waits
        pass


def test_one_that_ignores_the_end_of_its_input_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propolis.link.process.STOP_SECONDS", 0.2)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.write(1, {!r})\ntime.sleep(600)"
    with open_link(far(deaf.format(frame(ENCODED))), "db2", LONG) as link:
        assert link.receive() == Note(text="hello")
    assert gone(link)


def test_what_outlives_the_program_and_holds_its_pipes_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propolis.link.process.LAST_WORDS", 0.1)
    monkeypatch.setattr("propolis.link.program.LAST_WORDS", 0.1)
    body = f"child = os.fork()\nif child: os.write(1, {frame(ENCODED)!r}); os._exit(3)\ntime.sleep(5)"
    with open_link(far(body), "db2", LONG) as link:
        assert link.receive() == Note(text="hello")
        sender = threading.Thread(target=until_lost, args=(lambda: link.send(Note(text="x" * 100_000)),))  # type: ignore[arg-type]
        sender.start()
        link.cut()
        sender.join(30)
        assert not sender.is_alive()


def until_lost(send: Callable[[], None]) -> None:
    with pytest.raises(LinkLost):
        while True:
            send()


def test_an_interrupt_in_the_middle_of_a_message_ends_the_link() -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    former = signal.signal(signal.SIGALRM, stop)
    try:
        with open_link(says(frame(ENCODED), "time.sleep(600)"), "db2", LONG) as link:
            assert link.receive() == Note(text="hello")
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Stop):
                while True:
                    link.send(Note(text="x" * 200_000))  # type: ignore[arg-type]
            with pytest.raises(LinkLost, match="in the middle of a message"):
                link.send(Do(step=1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def test_harmless_text_is_one_line_and_printable() -> None:
    assert harmless(b"  a\tb\x9b\xc3\xa4\xe2\x80\xae \n") == "a\\tb\\x9bä\\u202e"
