"""What a coordinator may ask of a host without a plan: how it is, what is on it, and that it recovers.

To add a question: a function that takes `Asked` and gives plain values, and a line in `QUESTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from propolis.agent.questions.asked import Asked
from propolis.agent.questions.health import doctor, recover, status
from propolis.agent.questions.planning import plan
from propolis.agent.questions.setup import about, configure, discover, key
from propolis.errors import UsageError
from propolis.link.messages import Ask
from propolis.run import Observer

QUESTIONS: Mapping[str, Callable[[Asked], Any]] = {
    "about": about,
    "configure": configure,
    "discover": discover,
    "doctor": doctor,
    "key": key,
    "plan": plan,
    "recover": recover,
    "status": status,
}


def answer(ask: Ask, file: Path, observer: Observer) -> Any:
    """Answer a question with plain values, by the configuration in `file`, which may be missing for some.

    Raises PropolisError. The coordinator's version was compared before.
    """
    question = QUESTIONS.get(ask.question)
    if question is None:
        raise UsageError(f"This host doesn't know the question {ask.question[:40]!r}")
    return question(Asked(ask, file, observer))
