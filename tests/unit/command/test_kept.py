"""Records of kept data: written whole or not at all, read back, and dropped when their time is over."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from propolis import clone
from propolis.command.kept import Kept, KeptFolder, cleaning, dropping, find, occupied, overtake, record, records
from propolis.config.load import load
from propolis.config.sample import sample
from propolis.config.schema import Config, MinioConfig, S3Files
from propolis.errors import Interrupted, PreflightError, PropolisError, UsageError
from propolis.restore.former import UndoRequest, settled
from propolis.run import SilentObserver
from propolis.run.journals import recorded_places
from propolis.stack.stack import buckets


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "propolis.yaml"
    file.write_text(sample().replace("# state: /var/lib/propolis", f"state: {tmp_path}/state"))
    (tmp_path / "state/journal").mkdir(parents=True)
    return load(file)


def keep(config: Config, folder: Path, run: str, days: int) -> Kept:
    """Keep a folder's content as if a run had moved it aside."""
    aside = clone.aside(folder, run)
    aside.mkdir(parents=True)
    (aside / "data").write_text("x" * 10_000)
    (aside / ".marker").touch()
    now = datetime.datetime.now(datetime.UTC)
    folders = (KeptFolder(str(folder), str(aside), ".marker", None, 1, 12_288),)
    kept = Kept(run, "restore", "b", now.isoformat(), (now + datetime.timedelta(days=days)).isoformat(), 1, folders)
    record(config.state, kept)
    return kept


def test_a_record_is_read_back_and_makes_its_folders_ours(config: Config, tmp_path: Path) -> None:
    kept = keep(config, tmp_path / "data", "run1", 1)
    assert records(config.state).kept == (kept,)
    assert recorded_places(config.state / "journal") == {Path(kept.folders[0].folder)}
    (file,) = (config.state / "journal").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"run": "run1"}', None],
    ids=["empty", "torn", "a list", "too little", "another's"],
)
def test_one_that_cannot_be_read_is_named_and_hides_no_other(
    config: Config, tmp_path: Path, text: str | None
) -> None:
    kept = keep(config, tmp_path / "data", "run2", 1)
    path = config.state / "journal/run1.kept"
    path.write_text((config.state / "journal/run2.kept").read_text() if text is None else text)
    found = records(config.state)
    assert found.kept == (kept,)
    assert len(found.unreadable) == 1
    assert str(path) in found.unreadable[0]


@pytest.mark.parametrize("field", ["at", "until"])
@pytest.mark.parametrize("time", ["tomorrow", "2026-01-01T00:00:00"])
def test_a_time_that_means_nothing_is_no_time(config: Config, tmp_path: Path, field: str, time: str) -> None:
    kept = keep(config, tmp_path / "data", "run1", 1)
    path = config.state / "journal/run1.kept"
    path.write_text(path.read_text().replace(getattr(kept, field), time))
    assert len(records(config.state).unreadable) == 1


def test_the_newest_or_one_by_the_beginning_of_its_name(config: Config, tmp_path: Path) -> None:
    for number in range(3):
        keep(config, tmp_path / f"data{number}", f"2026010{number}T", 1)
    assert find(config.state, "latest").run == "20260102T"
    assert find(config.state, "20260100").run == "20260100T"
    with pytest.raises(UsageError, match="matches 3 runs"):
        find(config.state, "2026")
    with pytest.raises(PreflightError, match="No former data is kept of a run 1999"):
        find(config.state, "1999")


def test_only_a_run_that_replaced_more_overtakes(config: Config, tmp_path: Path) -> None:
    kept = keep(config, tmp_path / "data", "run1", 1)
    overtake(config.state, "run2", kept.targets)
    assert records(config.state).kept[0].overtaken == ""
    overtake(config.state, "run2", kept.targets | {"/other"})
    overtake(config.state, "run3", kept.targets | {"/other"})
    assert records(config.state).kept[0].overtaken == "run2"


def test_what_is_past_its_time_goes_but_for_what_is_spared(config: Config, tmp_path: Path) -> None:
    old, spared, young = (
        keep(config, tmp_path / name, name, days) for name, days in (("old", -1), ("spared", -1), ("young", 1))
    )
    dropping.drop_expired(config, SilentObserver(), spare="spared")
    assert set(records(config.state).kept) == {spared, young}
    assert not Path(old.folders[0].folder).exists()


def test_what_cannot_be_dropped_stays_on_record_and_stops_no_run(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(config, tmp_path / "data", "run1", -1)
    told: list[str] = []
    observer = SilentObserver()
    monkeypatch.setattr(observer, "note", told.append)

    def refuse(path: Path) -> None:
        raise PropolisError("refused")

    monkeypatch.setattr(clone, "drop_aside", refuse)
    dropping.drop_expired(config, observer)
    (half,) = records(config.state).kept
    assert half.dropping
    assert "it could not be deleted: refused" in "".join(told)


@pytest.mark.parametrize("command", ["run", "clean"])
def test_a_signal_ends_the_dropping(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for name in ("run1", "run2"):
        keep(config, tmp_path / name, name, -1)

    def interrupt(path: Path) -> None:
        raise Interrupted("Interrupted by SIGINT")

    monkeypatch.setattr(clone, "drop_aside", interrupt)
    with pytest.raises(Interrupted):
        if command == "run":
            dropping.drop_expired(config, SilentObserver())
        else:
            cleaning.clean(config, SilentObserver(), lambda state, observer: None)
    assert [kept.dropping for kept in records(config.state).kept] == [True, False]


def test_what_a_folder_occupies_counts_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"x" * 50_000)
    (tmp_path / "sub/b").hardlink_to(tmp_path / "a")
    (tmp_path / "marker").write_bytes(b"x" * 50_000)
    one = (tmp_path / "a").stat().st_blocks * 512
    found = occupied(tmp_path, leave_out="marker")
    assert found.files == 2
    assert one <= found.bytes < 2 * one


def test_an_undo_sees_the_stack_as_the_run_did(config: Config, tmp_path: Path) -> None:
    """It was restored `--without minio`, into the bucket: there the former objects are."""
    minio = MinioConfig(url="http://127.0.0.1:9002", data=(tmp_path / "minio",))
    config = config.model_copy(update={"minio": minio, "files": S3Files(bucket="b")})
    kept = keep(config, tmp_path / "data", "run1", 1)
    assert settled(UndoRequest(config, "latest"))[0].target.minio == minio
    record(config.state, msgspec.structs.replace(kept, without=("minio",)))
    request, found = settled(UndoRequest(config, "run"))
    assert (request.run, found.without) == ("run1", ("minio",))
    assert request.target.minio is None
    assert [tree.name for tree in buckets(request.target)] == ["files/bucket"]
