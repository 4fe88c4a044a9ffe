"""Before anything is stopped, every host is reached and all of them agree; else all that is wrong is told at once."""

from __future__ import annotations

from typing import Any

import pytest

from propolis.errors import BusyError, PreflightError
from propolis.hosts.connect import connect
from propolis.hosts.plan import turns_of
from propolis.hosts.rules import require_agreement
from propolis.link.messages import Failed, Part
from unit.hosts.fake_agent import FILES, Coordinated, config_of, stack

CONFIG = config_of("hive", "db1", "db2")


def refused(exit_code: int, what: str) -> Failed:
    return Failed(exit_code=exit_code, what=what, next="See to it")


def test_every_host_gives_its_part() -> None:
    with Coordinated(CONFIG, stack([])) as context:
        parts = connect(context, "backup", {}, None)
    assert list(parts) == ["hive", "db1", "db2"]
    assert turns_of(parts) == (("db1", "db2"), ("hive",))


def test_all_hosts_that_cannot_take_part_are_named() -> None:
    log: list[str] = []
    agents = stack(log)
    agents["db1"].refuses = refused(12, "it has Propolis 0.1, the coordinator 0.2")
    agents["db2"].refuses = refused(11, "another run is at work")
    with Coordinated(CONFIG, agents) as context, pytest.raises(PreflightError) as raised:
        connect(context, "backup", {}, None)
    assert raised.value.what == "db1: it has Propolis 0.1, the coordinator 0.2; db2: another run is at work"
    assert raised.value.left == "Nothing was changed"
    assert raised.value.next == "On db1: See to it; On db2: See to it"
    assert "hive close undone" in log


def test_one_refusal_keeps_its_exit_code() -> None:
    agents = stack([])
    agents["db2"].refuses = refused(11, "another run is at work")
    with Coordinated(CONFIG, agents) as context, pytest.raises(BusyError, match="db2: another"):
        connect(context, "backup", {}, None)


def test_a_host_out_of_reach_is_named() -> None:
    log: list[str] = []
    agents = stack(log)
    agents["db1"].unreachable = True
    with Coordinated(CONFIG, agents) as context, pytest.raises(PreflightError, match=r"db1 can't be reached.*Switch"):
        connect(context, "backup", {}, None)


def part(**facts: Any) -> Part:
    return Part(host="", steps=(), facts=facts)


def node(cluster: str, own: str, *all_of_them: str) -> dict[str, Any]:
    return {"database": {"cluster": cluster, "node": own, "nodes": list(all_of_them)}}


def place(count: int, address: str, *seeds: str) -> Part:
    """A node that doesn't run."""
    return part(services={"database": {"count": count, "addresses": [address], "seeds": list(seeds)}})


HIVE = part(**FILES)


def test_hosts_that_agree() -> None:
    require_agreement(
        {
            "hive": HIVE,
            "db1": part(trees=["database/db1/data-0"], services=node("thp", "1", "1", "2")),
            "db2": part(trees=["database/db2/data-0"], services=node("thp", "2", "1", "2")),
        }
    )


def test_seeds_are_not_compared_where_a_host_can_not_tell_its_address() -> None:
    require_agreement(
        {"hive": HIVE, "db1": place(2, "10.0.0.1", "10.9.9.9"), "db2": part(services={"database": {"count": 2}})}
    )


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"a": HIVE, "b": part(roles=["thehive"])}, r"TheHive is on more than one host \(a, b\)"),
        ({"a": part(), "b": part()}, "no host has the attachments"),
        ({"a": HIVE, "b": part(files=True)}, "attachments: `files` is configured on a, b"),
        ({"a": HIVE, "b": part(trees=["x"]), "c": part(trees=["x"])}, "b, c have a tree of the same name, x"),
        (
            {"a": HIVE, "b": part(services=node("thp", "1", "1", "2", "3"))},
            "the cluster of the database has 2 more nodes than these hosts: 2, 3",
        ),
        (
            {"a": HIVE, "b": part(services=node("one", "1", "1")), "c": part(services=node("two", "2", "2"))},
            "nodes of the database are of different clusters: one on b, two on c",
        ),
        (
            {"a": HIVE, "b": part(services=node("thp", "1", "1")), "c": part(services=node("thp", "1", "1"))},
            "b, c have the same node of the database, 1",
        ),
        (
            {"a": HIVE, "b": place(3, "10.0.0.1"), "c": place(3, "10.0.0.2")},
            "propolis.yaml of b the cluster of the database has 3 nodes, but 2 of these hosts have one: b, c",
        ),
        (
            {"a": HIVE, "b": place(2, "10.0.0.1", "10.0.0.2", "10.9.9.9"), "c": place(2, "10.0.0.2", "10.0.0.1")},
            "the database on b has it look for other nodes at 10.9.9.9, which is none of these hosts",
        ),
        ({"a": HIVE, "b": part(services=7)}, "host b says of its part is not understood"),
    ],
)
def test_hosts_that_do_not_agree(parts: dict[str, Part], why: str) -> None:
    with pytest.raises(PreflightError, match=why):
        require_agreement(parts)
