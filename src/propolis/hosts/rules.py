"""What hosts must agree on before anything is stopped, by what each of them says of its part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.hosts.words import clean
from propolis.link.messages import Part
from propolis.stack.cluster import members
from propolis.stack.stack import LABELS, services, trees

CORRECT = "Correct propolis.yaml on these hosts, or `hosts` on this one: all hosts of the stack belong there"
"""What to do where they don't agree."""


class Cluster(msgspec.Struct, frozen=True):
    """What a service that is a node of a cluster says of it."""

    count: int = 0
    """How many nodes its configuration says there are; 0: it doesn't say."""
    cluster: str = ""
    """The cluster's name; empty, as all that follows, if the service doesn't run or answer."""
    node: str = ""
    """This node's ID."""
    nodes: tuple[str, ...] = ()
    """The IDs of all nodes, this one among them."""
    release: str = ""
    """Product and version."""
    addresses: tuple[str, ...] = ()
    """Where others will find this node, for a restore."""
    seeds: tuple[str, ...] = ()
    """Where it will look for others."""


class PartFacts(msgspec.Struct, frozen=True):
    """What a host says of its part, for the coordinator to compare."""

    roles: tuple[str, ...] = ()
    """All its services, running or not."""
    trees: tuple[str, ...] = ()
    """Names of all its trees."""
    files: bool = False
    """Whether it reads TheHive's attachments."""
    services: dict[str, Cluster] = {}
    """Of those that are nodes of a cluster, by role."""


def own_facts(config: Config, running: Iterable[str], command: str) -> dict[str, Any]:
    """What this host says of its part of a command, as plain values of `PartFacts`."""
    return {
        "roles": list(services(config)),
        "trees": [tree.name for tree in trees(config)],
        "files": config.files is not None,
        "services": members(config, running, command),
    }


def disagreements(facts: Mapping[str, PartFacts]) -> list[str]:
    """Say what speaks against one plan on these hosts, one line each."""
    return [*_of_thehive(facts), *_of_trees(facts), *_of_clusters(facts)]


def require_agreement(parts: Mapping[str, Part]) -> None:
    """Raise PreflightError naming all that speaks against one plan on these hosts."""
    if wrong := disagreements({host: _facts(host, part) for host, part in parts.items()}):
        raise PreflightError(
            "; ".join(wrong),
            left="Nothing was changed",
            next=CORRECT,
        )


def _facts(host: str, part: Part) -> PartFacts:
    try:
        return msgspec.convert(part.facts, PartFacts)
    except msgspec.ValidationError as error:
        raise PreflightError(
            f"What the host {host} says of its part is not understood: {clean(str(error))}",
            left="Nothing was changed",
            next="Check that the same version of Propolis is installed on every host",
        ) from None


def _of_thehive(facts: Mapping[str, PartFacts]) -> Iterator[str]:
    hives = [host for host, one in facts.items() if "thehive" in one.roles]
    if len(hives) > 1:
        yield f"TheHive is on more than one host ({', '.join(hives)}), which is not supported"
    readers = [host for host, one in facts.items() if one.files]
    if not readers:
        yield "no host has the attachments: `files` is in none of their configurations"
    elif len(readers) > 1:
        yield f"more than one host would back up the attachments: `files` is configured on {', '.join(readers)}"


def _of_trees(facts: Mapping[str, PartFacts]) -> Iterator[str]:
    counts = Counter(tree for one in facts.values() for tree in one.trees)
    for tree, count in counts.items():
        if count > 1:
            hosts = [host for host, one in facts.items() if tree in one.trees]
            yield f"{', '.join(hosts)} have a tree of the same name, {clean(tree)}"


def _of_clusters(facts: Mapping[str, PartFacts]) -> Iterator[str]:
    for role in sorted({role for one in facts.values() for role in one.services}):
        found = {host: one.services[role] for host, one in facts.items() if role in one.services}
        label = LABELS.get(role, clean(role))
        for host, one in found.items():
            if one.count not in (0, len(found)):
                yield (
                    f"by propolis.yaml of {host} the cluster of {label} has {one.count} nodes, but {len(found)} of "
                    f"these hosts have one: {', '.join(found)}"
                )
        yield from _of_nodes(label, {host: one for host, one in found.items() if one.node})
        yield from _of_seeds(label, found)


def _of_nodes(label: str, found: Mapping[str, Cluster]) -> Iterator[str]:
    for what, values in (
        ("clusters", {host: one.cluster for host, one in found.items()}),
        ("versions", {host: one.release for host, one in found.items()}),
    ):
        if len(set(values.values())) > 1:
            shown = ", ".join(f"{clean(value)} on {host}" for host, value in values.items())
            yield f"the hosts' nodes of {label} are of different {what}: {shown}"
            return
    covered = Counter(one.node for one in found.values())
    for node, count in covered.items():
        if count > 1:
            hosts = [host for host, one in found.items() if one.node == node]
            yield f"{', '.join(hosts)} have the same node of {label}, {clean(node)}"
    if missing := {node for one in found.values() for node in one.nodes} - covered.keys():
        yield (
            f"the cluster of {label} has {len(missing)} more nodes than these hosts: "
            f"{clean(', '.join(sorted(missing)))}"
        )


def _of_seeds(label: str, found: Mapping[str, Cluster]) -> Iterator[str]:
    """Restored nodes must find each other and nobody else: elsewhere the cluster that they are copies of may run."""
    if not all(one.addresses for one in found.values()):
        return  # a host says in its own checks that it can't tell
    own = {address for one in found.values() for address in one.addresses}
    for host, one in found.items():
        if strange := set(one.seeds) - own:
            yield (
                f"the configuration of {label} on {host} has it look for other nodes at "
                f"{clean(', '.join(sorted(strange)))}, which is none of these hosts: a restored node must not join "
                "another cluster"
            )
