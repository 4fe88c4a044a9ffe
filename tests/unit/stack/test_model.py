"""What a stack consists of, and the order of its services."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from propolis.checks import Look
from propolis.config.fields import SecretRef
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import BerkeleyConfig, Config, CortexConfig, LuceneConfig, S3Files
from propolis.errors import ConfigError
from propolis.stack.database.server import cluster_name_on_disk
from propolis.stack.database.service import Database
from propolis.stack.index.service import Index
from propolis.stack.model import BackedUp, BucketTree, bare, host_in, on_host
from propolis.stack.stack import (
    OPTIONAL,
    SERVICES,
    START_WAVES,
    STOP_ORDER,
    STORES,
    answers,
    buckets,
    folders,
    needed_by,
    optional_of,
    services,
    trees,
    trees_of,
    with_dependents,
)
from propolis.stack.thehive.embedded import missing
from sections import cassandra, with_everything


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "propolis.yaml"
    file.write_text(sample())
    return load(file)


def test_every_store_has_its_trees_with_fixed_names(config: Config) -> None:
    found = trees(config)
    assert [tree.name for tree in found] == [
        "database/data-0",
        "database/commitlog",
        "database/hints",
        "index/data",
        "files/folder",
        "config/database",
        "config/index",
        "config/thehive",
    ]
    assert {tree.store for tree in found} == set(STORES)
    assert all(tree.name.startswith(f"{tree.store}/") for tree in found)
    assert len(found) == len(folders(config))
    assert {tree.service for tree in found} == {"database", "index", "thehive"}


def test_saved_caches_are_no_tree(config: Config) -> None:
    assert cassandra(config).saved_caches not in [tree.path for tree in folders(config)]


def test_each_data_folder_and_change_capture_is_a_tree(config: Config) -> None:
    database = cassandra(config).model_copy(update={"data": (Path("/a"), Path("/b")), "cdc_raw": Path("/cdc")})
    found = trees_of(config.model_copy(update={"database": database}), ["database"])
    assert [(tree.name, Path(tree.target)) for tree in found if tree.name != "database/commitlog"] == [
        ("database/data-0", Path("/a")),
        ("database/data-1", Path("/b")),
        ("database/hints", Path("/var/lib/cassandra/hints")),
        ("database/cdc_raw", Path("/cdc")),
    ]


def test_only_sstables_segments_and_attachments_are_ever_shared(config: Config) -> None:
    shared = {tree.name for tree in folders(config) if tree.immutable("nb-1-big-Data.db")}
    assert shared == {"database/data-0", "files/folder"}
    shared = {tree.name for tree in folders(config) if tree.immutable("_0.cfs")}
    assert shared == {"index/data", "files/folder"}


@pytest.fixture
def embedded(config: Config) -> Config:
    """A stack whose TheHive keeps database and index itself, in folders."""
    sections = {
        "database": BerkeleyConfig(folder=Path("/d/database")),
        "index": LuceneConfig(folder=Path("/d/index")),
    }
    return config.model_copy(update=sections)


def test_a_database_and_an_index_in_folders_are_trees_of_thehive(embedded: Config) -> None:
    found = folders(embedded)
    assert [(tree.name, tree.service, tree.path) for tree in found if tree.store in ("database", "index")] == [
        ("database/berkeleyje", "thehive", Path("/d/database")),
        ("index/lucene", "thehive", Path("/d/index")),
    ]
    assert [tree.name for tree in found if tree.store == "config"] == ["config/thehive"]
    assert {tree.service for tree in found} == {"thehive"}


def test_only_what_thehive_doesnt_keep_itself_has_a_service(config: Config, embedded: Config) -> None:
    assert services(config) == ("thehive", "index", "database")
    assert services(with_everything(config)) == STOP_ORDER
    assert services(embedded) == ("thehive",)
    assert services(config.model_copy(update={"index": embedded.index})) == ("thehive", "database")
    assert services(config.model_copy(update={"database": embedded.database})) == ("thehive", "index")


@pytest.mark.parametrize("service", ["database", "index"])
def test_a_service_that_the_stack_lacks_is_never_asked(embedded: Config, service: str) -> None:
    with pytest.raises(ConfigError, match=f"no service {service}; services are thehive"):
        answers(embedded, service, 1)


def test_berkeley_db_is_copied_as_it_appends_to_its_newest_file_and_lucene_is_shared(embedded: Config) -> None:
    database, index, *_ = folders(embedded)
    assert not database.immutable("00000000.jdb")
    assert index.immutable("thehive/_0.cfs")
    assert not index.immutable("thehive/write.lock")


def test_an_embedded_store_that_isnt_there_is_named(embedded: Config, tmp_path: Path) -> None:
    sections = {"database": BerkeleyConfig(folder=tmp_path), "index": LuceneConfig(folder=tmp_path / "nothere")}
    config = embedded.model_copy(update=sections)
    assert missing(config, "database") == f"{tmp_path} holds no Berkeley DB (no *.jdb file)"
    assert missing(config, "index") == f"{tmp_path}/nothere holds no Lucene index (no segments_* file)"
    (tmp_path / "00000000.jdb").touch()
    (tmp_path / "nothere/global").mkdir(parents=True)
    (tmp_path / "nothere/global/segments_1").touch()
    assert missing(config, "database") is None
    assert missing(config, "index") is None


def test_a_bucket_is_a_tree_without_a_folder(config: Config) -> None:
    bucket = S3Files(bucket="b", access_key=SecretRef(env="A"), secret_key=SecretRef(env="S"))
    (tree,) = trees_of(config.model_copy(update={"files": bucket}), ["files"])
    assert isinstance(tree, BucketTree)
    assert (tree.name, tree.bucket) == ("files/bucket", bucket)


def test_an_unknown_store_or_service_is_named(config: Config) -> None:
    with pytest.raises(ConfigError, match="no store cache; stores are database, index, files, config"):
        trees_of(config, ["index", "cache"])
    with pytest.raises(ConfigError, match="no service cortex; services are thehive, index, database"):
        answers(config, "cortex", 1)


@pytest.mark.parametrize(
    ("file", "here", "named"),
    [
        ("cluster_name: theirs\n", "theirs", ""),
        ("cluster_name: other\n", "theirs", "other"),
        ("cluster_name: theirs\n", "another", "another"),
        (None, "theirs", ""),
        (None, "another", "another"),
    ],
)
def test_a_backup_of_another_cluster_is_refused_by_what_the_server_will_start_with(
    config: Config, tmp_path: Path, file: str | None, here: str, named: str
) -> None:
    section = cassandra(config).model_copy(update={"config": tmp_path, "cluster_name": here})
    if file is not None:
        (tmp_path / "cassandra.yaml").write_text(file)
    stopped = Look(config, "restore", running=())
    found = list(Database(section).same(BackedUp("cassandra 4.1.10", {"cluster_name": "theirs"}), stopped))
    assert [check.result for check in found] == (["fail"] if named else [])
    assert not named or f"named {named!r}" in found[0].message


def test_the_clusters_name_is_read_from_its_file_without_a_server(config: Config, tmp_path: Path) -> None:
    database = cassandra(config).model_copy(update={"config": tmp_path})
    with pytest.raises(ConfigError, match="can't be read"):
        cluster_name_on_disk(database)
    (tmp_path / "cassandra.yaml").write_text("cluster_name: 'other'\n")
    assert cluster_name_on_disk(database) == "other"
    (tmp_path / "cassandra.yaml").write_text("num_tokens: 16\n")
    assert cluster_name_on_disk(database) == "Test Cluster"


def test_whoever_needs_another_starts_after_it_and_stops_before_it(config: Config) -> None:
    started = [name for wave in START_WAVES for name in wave]
    for kind in SERVICES:
        for needed in kind.needs:
            assert started.index(needed) < started.index(kind.role)
            assert STOP_ORDER.index(needed) > STOP_ORDER.index(kind.role)
    assert needed_by(config, "thehive") == ("index", "database")
    assert with_dependents(config, ["index"]) == {"thehive", "index"}
    whole = with_everything(config)
    assert needed_by(whole, "thehive") == ("minio", "index", "database")
    assert needed_by(whole, "cortex") == ("cortex-index", "index")
    assert with_dependents(whole, ["cortex-index"]) == {"cortex-index", "cortex"}


def test_thehive_stops_first_and_starts_last() -> None:
    assert STOP_ORDER[0] == "thehive"
    assert STOP_ORDER[-1] == "database"
    # Neither needs the other: TheHive is not kept waiting for Cortex, which has work from it alone.
    assert START_WAVES[-1] == ("cortex", "thehive")
    assert STOP_ORDER.index("cortex") == 1
    assert {service for wave in START_WAVES for service in wave} == set(STOP_ORDER)


def test_snapshots_of_tables_are_left_out_unless_they_are_asked_for(config: Config) -> None:
    rule = folders(config)[0].kept_empty
    assert "snapshots" in (rule("thehive/edgestore-1f/snapshots") or "")
    assert "backups" in (rule("thehive/edgestore-1f/backups") or "")
    for path in (
        "",
        "thehive",
        "snapshots",
        "thehive/snapshots",
        "thehive/edgestore-1f",
        "a/b/c/snapshots",
        "a/b/other",
    ):
        assert rule(path) is None
    asked = cassandra(config).model_copy(update={"keep_snapshots": True})
    assert (
        folders(config.model_copy(update={"database": asked}))[0].kept_empty("thehive/edgestore-1f/snapshots") is None
    )
    assert all(tree.kept_empty("a/b/snapshots") is None for tree in folders(config) if tree.store != "database")


def test_every_service_of_the_list_has_trees_that_only_it_names(config: Config) -> None:
    found = trees(with_everything(config))
    assert len({tree.name for tree in found}) == len(found)
    for tree in found:
        assert [kind.role for kind in SERVICES if tree.name.removesuffix("-0") in kind.names] == [tree.service]
        assert optional_of(tree.name) == {"cortex-index": "cortex"}.get(
            tree.service, tree.service if tree.service in OPTIONAL else ""
        )


def test_cortex_and_minio_bring_their_trees(config: Config) -> None:
    found = {tree.name: tree for tree in folders(with_everything(config))}
    own = {
        name: str(tree.path) for name, tree in found.items() if tree.service in ("cortex", "cortex-index", "minio")
    }
    assert own == {
        "index/cortex": "/var/lib/cortex-elasticsearch",
        "files/cortex-jobs": "/var/lib/cortex/jobs",
        "files/minio-data-0": "/srv/minio/data",
        "config/cortex": "/etc/cortex",
        "config/cortex-index": "/etc/cortex-elasticsearch",
        "config/minio": "/etc/minio",
    }
    assert found["index/cortex"].immutable("indices/AAA/0/index/_0.cfs")
    assert not any(found[name].immutable("thehive/attachment/xl.meta") for name in own if "minio" in name)


def test_the_bucket_of_the_stacks_own_minio_is_read_once(config: Config) -> None:
    whole = with_everything(config)
    assert not buckets(whole)
    assert [tree.name for tree in buckets(whole.model_copy(update={"minio": None}))] == ["files/bucket"]


def test_cortex_without_an_index_of_its_own_has_its_indices_in_thehives(config: Config) -> None:
    cortex = CortexConfig(url="http://127.0.0.1:9001", config=Path("/etc/cortex"), prefix="Cortex")
    shared = config.model_copy(update={"cortex": cortex})
    assert services(shared) == ("thehive", "cortex", "index", "database")
    assert [tree.name for tree in trees(shared) if tree.service == "cortex"] == ["config/cortex"]
    index = Index.of(shared)
    assert index is not None
    assert [index.owner_of(name) for name in ("cortex_6", "cortexes", "thehive_global", ".tasks")] == [
        *("stack", "other", "stack", "server")
    ]
    alone = Index.of(with_everything(config))
    assert alone is not None
    assert alone.owner_of("cortex_6") == "other"


@pytest.mark.parametrize(
    ("update", "refused"),
    [
        ({"minio": {"url": "http://h:9002", "data": ["/srv/minio"]}}, "minio needs files.kind: s3"),
        (
            {
                "cortex": {"url": "http://h:9001", "config": "/etc/cortex"},
                "index": {"kind": "lucene", "folder": "/d/index"},
            },
            "cortex needs an index",
        ),
    ],
)
def test_a_service_without_what_it_needs_is_refused(config: Config, update: dict[str, Any], refused: str) -> None:
    with pytest.raises(ValidationError, match=refused):
        Config.model_validate({**config.model_dump(mode="json"), **update})


def test_on_one_of_several_hosts_names_of_trees_say_which(config: Config) -> None:
    alone = trees(config)
    spread = trees(config.model_copy(update={"host": "db.2"}))
    assert [tree.name for tree in spread][:2] == ["database/db.2/data-0", "database/db.2/commitlog"]
    assert {tree.host for tree in alone} == {""}
    assert {tree.host for tree in spread} == {"db.2"}
    assert [bare(tree.name) for tree in spread] == [tree.name for tree in alone]
    assert {host_in(tree.name) for tree in spread} == {"db.2"}
    assert {host_in(tree.name) for tree in alone} == {""}
    assert [on_host(bare(tree.name), tree.host) for tree in spread] == [tree.name for tree in spread]


def test_an_optional_service_is_known_by_its_trees_on_any_host(config: Config) -> None:
    for host in (None, "db1"):
        for tree in trees(with_everything(config).model_copy(update={"host": host})):
            kind = next(kind for kind in SERVICES if kind.role == tree.service)
            assert optional_of(tree.name) == kind.optional


@pytest.mark.parametrize(
    ("left_out", "roles"),
    [
        (("thehive", "files"), ["index", "database"]),
        (("thehive", "index", "files"), ["database"]),
        (("database", "index"), ["thehive"]),
        (("thehive", "database", "index", "files"), []),
    ],
)
def test_a_host_has_the_services_and_trees_of_its_sections(
    config: Config, left_out: tuple[str, ...], roles: list[str]
) -> None:
    host = config.model_copy(update={"host": "h", **dict.fromkeys(left_out)})
    assert list(services(host)) == roles
    assert {tree.service for tree in trees(host)} == set(roles)
    Look(host)
