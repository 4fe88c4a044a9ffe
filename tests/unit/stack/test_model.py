"""What a stack consists of, and the order of its services."""

from pathlib import Path

import pytest

from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config, S3Files, SecretRef
from propolis.errors import ConfigError
from propolis.stack.database import cluster_name_on_disk
from propolis.stack.model import START_WAVES, STOP_ORDER, STORES, answers, trees, trees_of


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
        "config/thehive",
        "config/database",
        "config/index",
    ]
    assert {tree.store for tree in found} == set(STORES)
    assert all(tree.name.startswith(f"{tree.store}/") for tree in found)
    assert all((tree.path is None) != (tree.bucket is None) for tree in found)
    assert {tree.service for tree in found} == set(STOP_ORDER)


def test_saved_caches_are_no_tree(config: Config) -> None:
    assert config.database.saved_caches not in [tree.path for tree in trees(config)]


def test_each_data_folder_and_change_capture_is_a_tree(config: Config) -> None:
    database = config.database.model_copy(update={"data": (Path("/a"), Path("/b")), "cdc_raw": Path("/cdc")})
    found = trees_of(config.model_copy(update={"database": database}), ["database"])
    assert [(tree.name, tree.path) for tree in found if tree.name != "database/commitlog"] == [
        ("database/data-0", Path("/a")),
        ("database/data-1", Path("/b")),
        ("database/hints", Path("/var/lib/cassandra/hints")),
        ("database/cdc_raw", Path("/cdc")),
    ]


def test_only_sstables_segments_and_attachments_are_ever_shared(config: Config) -> None:
    shared = {tree.name for tree in trees(config) if tree.immutable("nb-1-big-Data.db")}
    assert shared == {"database/data-0", "files/folder"}
    shared = {tree.name for tree in trees(config) if tree.immutable("_0.cfs")}
    assert shared == {"index/data", "files/folder"}


def test_a_bucket_is_a_tree_without_a_folder(config: Config) -> None:
    bucket = S3Files(bucket="b", access_key=SecretRef(env="A"), secret_key=SecretRef(env="S"))
    (tree,) = trees_of(config.model_copy(update={"files": bucket}), ["files"])
    assert (tree.name, tree.path, tree.bucket) == ("files/bucket", None, bucket)


@pytest.mark.parametrize("folder", ["/var/lib/cassandra/data", "/var/lib/cassandra/data/x", "/var/lib"])
def test_a_folder_inside_another_trees_folder_is_refused(config: Config, folder: str) -> None:
    index = config.index.model_copy(update={"data": Path(folder)})
    with pytest.raises(ConfigError, match="lie in one another"):
        trees(config.model_copy(update={"index": index}))


def test_an_unknown_store_or_service_is_named(config: Config) -> None:
    with pytest.raises(ConfigError, match="no store cache; stores are database, index, files, config"):
        trees_of(config, ["index", "cache"])
    with pytest.raises(ConfigError, match="no service cortex"):
        answers(config, "cortex", 1)


def test_the_clusters_name_is_read_from_its_file_without_a_server(config: Config, tmp_path: Path) -> None:
    database = config.database.model_copy(update={"config": tmp_path})
    with pytest.raises(ConfigError, match="can't be read"):
        cluster_name_on_disk(database)
    (tmp_path / "cassandra.yaml").write_text("cluster_name: 'other'\n")
    assert cluster_name_on_disk(database) == "other"
    (tmp_path / "cassandra.yaml").write_text("num_tokens: 16\n")
    assert cluster_name_on_disk(database) == "Test Cluster"


def test_thehive_stops_first_and_starts_last() -> None:
    assert STOP_ORDER[0] == "thehive"
    assert STOP_ORDER[-1] == "database"
    assert START_WAVES[-1] == ("thehive",)
    assert {service for wave in START_WAVES for service in wave} == set(STOP_ORDER)
