"""What hosts must agree on before anything is stopped, by what each of them says of its part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from propolis.errors import PreflightError
from propolis.hosts.words import clean
from propolis.link.messages import Part
from propolis.stack.stack import LABELS


class Cluster(msgspec.Struct, frozen=True):
    """What a service that is a node of a cluster says of it."""

    cluster: str
    """The cluster's name."""
    node: str
    """This node's ID."""
    nodes: tuple[str, ...]
    """The IDs of all nodes, this one among them."""


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


def require_agreement(parts: Mapping[str, Part]) -> None:
    """Raise PreflightError naming all that speaks against one plan on these hosts."""
    facts = {host: _facts(host, part) for host, part in parts.items()}
    if wrong := [*_of_thehive(facts), *_of_trees(facts), *_of_clusters(facts)]:
        raise PreflightError(
            "; ".join(wrong),
            left="Nothing was changed",
            next="Correct propolis.yaml on these hosts, or `hosts` on this one: all hosts of the stack belong there",
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
        names = {one.cluster for one in found.values()}
        if len(names) > 1:
            shown = ", ".join(f"{clean(one.cluster)} on {host}" for host, one in found.items())
            yield f"the hosts' nodes of {label} are of different clusters: {shown}"
            continue
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
