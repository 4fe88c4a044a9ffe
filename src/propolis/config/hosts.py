"""Sections of `propolis.yaml` about other hosts: how each is reached, and what a host lets a coordinator do."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from propolis.config.fields import Model, Text

AGENT = ("propolis", "agent")
"""What is run on the other host."""

HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
"""What a coordinator calls a host: it is part of the names of trees, and of no path outside of them."""

_KUBERNETES = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"

Allowed = Literal["backup", "restore"]
"""What a coordinator may have a host do. It may always ask how the host is, and have it recover."""

ALLOWED: tuple[Allowed, ...] = get_args(Allowed)


def _ssh_target(text: str) -> str:
    """Refuse what ssh would take for an option, or for more than one word."""
    if not text or text.startswith("-") or any(not c.isprintable() or c.isspace() for c in text):
        raise ValueError("must be a host as ssh takes it, e.g. db2.example or backup@db2.example")
    return text


class PodRef(Model):
    """A container of a pod."""

    namespace: str = Field(pattern=_KUBERNETES, description="The pod's namespace")
    pod: str = Field(pattern=_KUBERNETES, description="The pod's name")
    container: str = Field(pattern=_KUBERNETES, description="The container in it that has Propolis")


class HostConfig(Model):
    """How another host is reached. Exactly one of the four is set."""

    ssh: Annotated[str, AfterValidator(_ssh_target)] | None = Field(
        default=None,
        description="A host as ssh takes it, with the user's own ssh configuration and keys, e.g. db2.example",
    )
    pod: PodRef | None = Field(default=None, description="A pod that has Propolis and the host's volumes")
    container: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="A Docker container that has Propolis"
    )
    command: tuple[Text, ...] | None = Field(
        default=None,
        min_length=1,
        description="Any other command whose standard input and output reach `propolis agent` there, as a list",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(way is not None for way in (self.ssh, self.pod, self.container, self.command)) != 1:
            raise ValueError("a host has exactly one of ssh, pod, container, command")
        return self

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that reaches the agent there: what each of the four is."""
        if self.ssh is not None:
            return ("ssh", "-T", "-oBatchMode=yes", "-oServerAliveInterval=5", self.ssh, *AGENT)
        if self.pod is not None:
            place = ("-n", self.pod.namespace, self.pod.pod, "-c", self.pod.container)
            return ("kubectl", "exec", "-i", *place, "--", *AGENT)
        if self.container is not None:
            return ("docker", "exec", "-i", self.container, *AGENT)
        return self.command or ()

    def __str__(self) -> str:
        if self.ssh is not None:
            return f"ssh {self.ssh}"
        if self.pod is not None:
            return f"pod {self.pod.namespace}/{self.pod.pod} ({self.pod.container})"
        if self.container is not None:
            return f"container {self.container}"
        return f"command {(self.command or ('',))[0]}"


class AgentConfig(Model):
    """What this host lets a coordinator do."""

    allow: tuple[Allowed, ...] = Field(
        default=ALLOWED,
        description="What a coordinator may have this host do: backup, restore, or both. It may always ask how "
        "the host is, and have it recover",
    )
