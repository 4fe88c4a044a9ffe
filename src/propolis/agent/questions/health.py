"""How a host is, by its own rules, and its recovery."""

from __future__ import annotations

from typing import Any

import msgspec

from propolis.agent.questions.asked import Asked
from propolis.checks import checks
from propolis.command.apart import require_apart
from propolis.hosts.health import facts_now
from propolis.recovery import recover_stack
from propolis.status import state_of


def status(asked: Asked) -> Any:
    """What is going on there; the backups are the coordinator's to list."""
    return msgspec.to_builtins(state_of(asked.config()))


def doctor(asked: Asked) -> Any:
    """Everything that a backup or a restore needs of this host, and what the coordinator compares across hosts."""
    config = asked.config()
    require_apart(config)
    return msgspec.to_builtins({"checks": checks(config, file=asked.file), "facts": facts_now(config)})


def recover(asked: Asked) -> Any:
    """Undo or finish what was interrupted."""
    return msgspec.to_builtins(recover_stack(asked.config().state, asked.observer))
