"""An agent that only answers questions, as a program: `python answering.py CONFIGURATION [MISBEHAVIOUR]`.

`hangs`: it beats, but never answers; `nonsense`: it answers what nobody understands; `loud`: it prints something.
Its doctor asks only what needs no server, and says that one is down.
"""

import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from propolis.agent import questions
from propolis.agent.questions.asked import Asked
from propolis.checks import Check, Look, Rule, ask, repository
from propolis.errors import PropolisError
from propolis.hosts.health import facts_now
from propolis.link.frames import frame, read_frame
from propolis.link.messages import Answer, Ask, Beat, Failed, FromAgent, ToAgent
from propolis.run import SilentObserver

_SAYING = threading.Lock()
_OVER = threading.Event()


def doctor(asked: Asked) -> Any:
    look = Look(asked.config())
    rules = (Rule("host key", repository.host_key, ("doctor",)), Rule("repository", repository.usable, ("doctor",)))
    down = Check("database", "fail", "it does not answer", "Start it")
    return msgspec.to_builtins({"checks": [*ask(rules, look), down], "facts": facts_now(look.config)})


def say(message: FromAgent) -> None:
    with _SAYING:
        sys.stdout.buffer.write(frame(msgspec.msgpack.encode(message)))
        sys.stdout.buffer.flush()


def beat() -> None:
    while not _OVER.wait(0.1):
        say(Beat())


def reply(ask: Ask, file: Path) -> FromAgent:
    try:
        return Answer(value=questions.answer(ask, file, SilentObserver()))
    except PropolisError as error:
        return Failed(exit_code=error.exit_code, what=error.what, left=error.left, next=error.next)


def main() -> None:
    file, misbehaviour = Path(sys.argv[1]), "".join(sys.argv[2:])
    questions.QUESTIONS = {**questions.QUESTIONS, "doctor": doctor}
    if misbehaviour == "loud":
        print("Welcome to this server!", flush=True)
    threading.Thread(target=beat, daemon=True).start()
    while payload := read_frame(sys.stdin.buffer):
        message = msgspec.msgpack.decode(payload, type=ToAgent)
        if isinstance(message, Ask) and misbehaviour != "hangs":
            say(Answer(value="\x1b[31mred") if misbehaviour == "nonsense" else reply(message, file))
    _OVER.set()


if __name__ == "__main__":
    main()
