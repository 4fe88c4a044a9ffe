"""What is backed up, what Propolis keeps and where backups are never overlap."""

from collections.abc import Callable
from pathlib import Path

import pytest

from integration.clone.filesystems import bound
from propolis import cli
from propolis.clone.mounts import Mount
from propolis.command.apart import overlap, require_apart, require_target_apart
from propolis.config.fields import SecretRef
from propolis.config.load import load
from propolis.config.places import PlaceConfig
from propolis.config.sample import sample
from propolis.config.schema import Config, FolderFiles, S3Files
from propolis.errors import ConfigError
from sections import cassandra, elasticsearch, with_everything

Change = Callable[[Config, Path], Config]


def place(url: str, endpoint: str | None = None) -> PlaceConfig:
    return PlaceConfig(url=url, endpoint=endpoint)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A stack whose every folder lies below `tmp_path`."""
    file = tmp_path / "propolis.yaml"
    text = sample()
    for root in ("/var/", "/etc/", "/opt/", "/backup"):
        text = text.replace(f" {root}", f" {tmp_path}{root}")
    file.write_text(text)
    return load(file)


def repository_at(config: Config, url: str, **more: object) -> Config:
    return config.model_copy(update={"repository": config.repository.model_copy(update={"url": url, **more})})


def with_bucket(config: Config, prefix: str = "hive", endpoint: str | None = None) -> Config:
    key = SecretRef(env="A")
    bucket = S3Files(bucket="b", prefix=prefix, endpoint=endpoint, access_key=key, secret_key=key)
    return config.model_copy(update={"files": bucket})


def test_the_sample_is_apart(config: Config) -> None:
    require_apart(config)


@pytest.mark.parametrize("below", ["", "/vault", "/a/b/vault"])
@pytest.mark.parametrize("tree", ["database.data", "index.data", "files.folder", "thehive.config", "saved_caches"])
def test_a_repository_or_copy_in_a_folder_that_is_backed_up_is_refused(
    config: Config, tmp_path: Path, tree: str, below: str
) -> None:
    folder = {
        "database.data": cassandra(config).data[0],
        "index.data": elasticsearch(config).data,
        "files.folder": Path(f"{tmp_path}/opt/thp/thehive/files"),
        "thehive.config": config.require_thehive().config,
        "saved_caches": cassandra(config).saved_caches,
    }[tree]
    for bad in (
        repository_at(config, f"{folder}{below}"),
        repository_at(config, config.repository.url, copies=(place("/elsewhere"), place(f"{folder}{below}"))),
        config.model_copy(update={"state": Path(f"{folder}{below}")}),
    ):
        with pytest.raises(ConfigError, match=r"The folders of .+ and .+ overlap: one contains the other") as caught:
            require_apart(bad)
        assert caught.value.exit_code == 10
        assert str(folder) in str(caught.value)


CHANGES: dict[str, Change] = {
    "the stack in the repository": lambda config, tmp: repository_at(config, str(tmp / "var")),
    "the state in the repository": lambda config, tmp: repository_at(config, str(config.state.parent)),
    "the repository in the state": lambda config, tmp: repository_at(config, str(config.state / "vault")),
    "a copy in the repository": lambda config, tmp: repository_at(
        config, config.repository.url, copies=(place(config.repository.url + "/copy"),)
    ),
    "two copies in one place": lambda config, tmp: repository_at(
        config, config.repository.url, copies=(place(f"{tmp}/copy"), place(f"{tmp}/copy/"))
    ),
    "the host's key in the repository": lambda config, tmp: repository_at(
        config, config.repository.url, host_key=Path(config.repository.url) / "host.key"
    ),
    "the host's key in what is backed up": lambda config, tmp: repository_at(
        config, config.repository.url, host_key=config.require_thehive().config / "host.key"
    ),
    "one tree in another": lambda config, tmp: config.model_copy(
        update={"index": elasticsearch(config).model_copy(update={"data": cassandra(config).data[0] / "x"})}
    ),
    "dots in a path": lambda config, tmp: repository_at(config, f"{tmp}/var/no/../lib/elasticsearch/x"),
    "a bucket of attachments": lambda config, tmp: repository_at(with_bucket(config), "s3://b/hive/backups"),
    "a whole bucket": lambda config, tmp: repository_at(with_bucket(config, prefix=""), "s3://b/backups"),
    "a repository around the attachments": lambda config, tmp: repository_at(with_bucket(config, "a/b"), "s3://b/a"),
    "one server spelled twice": lambda config, tmp: repository_at(
        with_bucket(config, endpoint="http://Minio:80"), "s3://b/hive", endpoint="http://minio"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_any_other_overlap_is_refused(config: Config, tmp_path: Path, what: str) -> None:
    with pytest.raises(ConfigError, match="overlap: one contains the other"):
        require_apart(CHANGES[what](config, tmp_path))


FINE: dict[str, Change] = {
    "names that begin alike": lambda config, tmp: repository_at(config, f"{elasticsearch(config).data}-backup"),
    "the host's key beside the journals": lambda config, tmp: repository_at(
        config, config.repository.url, host_key=config.state / "host.key"
    ),
    "other prefixes of a bucket": lambda config, tmp: repository_at(
        with_bucket(config, "hive"), "s3://b/hive-backup"
    ),
    "other buckets": lambda config, tmp: repository_at(with_bucket(config), "s3://c/hive"),
    "other servers": lambda config, tmp: repository_at(with_bucket(config), "s3://b/hive", endpoint="http://minio"),
}


@pytest.mark.parametrize("what", FINE)
def test_what_is_apart_is_accepted(config: Config, tmp_path: Path, what: str) -> None:
    require_apart(FINE[what](config, tmp_path))


@pytest.mark.parametrize("side", ["the repository", "what is backed up"])
def test_a_link_leads_to_where_it_leads(config: Config, tmp_path: Path, side: str) -> None:
    data = elasticsearch(config).data
    data.mkdir(parents=True)
    if side == "the repository":
        (tmp_path / "link").symlink_to(data)
        bad = repository_at(config, f"{tmp_path}/link/vault")
    else:
        (tmp_path / "link").symlink_to(data.parent)
        bad = config.model_copy(
            update={"index": elasticsearch(config).model_copy(update={"data": tmp_path / "link" / data.name})}
        )
        bad = repository_at(bad, str(data / "vault"))
    with pytest.raises(ConfigError, match=r"index/data .* overlap"):
        require_apart(bad)


@pytest.mark.parametrize("shown", ["data", "data/inner"])
def test_a_folder_shown_at_another_place_by_a_bind_mount_is_the_same_folder(
    config: Config, tmp_path: Path, shown: str
) -> None:
    (elasticsearch(config).data / "inner").mkdir(parents=True)
    point = tmp_path / "point"
    point.mkdir()
    with bound(elasticsearch(config).data / ("inner" if shown == "data/inner" else ""), point):
        for below in ("", "/vault"):
            with pytest.raises(ConfigError, match=r"index/data .* overlap"):
                require_apart(repository_at(config, f"{point}{below}"))
    require_apart(repository_at(config, str(point)))


def test_a_filesystem_mounted_inside_a_folder_and_elsewhere_is_one() -> None:
    mounted = [
        Mount("8:1", Path("/"), Path("/")),
        Mount("8:2", Path("/"), Path("/srv/hive/disk")),
        Mount("8:2", Path("/backup"), Path("/mnt")),
    ]
    assert overlap(Path("/srv/hive"), Path("/mnt/vault"), mounted)
    assert overlap(Path("/mnt"), Path("/srv/hive/disk/backup/vault"), mounted)
    assert not overlap(Path("/srv/hive/disk/data"), Path("/mnt"), mounted)
    assert not overlap(Path("/srv/other"), Path("/mnt"), mounted)
    hidden = [*mounted, Mount("8:3", Path("/"), Path("/mnt"))]
    assert not overlap(Path("/srv/hive"), Path("/mnt/vault"), hidden)


def test_a_restore_elsewhere_leaves_alone_where_its_source_keeps_its_backups(config: Config, tmp_path: Path) -> None:
    away = tmp_path / "away"
    files = FolderFiles(folder=away / "files")
    target = repository_at(config, "/elsewhere").model_copy(update={"files": files})
    require_target_apart(target, config)
    for kept in (
        repository_at(config, str(away / "files/vault")),
        repository_at(config, config.repository.url, copies=(place(str(away)),)),
        config.model_copy(update={"state": away / "files/state"}),
    ):
        with pytest.raises(ConfigError, match=r"files/folder .* and the source's .* overlap"):
            require_target_apart(target, kept)


@pytest.mark.parametrize(
    "command",
    ["list", "doctor", "config check", "backup --plan", "restore latest --yes", "repository init --print"],
)
def test_every_command_says_so_and_touches_nothing(
    config: Config, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "propolis.yaml"
    file.write_text(file.read_text().replace(f"{tmp_path}/backup/thehive", f"{elasticsearch(config).data}/vault"))
    assert cli.run([*command.split(), "--config", str(file)]) == 10
    assert "overlap: one contains the other" in capsys.readouterr().err
    assert not elasticsearch(config).data.exists()


def test_recovery_is_not_kept_from_bringing_services_back(config: Config, tmp_path: Path) -> None:
    file = tmp_path / "propolis.yaml"
    config.platform.services.mkdir(parents=True)
    file.write_text(file.read_text().replace(f"{tmp_path}/backup/thehive", f"{elasticsearch(config).data}/vault"))
    assert cli.run(["recover", "--config", str(file)]) == 0


def test_a_copy_is_not_made_into_what_is_backed_up(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = str(elasticsearch(config).data / "copy")
    assert cli.run(["repository", "copy", "--to", to, "--config", str(tmp_path / "propolis.yaml")]) == 10
    assert f"index/data ({elasticsearch(config).data})" in capsys.readouterr().err
    assert [child.name for child in tmp_path.iterdir()] == ["propolis.yaml"]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9002", "http://localhost:9002"])
def test_a_repository_in_the_minio_that_is_backed_up_is_refused_whatever_its_bucket(
    config: Config, endpoint: str
) -> None:
    whole = with_everything(config)
    repository = {"url": "s3://backups", "endpoint": endpoint, "host_key": str(config.repository.host_key)}
    inside = Config.model_validate({**whole.model_dump(mode="json"), "repository": repository})
    with pytest.raises(ConfigError, match=r"minio \(all of 127.0.0.1:9002\) and repository .* overlap"):
        require_apart(inside)
    require_apart(inside.model_copy(update={"minio": None}))
    elsewhere = {**repository, "endpoint": "http://127.0.0.1:9003"}
    require_apart(Config.model_validate({**whole.model_dump(mode="json"), "repository": elsewhere}))
