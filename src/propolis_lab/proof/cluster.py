"""The nodes of a lab's clusters: who belongs to them, and whether all hold the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from propolis_lab import http
from propolis_lab.lab import Cluster, Lab
from propolis_lab.proof.digests import decoded
from propolis_lab.proof.proof import Proof, snapshot
from propolis_lab.servers import nodetool

REPLICATED = ("thehive", "system_auth")
"""Keyspaces of which every node has everything."""
OWN_ADDRESS = "at its own address"


def snapshot_of_cluster(cluster: Cluster) -> Proof:
    """Look at everything as `snapshot` does, and at the nodes: what it tells of them holds elsewhere, too."""
    with ThreadPoolExecutor(len(cluster.nodes)) as pool:
        statuses = list(pool.map(_status, cluster.nodes.values()))
    seen = {name: database(cluster, status) for name, status in zip(cluster.nodes, statuses, strict=True)}
    nodes = {f"database {what}": value for what, value in _agreed(seen).items()}
    found = {name: index(cluster, lab) for name, lab in cluster.nodes.items()}
    nodes |= {f"index {what}": value for what, value in _agreed(found).items()}
    first = next(iter(cluster.nodes.values()))
    nodes |= {f"replicas of {name}": "equal" if same else "NOT equal" for name, same in repaired(first).items()}
    return replace(snapshot(cluster.hive), nodes=nodes)


def _agreed(views: dict[str, dict[str, str]]) -> dict[str, str]:
    """What all see alike; what they don't, with who sees what."""
    agreed = {}
    for what in sorted({what for view in views.values() for what in view}):
        values = {name: view.get(what, "missing") for name, view in views.items()}
        alike = len(set(values.values())) == 1
        agreed[what] = (
            next(iter(values.values())) if alike else "; ".join(f"{name}: {value}" for name, value in values.items())
        )
    return agreed


def database(cluster: Cluster, status: tuple[nodetool.Member, ...]) -> dict[str, str]:
    """Host → state, identity and whether its address is the host's; and every stranger by its address."""
    names = {lab.address: name for name, lab in cluster.nodes.items()}
    seen = dict.fromkeys(cluster.nodes, "missing")
    for member in status:
        name = names.get(member.address)
        where = OWN_ADDRESS if name else "a stranger"
        seen[name or member.address] = f"{member.state} {member.host_id} {where}"
    return seen


def index(cluster: Cluster, lab: Lab) -> dict[str, str]:
    """The same of the index, as one of its nodes sees it; and the cluster's health."""
    names = {lab.address: name for name, lab in cluster.nodes.items()}
    seen = dict.fromkeys(cluster.nodes, "missing")
    for entry in decoded(http.request("GET", f"{lab.index_url}/_cat/nodes?format=json&h=name,ip")):
        name = names.get(entry["ip"])
        seen[name or entry["ip"]] = f"{entry['name']} {OWN_ADDRESS if name else 'a stranger'}"
    health = decoded(http.request("GET", f"{lab.index_url}/_cluster/health"))
    seen["health"] = (
        f"{health['status']}, {health['number_of_nodes']} nodes, {health['unassigned_shards']} lost shards"
    )
    return seen


def repaired(lab: Lab) -> dict[str, bool]:
    """Keyspace → whether a full repair would find nothing to stream between the nodes."""
    return {
        keyspace: nodetool.in_sync(nodetool_of(lab, "repair", "--full", "--preview", keyspace))
        for keyspace in REPLICATED
    }


def _status(lab: Lab) -> tuple[nodetool.Member, ...]:
    return nodetool.members(nodetool_of(lab, "status"))


def nodetool_of(lab: Lab, *arguments: str) -> str:
    """What a node's `nodetool` prints."""
    return nodetool.run(lab.options.cassandra, lab.record.jmx_port, *arguments, home=lab.root / "tmp")
