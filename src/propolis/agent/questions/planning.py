"""What a host would do of a command, without beginning a run."""

from __future__ import annotations

from typing import Any

import msgspec

from propolis import __version__
from propolis.agent.commands import COMMANDS, plan_part
from propolis.agent.questions.asked import Asked
from propolis.command.apart import require_apart
from propolis.command.context import Context
from propolis.errors import PreflightError, UsageError
from propolis.link.messages import PROTOCOL, Open
from propolis.run.journal import new_run_id


class Wanted(msgspec.Struct, frozen=True):
    """The command, and its options as `Open` has them."""

    command: str
    options: dict[str, Any] = {}


def plan(asked: Asked) -> Any:
    """This host's part of a command, as `Part` has it. Touches nothing."""
    try:
        wanted = msgspec.convert(dict(asked.options), Wanted)
    except msgspec.ValidationError as error:
        raise UsageError(f"The coordinator's question is not understood: {error}") from None
    config = asked.config()
    require_apart(config)
    planner = COMMANDS.get(wanted.command)
    if planner is None or wanted.command not in config.agent.allow:
        allowed = ", ".join(config.agent.allow) or "nothing"
        raise PreflightError(
            f"This host doesn't let a coordinator run {wanted.command[:40]!r}: agent.allow has {allowed}",
            left="Nothing was changed",
        )
    opened = Open(
        protocol=PROTOCOL,
        propolis=__version__,
        host=asked.ask.host,
        stack=asked.ask.stack,
        run=new_run_id(),
        command=wanted.command,
        options=wanted.options,
    )
    with Context(config, asked.observer, opened.run) as context:
        _, part = plan_part(planner, opened, context)
    return msgspec.to_builtins(part)
