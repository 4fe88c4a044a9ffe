"""What a restore would take away from others, told by the folders of servers that don't run."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.config.schema import CassandraConfig, ElasticsearchConfig
from propolis.repository import Facts, Identity, Location, Manifest, Repository
from propolis.repository.write.begin import begin
from propolis.restore.others import Loss, checks, index_losses, keyspace_losses
from propolis.stack.index.contents import name_on_disk, owner_of, uuid_of
from propolis.stack.index.service import Index

INDEX_FILES = (
    "0/index/_0.si",
    "0/index/_0.cfs",
    "0/index/segments_2",
    "0/translog/translog-2.tlog",
    "_state/state-3.st",
)
FACTS = {
    "indices": [
        {"name": "thehive_global", "uuid": "AAA", "documents": 10, "operations": 12},
        {"name": "cortex_6", "uuid": "BBB", "documents": 1, "operations": 1},
        {"name": ".tasks", "uuid": "CCC", "documents": 1, "operations": 1},
    ],
    "keyspaces": ["system", "system_auth", "thehive", "older"],
}

Here = tuple[ElasticsearchConfig, CassandraConfig]


NAMES = {"AAA": "thehive_global", "BBB": "cortex_6", "CCC": ".tasks", "DDD": "cortex_7", "FFF": "thehive_global1"}


def state(name: str) -> bytes:
    """How a server keeps an index's name; as in a file of Elasticsearch 7.17's."""
    key = name.encode()
    short = bytes([((0x7F if name.isascii() else 0xBE) + len(key)) % 256]) + key
    token = short if len(key) <= 64 else b"\x34" + key + b"\xfc"
    return b"?\xd7l\x17\x05state\x00\x00\x00\x01\x00\x00\x00\x01:)\n\x05\xfa" + token + b"\xfa\x86version$\x01"


def index(data: Path, uuid: str) -> Path:
    for name in INDEX_FILES:
        file = data / uuid / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{uuid} {name}")
    if uuid in NAMES:
        (data / uuid / "_state/state-3.st").write_bytes(state(NAMES[uuid]))
    return data / uuid


def table(data: Path, name: str, sstables: int = 1) -> Path:
    folder = data / f"{name}-0a1b2c"
    (folder / "backups").mkdir(parents=True)
    for number in range(1, sstables + 1):
        for component in ("Data.db", "Index.db", "TOC.txt"):
            (folder / f"nb-{number}-big-{component}").write_text(f"{name} {number}")
    return folder


@pytest.fixture(params=["nodes/0/indices", "indices"])
def indices(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "elasticsearch" / str(request.param)


@pytest.fixture
def here(tmp_path: Path, indices: Path) -> Here:
    for uuid in ("AAA", "BBB", "CCC"):
        index(indices, uuid)
    for name in ("system/local", "system_auth/roles", "thehive/edgestore", "older/things"):
        table(tmp_path / "data", name)
    (tmp_path / "empty").mkdir()
    etc = tmp_path / "etc"
    return (
        ElasticsearchConfig(url="http://127.0.0.1:9", config=etc, data=tmp_path / "elasticsearch"),
        CassandraConfig(
            host="127.0.0.1",
            port=9,
            cluster_name="thp",
            config=etc,
            data=(tmp_path / "data", tmp_path / "empty"),
            commitlog=etc,
            hints=etc,
            saved_caches=etc,
        ),
    )


def back_up(here: Here, folder: Path, facts: dict[str, object]) -> Manifest:
    recovery = Identity.generate()
    location = Location(str(folder))
    Repository.init(location, [recovery.recipient])
    repository = Repository.open(location, [recovery])
    with begin(repository, "hive") as writer:
        for number, data in enumerate(here[1].data):
            writer.add_folder("database", f"database/data-{number}", data, data)
        writer.add_folder("index", "index/data", here[0].data, here[0].data)
        return repository.manifest(writer.commit(Facts(facts=facts)).id)


@pytest.fixture
def manifest(here: Here, tmp_path: Path) -> Manifest:
    return back_up(here, tmp_path / "vault", FACTS)


def index_of(here: Here) -> Index:
    return Index(here[0], here[0].prefix, here[0].audit)


def lost(here: Here, manifest: Manifest) -> dict[str, str]:
    """Everything that isn't TheHive's or the server's own, with the reason."""
    found = (
        index_losses(index_of(here), manifest, running=False)[0]
        + keyspace_losses(here[1], manifest, running=False)[0]
    )
    return {loss.names[0]: loss.why for loss in found if not loss.thehives}


def test_what_is_as_it_was_is_no_loss(here: Here, manifest: Manifest) -> None:
    assert lost(here, manifest) == {}


def test_onto_an_empty_host_nothing_is_lost_and_nothing_need_be_said(here: Here, manifest: Manifest) -> None:
    for folder in (here[0].data, *here[1].data):
        shutil.rmtree(folder)
    assert lost(here, manifest) == {}
    assert index_losses(index_of(here), manifest, running=False)[1] == ""
    assert keyspace_losses(here[1], manifest, running=False)[1] == ""


def test_a_stopped_server_is_told_by_its_folders_and_that_is_said(here: Here, manifest: Manifest) -> None:
    assert index_losses(index_of(here), manifest, running=False)[1] == "it is not running"
    # One that should run and doesn't answer is no reason to know nothing.
    found, why = index_losses(index_of(here), manifest, running=True)
    assert found == []
    assert "does not answer" in why


CHANGES: dict[str, tuple[Callable[[Path, Path], object], dict[str, str]]] = {
    "a new index": (lambda i, d: index(i, "DDD"), {"cortex_7": "is not in the backup"}),
    "a new index without a name": (lambda i, d: index(i, "EEE"), {"EEE": "is not in the backup"}),
    "a new index of TheHive's": (lambda i, d: index(i, "FFF"), {}),
    "an index made anew": (
        lambda i, d: index(i, "BBB").rename(i / "EEE"),
        {"cortex_6": "is not in the backup"},
    ),
    "an index written to": (
        lambda i, d: (i / "BBB/0/index/_1.si").write_text("x"),
        {"cortex_6": "was written to since the backup"},
    ),
    "an index gone": (lambda i, d: shutil.rmtree(i / "BBB"), {}),
    "a restart's traces": (lambda i, d: (i / "BBB/0/translog/translog-3.tlog").write_text("x"), {}),
    "TheHive's index written to": (lambda i, d: (i / "AAA/0/index/_1.si").write_text("x"), {}),
    "the server's index written to": (lambda i, d: (i / "CCC/0/index/_1.si").write_text("x"), {}),
    "a new keyspace": (lambda i, d: table(d, "newer/things"), {"newer": "is not in the backup"}),
    "a new keyspace that is still empty": (
        lambda i, d: table(d, "newer/things", sstables=0),
        {"newer": "is not in the backup"},
    ),
    "a dropped keyspace's snapshots": (
        lambda i, d: (table(d, "gone/things", sstables=0) / "snapshots/dropped").mkdir(parents=True),
        {},
    ),
    "a keyspace written to": (
        lambda i, d: (d / "older/things-0a1b2c/nb-7-big-Data.db").write_text("x"),
        {"older": "was written to since the backup"},
    ),
    "a keyspace with a new table": (
        lambda i, d: table(d, "older/more"),
        {"older": "was written to since the backup"},
    ),
    "a snapshot of a keyspace": (
        lambda i, d: shutil.copytree(d / "older/things-0a1b2c", d / "older/things-0a1b2c/snapshots/mine"),
        {},
    ),
    "TheHive's keyspace written to": (
        lambda i, d: (d / "thehive/edgestore-0a1b2c/nb-7-big-Data.db").write_text("x"),
        {},
    ),
    "Cassandra's own written to": (lambda i, d: (d / "system/local-0a1b2c/nb-7-big-Data.db").write_text("x"), {}),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_made_or_written_since_is_a_loss(
    here: Here, indices: Path, manifest: Manifest, tmp_path: Path, what: str
) -> None:
    change, expected = CHANGES[what]
    change(indices, tmp_path / "data")
    assert lost(here, manifest) == expected


def test_of_a_database_drained_just_now_only_data_counts(here: Here, manifest: Manifest, tmp_path: Path) -> None:
    def losses() -> dict[str, str]:
        found, _ = keyspace_losses(here[1], manifest, running=False, drained=True)
        return {loss.names[0]: loss.why for loss in found if not loss.thehives}

    table(tmp_path / "data", "dropped/things", sstables=0)
    assert losses() == {}
    table(tmp_path / "data", "newer/things")
    (tmp_path / "data/older/things-0a1b2c/nb-2-big-Data.db").write_text("x")
    assert losses() == {"newer": "is not in the backup", "older": "was written to since the backup"}


def test_a_backup_that_could_not_ask_is_compared_all_the_same(here: Here, indices: Path, tmp_path: Path) -> None:
    manifest = back_up(here, tmp_path / "vault", {})
    assert lost(here, manifest) == {}
    index(indices, "DDD")
    table(tmp_path / "data", "newer/things")
    assert lost(here, manifest) == {"cortex_7": "is not in the backup", "newer": "is not in the backup"}


def test_only_what_is_named_may_be_replaced() -> None:
    losses = [
        Loss("index", ("cortex_6", "BBB"), "is not in the backup"),
        Loss("index", ("thehive_global", "AAA"), "was written to since the backup", thehives=True),
        Loss("keyspace", ("older",), "is not in the backup"),
    ]

    def failing(*indices: str, keyspaces: tuple[str, ...] = ()) -> list[str]:
        found = checks(losses, {"index": indices, "keyspace": keyspaces})
        return [check.hint.rpartition(" add ")[2] for check in found if check.result == "fail"]

    assert failing() == ["--replace-index cortex_6", "--replace-keyspace older"]
    assert failing("cortex_6", "older") == ["--replace-keyspace older"]
    assert failing("BBB", keyspaces=("older",)) == []
    assert failing("cortex", "cortex_*", "*") == ["--replace-index cortex_6", "--replace-keyspace older"]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("thehive_global", "stack"),
        ("thehive_global1", "stack"),
        ("thehive-audit", "stack"),
        ("thehive2", "other"),
        ("Hive.log", "other"),
        ("hive.log", "stack"),
        ("hive.log-000001", "stack"),
        (".ds-hive.log-2026.11.27-000001", "stack"),
        ("hive.logs", "other"),
        ("cortex_6", "other"),
        (".security-7", "server"),
        ("top_queries-2026.11.27-1", "server"),
    ],
)
def test_whose_an_index_is(name: str, owner: str) -> None:
    assert owner_of(name, "TheHive", audit="Hive.log") == owner


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=200))
def test_a_stopped_servers_index_is_told_by_the_name_in_its_state(name: str) -> None:
    hypothesis.assume(len(name.encode()) <= 200 and (name.isascii() or not 57 < len(name.encode()) <= 64))
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "_state")
        kept.mkdir()
        (kept / "state-9.st").write_bytes(state("former"))
        (kept / "state-10.st").write_bytes(state(name))
        (kept / "state-11.st.tmp").write_bytes(b"torn")
        assert name_on_disk(Path(folder)) == name
        (kept / "state-10.st").write_bytes(state(name)[:24])
        assert name_on_disk(Path(folder)) == "former"


@given(st.binary(max_size=60))
def test_a_state_that_cannot_be_understood_names_nothing_and_harms_nothing(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "_state").mkdir()
        Path(folder, "_state/state-1.st").write_bytes(content)
        assert isinstance(name_on_disk(Path(folder)), str)


@pytest.mark.parametrize(
    ("path", "uuid"),
    [
        ("indices/AAA/0/index/_0.si", "AAA"),
        ("nodes/0/indices/AAA", "AAA"),
        ("nodes/0/indices", None),
        ("nodes/0/_state/indices", None),
        ("a/b/c/indices/AAA", None),
    ],
)
def test_the_index_that_a_file_belongs_to(path: str, uuid: str | None) -> None:
    assert uuid_of(path) == uuid
