"""What a coordinator may have a host do: for each command, how the host plans its own part.

To add a command: a planner, a line in `COMMANDS`, and its name among those that `agent.allow` may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from propolis.backup import host as backup
from propolis.command.context import Context
from propolis.link.messages import Open, Part, PlannedStep
from propolis.restore.woven import host as restore
from propolis.run import Plan
from propolis.stack.cluster import members
from propolis.stack.stack import services, trees

Planner = Callable[[Mapping[str, Any], str | None, Context], tuple[Plan[Context], Mapping[str, Any]]]
"""Makes the plan from the options and the parent that came over the link, and gives what else the coordinator is to
know. Touches nothing. Raises PropolisError, also for options that aren't the command's."""

COMMANDS: Mapping[str, Planner] = {"backup": backup.host_plan, "restore": restore.host_plan}


def plan_part(planner: Planner, opened: Open, context: Context) -> tuple[Plan[Context], Part]:
    """Plan this host's part of a run, and say of it what its coordinator needs."""
    plan, more = planner(opened.options, opened.parent, context)
    config = context.config
    kept, running = trees(config), context.services.running()
    facts = {
        "roles": services(config),
        "trees": [tree.name for tree in kept],
        "services": members(config, running, opened.command),
        "files": config.files is not None,
    }
    part = Part(
        host=opened.host,
        steps=tuple(PlannedStep(number, step.phase, step.title) for number, step in enumerate(plan.steps)),
        running=tuple(running),
        facts={**facts, **more},
    )
    return plan, part
