"""How a host is, by its own rules, and its recovery."""

from __future__ import annotations

from typing import Any

import msgspec

from propolis.agent.questions.asked import Asked
from propolis.checks import checks
from propolis.command.apart import require_apart
from propolis.recovery import recover_stack
from propolis.status import status as stack_status


def status(asked: Asked) -> Any:
    """What is going on there; the backups are the coordinator's to list."""
    return msgspec.to_builtins(stack_status(asked.config(), backups=False))


def doctor(asked: Asked) -> Any:
    """Everything that a backup or a restore needs of this host."""
    config = asked.config()
    require_apart(config)
    return msgspec.to_builtins(checks(config, file=asked.file))


def recover(asked: Asked) -> Any:
    """Undo or finish what was interrupted."""
    return msgspec.to_builtins(recover_stack(asked.config().state, asked.observer))
