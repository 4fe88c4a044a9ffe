"""What a coordinator may have a host do: for each command, how the host plans its own part.

To add a command: a planner, a line in `COMMANDS`, and its name among those that `agent.allow` may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from propolis.backup import host as backup
from propolis.command.context import Context
from propolis.hosts.rules import own_facts
from propolis.link.messages import Open, Part, PlannedStep
from propolis.restore.woven import host as restore
from propolis.run import Plan

Planner = Callable[[Mapping[str, Any], str | None, Context], tuple[Plan[Context], Mapping[str, Any]]]
"""Makes the plan from the options and the parent that came over the link, and gives what else the coordinator is to
know. Touches nothing. Raises PropolisError, also for options that aren't the command's."""

COMMANDS: Mapping[str, Planner] = {"backup": backup.host_plan, "restore": restore.host_plan}


def plan_part(planner: Planner, opened: Open, context: Context) -> tuple[Plan[Context], Part]:
    """Plan this host's part of a run, and say of it what its coordinator needs."""
    plan, more = planner(opened.options, opened.parent, context)
    running = context.services.running()
    part = Part(
        host=opened.host,
        steps=tuple(PlannedStep(number, step.phase, step.title) for number, step in enumerate(plan.steps)),
        running=tuple(running),
        facts={**own_facts(context.config, running, opened.command), **more},
    )
    return plan, part
