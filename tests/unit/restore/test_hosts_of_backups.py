"""A backup of several hosts goes onto hosts of the same shape, whatever they are called, and onto no others."""

from pathlib import Path

import pytest

from propolis.errors import PreflightError, UsageError
from propolis.repository import Facts, Header, Manifest, restore_folder
from propolis.repository.format.entries import TreeHeader
from propolis.repository.write.begin import begin
from propolis.repository.write.compose import compose
from propolis.restore.hosts.names import hosts_of, matched, parse_renames, seen_by
from unit.repository.conftest import source, vault  # noqa: F401 - fixtures
from unit.repository.repository_tools import Vault, fill

RUN = "20261127T120000Z-0a1b2c"


def header(*names: str, **facts: object) -> Header:
    trees = [TreeHeader(name, name.partition("/")[0], "folder", "/x", 0, 0, 0) for name in names]
    return Header(1, "hive", "cold", "coordinator", "", "", "", None, {}, trees, facts)


THREE = header(
    "database/db1/data-0", "database/db2/data-0", "index/hive/data", hosts={"hive": {}, "db1": {}, "db2": {}}
)
NAMES = ("hive", "db1", "db2")


def test_hosts_of_the_same_names_get_their_own() -> None:
    assert hosts_of(THREE) == NAMES
    assert matched(THREE, NAMES, {}) == {"hive": "hive", "db1": "db1", "db2": "db2"}


def test_other_names_are_said_and_two_may_change_places() -> None:
    assert matched(THREE, ("hive", "new1", "new2"), {"new1": "db1", "new2": "db2"})["new2"] == "db2"
    assert matched(THREE, NAMES, {"db1": "db2", "db2": "db1"}) == {"hive": "hive", "db1": "db2", "db2": "db1"}


@pytest.mark.parametrize(
    ("hosts", "renames", "said"),
    [
        (("hive", "db1"), {}, "no host of this stack gets what the backup's host db2 had"),
        (("hive", "db1", "db2", "db3"), {}, "the backup has no host db3, which db3 is to get"),
        (("hive", "new", "db2"), {}, "the backup has no host new, which new is to get"),
        (NAMES, {"db1": "db2"}, "the backup's host db2 is two hosts of this stack: db1, db2"),
        (NAMES, {"gone": "db1"}, "--from-host names gone, which is not a host of this stack"),
        (NAMES, {"db1": "gone"}, "the backup has no host gone, which db1 is to get"),
    ],
)
def test_another_shape_is_refused_by_name(hosts: tuple[str, ...], renames: dict[str, str], said: str) -> None:
    with pytest.raises(PreflightError) as caught:
        matched(THREE, hosts, renames)
    assert said in caught.value.what
    assert caught.value.exit_code == 12


def test_a_backup_of_one_host_does_not_go_onto_several() -> None:
    with pytest.raises(PreflightError, match="a stack on one host"):
        matched(header("database/data-0"), NAMES, {})


def test_a_host_whose_stores_are_not_restored_may_be_called_anything() -> None:
    """But each host still needs one of the backup."""
    assert matched(THREE, NAMES, {}, ("database",)) == dict(zip(NAMES, NAMES, strict=True))


@pytest.mark.parametrize("option", ["db1", "=db1", "db1=", ""])
def test_what_names_no_two_hosts_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match="NEW=OLD"):
        parse_renames([option])


@pytest.mark.parametrize("options", [["a=b", "a=c"], ["a=b", "c=b"]])
def test_a_host_is_named_once(options: list[str]) -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_renames(options)


def test_options_are_read() -> None:
    assert parse_renames(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}


@pytest.fixture
def manifest(vault: Vault, tmp_path: Path) -> Manifest:  # noqa: F811
    """Of two hosts, each with a file that says whose it is."""
    names: list[str] = []
    for host in ("db1", "db2"):
        folder = fill(tmp_path / host)
        (folder / "whose").write_text(host)
        with begin(vault.host, "hive", parent=None) as writer:
            writer.add_folder("database", f"database/{host}/data-0", folder, Path("/data"))
            told = Facts(services={"database": f"cassandra 4.1.{len(names)}"}, facts={"host_id": host, "same": 1})
            names.append(writer.finish_part(RUN, host, told))
    with vault.host.lease("shared") as lease:
        summary = compose(vault.host, "hive", RUN, names, ("db1", "db2"), Facts(), lease)
    return vault.full.manifest(summary.id)


def test_a_host_sees_its_trees_by_their_names_here_and_its_own_facts(
    vault: Vault,  # noqa: F811
    manifest: Manifest,
    tmp_path: Path,
) -> None:
    """Two hosts change places: each gets what the other had."""
    seen = seen_by(manifest, "db1", {"db1": "db2", "db2": "db1"})
    assert [(tree.name, tree.host) for tree in seen.header.trees] == [
        ("database/db2/data-0", "db2"),
        ("database/db1/data-0", "db1"),
    ]
    assert (seen.header.facts["host_id"], seen.header.facts["same"]) == ("db2", 1)
    assert seen.header.services == {"database": "cassandra 4.1.1"}

    restore_folder(vault.full, seen, "database/db1/data-0", tmp_path / "out")
    assert (tmp_path / "out" / "whose").read_text() == "db2"
    assert [tree.name for tree in manifest.header.trees] == ["database/db1/data-0", "database/db2/data-0"]
