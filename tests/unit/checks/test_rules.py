"""One set of rules: what the doctor fails, a backup refuses, before it stops anything."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from propolis.checks import Check, Look, Rule, ask, require, rules_of
from propolis.config.schema import Config
from propolis.errors import PreflightError
from propolis.stack.index.contents import IndexInfo
from unit.checks.stacks import config_in, database_of, failed, index_of, look_at, node, warned


def asked(look: Look) -> list[Check]:
    return ask(_asked(look), look)


def required(look: Look) -> tuple[Check, ...]:
    return require(_asked(look), look)


def _asked(look: Look) -> list[Rule[Look]]:
    """Rules for which nothing has to listen."""
    return [rule for rule in rules_of(look) if rule.name not in ("services", "thehive", "host key", "repository")]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


def refused(config: Config, command: Any = "backup", **answers: Any) -> str:
    with pytest.raises(PreflightError, match="Nothing was changed") as caught:
        required(look_at(config, command, **answers))
    return str(caught.value)


def test_a_stack_that_keeps_every_rule_stops_nobody(config: Config) -> None:
    for command in ("doctor", "backup", "restore"):
        assert failed(asked(look_at(config, command))) == {}


BROKEN: dict[str, dict[str, Any]] = {
    "database version": {"release_version": "3.11.19"},
    "database nodes": {"nodes": (node(1), node(2), node(3))},
    "database state": {"nodes": (node(1, normal=False),)},
    "database cluster": {"cluster_name": "another"},
    "database keyspace": {"keyspaces": ("system",)},
    "index version": {"version": "6.8.23"},
    "index health": {"health": "red"},
    "index nodes": {"nodes": 3},
    "index contents": {"indices": {}},
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_doctor_fails_a_backup_refuses(config: Config, name: str) -> None:
    answers = (
        {"database": database_of(config, **BROKEN[name])}
        if name.startswith("database")
        else {"index": index_of(**BROKEN[name])}
    )
    told = failed(asked(look_at(config, "doctor", **answers)))
    assert set(told) == {name}
    assert f"{name}: {told[name]}" in refused(config, **answers)


def test_blocked_writes_fail_the_doctor_and_are_a_warning_to_a_backup(config: Config) -> None:
    own = IndexInfo("thehive_global", "u", 1, 314, 900, blocks=("write",))
    archive = IndexInfo("archive", "v", 1, 5, 5, blocks=("write",))
    full = IndexInfo("cortex_6", "w", 1, 5, 5, blocks=("read_only_allow_delete",))
    look: dict[str, Any] = {"indices": (own, archive, full), "blocks": ("read_only",)}
    told = [check for check in asked(look_at(config, "doctor", **look)) if check.name == "index writes"]
    assert [(check.result, check.message) for check in told] == [
        ("fail", "the whole index takes no writes (cluster.blocks.read_only)"),
        ("fail", "thehive_global takes no writes (index.blocks.write)"),
        ("warn", "cortex_6 takes no writes (index.blocks.read_only_allow_delete)"),
    ], "what others lock on purpose is their own affair"
    warnings = required(look_at(config, "backup", **look))
    assert [check.message for check in warnings if check.name == "index writes"] == [check.message for check in told]


def test_indices_that_are_hidden_from_propolis_are_counted_by_their_folders(config: Config) -> None:
    assert config.elasticsearch is not None
    for uuid in ("u", "hidden"):
        (config.elasticsearch.data / "nodes/0/indices" / uuid).mkdir(parents=True)
    assert "1 indices on the disk" in warned(asked(look_at(config, "backup")))["indices"]


def test_every_failure_is_named_with_what_to_do(config: Config) -> None:
    shutil.rmtree(config.require_thehive().config)
    text = refused(config, database=database_of(config, nodes=(node(1), node(2))), index=index_of(indices={}))
    for name in ("database nodes", "index contents", "config/thehive"):
        assert name in text
    assert "Set database.nodes to 2" in text
    assert "Set index.prefix" in text


def test_what_a_restore_is_for_does_not_stop_it(config: Config) -> None:
    shutil.rmtree(config.require_thehive().config)
    look = look_at(
        config,
        "restore",
        database=database_of(config, keyspaces=("system",), release_version="4.2.0", nodes=(node(1, up=False),)),
        index=index_of(indices={}, health="red"),
        incoming=(),
    )
    found = asked(look)
    assert failed(found) == {}
    assert set(warned(found)) == {"database version", "database state"}


def test_one_node_of_several_is_not_replaced_by_a_whole_database(config: Config) -> None:
    text = refused(config, "restore", database=database_of(config, nodes=(node(1), node(2))), index=index_of(nodes=3))
    assert "database nodes" in text
    assert "index nodes" in text


def test_a_server_that_does_not_answer_is_named_once(config: Config) -> None:
    silent = PreflightError("Cassandra does not answer: no connection")
    assert failed(asked(look_at(config, "backup", database=silent))) == {"database": silent.what}
    assert warned(asked(look_at(config, "restore", database=silent, incoming=()))) == {"database": silent.what}


def test_what_does_not_run_is_not_asked(config: Config) -> None:
    silent = PreflightError("not to be asked")
    look = look_at(config, "backup", database=silent, index=silent, running=())
    assert failed(asked(look)) == {}


def test_a_rule_that_breaks_is_a_failure_that_says_so_and_hides_no_other(config: Config) -> None:
    def broken(look: Look) -> Iterator[Check]:
        yield Check("first", "ok", "well")
        raise ValueError("a secret")

    def refusing(look: Look) -> Iterator[Check]:
        raise PreflightError("It is closed", next="Open it")
        yield

    rules = (
        Rule("one", broken, stops=("backup",)),
        Rule("two", refusing, stops=("backup",)),
        Rule("three", refusing, warns=("backup",)),
        Rule("four", refusing, stops=("restore",)),
    )
    found = ask(rules, look_at(config, "backup"))
    assert [(check.name, check.result) for check in found] == [
        ("first", "ok"),
        ("one", "fail"),
        ("two", "fail"),
        ("three", "warn"),
    ]
    assert found[1].message == "it could not be checked (ValueError)"
    assert found[2].hint == "Open it"
