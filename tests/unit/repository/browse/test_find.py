"""A file is found in every backup that has it, by its name or by its content, and nowhere else."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.errors import RepositoryError
from propolis.filesystem.paths import shown
from propolis.repository import BackupId, Facts, Identity, Repository, begin
from propolis.repository.browse.find import FindResult, Name, find_name, find_segments
from propolis.repository.browse.sums import with_sum
from unit.repository.browse.test_diff import Bucket
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import TREE, Vault

HOST, RECOVERY = Identity.generate(), Identity.generate()
EMPTY = MemoryStorage()
Repository.create(EMPTY, [RECOVERY.recipient], HOST, segment_bytes=256 << 10)


def told(result: FindResult) -> dict[str, list[tuple[BackupId, BackupId, int, int]]]:
    return {
        f"{file.tree}/{os.fsdecode(file.path)}": [
            (run.oldest, run.newest, run.backups, run.size) for run in file.runs
        ]
        for file in result.files
    }


def look(vault: Vault, text: str, **options: Any) -> FindResult:
    return find_name(vault.host, vault.host.backups(damaged=[]), text, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "3f").mkdir(parents=True)
    (made / "3f" / "report.pdf").write_bytes(b"one")
    (made / "report.pdf.txt").write_bytes(b"a longer one")
    return made


def test_backups_with_the_same_content_are_one_run(vault: Vault, folder: Path) -> None:
    ids = [vault.backup(folder).id for _ in range(3)]
    (folder / "3f" / "report.pdf").write_bytes(b"another")
    ids += [vault.backup(folder).id for _ in range(2)]
    (folder / "3f" / "report.pdf").unlink()
    ids.append(vault.backup(folder).id)
    (folder / "3f" / "report.pdf").write_bytes(b"one")
    ids += [vault.backup(folder).id for _ in range(2)]
    found = look(vault, "report.pdf")
    assert (found.how, found.searched, found.left_out) == ("name", 8, 0)
    assert told(found) == {
        f"{TREE}/3f/report.pdf": [(ids[6], ids[7], 2, 3), (ids[3], ids[4], 2, 7), (ids[0], ids[2], 3, 3)]
    }
    # The content that came back is the first one.
    assert [run.content == found.files[0].runs[0].content for run in found.files[0].runs] == [True, False, True]


def test_a_name_is_found_exactly_by_a_pattern_or_by_its_beginning(vault: Vault, folder: Path) -> None:
    vault.backup(folder)
    one, other = f"{TREE}/3f/report.pdf", f"{TREE}/report.pdf.txt"
    for text, how, names in [
        ("report.pdf", "name", {one}),
        ("report.pdf.t", "beginning", {other}),
        ("repo", "beginning", {one, other}),
        ("rep", "name", set()),  # too short for a beginning
        ("report.*", "name", {one, other}),
        ("*.pdf", "name", {one}),
        ("r?port.pdf", "name", {one}),
        ("[r]eport.pdf.*", "name", {other}),
        ("[]r]eport.pdf", "name", {one}),
        ("[!r]eport.pdf", "name", set()),
        ("3f", "name", set()),  # a folder
        ("eport.pdf", "name", set()),
        ("*", "name", {one, other}),
    ]:
        found = look(vault, text)
        assert set(told(found)) == names, text
        assert found.how == (how if names else "name"), text


@given(
    names=st.lists(
        st.binary(min_size=1, max_size=6).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")),
        min_size=1,
        max_size=4,
        unique=True,
    ).filter(lambda names: not {b".", b".."} & set(names)),
    wanted=st.integers(0, 3),
)
@settings(max_examples=40)
def test_any_name_is_found_as_it_is_shown(
    tmp_path_factory: pytest.TempPathFactory, names: list[bytes], wanted: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x")
    repository = Repository(MemoryStorage(EMPTY.objects), [HOST])
    with begin(repository, "hive", workers=1) as writer:
        writer.add_folder("files", TREE, folder, Path("/original"))
        writer.commit(Facts())
    name = names[wanted % len(names)]
    found = find_name(repository, repository.backups(), shown(name))
    assert name in [file.path for file in found.files]


def test_a_further_name_of_a_file_and_a_link_are_found_with_what_they_hold(vault: Vault, folder: Path) -> None:
    os.link(folder / "3f" / "report.pdf", folder / "z-name")
    (folder / "z-link").symlink_to("report.pdf.txt")
    id = vault.backup(folder).id
    assert told(look(vault, "z-name")) == {f"{TREE}/z-name": [(id, id, 1, 3)]}
    assert told(look(vault, "z-link")) == {f"{TREE}/z-link": [(id, id, 1, 0)]}
    one, other = look(vault, "z-name").files[0], look(vault, "report.pdf").files[0]
    assert one.runs[0].content == other.runs[0].content


def test_stores_and_a_limit_narrow_it_and_what_is_left_out_is_counted(vault: Vault, folder: Path) -> None:
    for number in range(9):
        (folder / f"many-{number}").write_bytes(b"x")
    with begin(vault.host, "hive") as writer:
        writer.add_folder("config", "config/thehive", folder, Path("/original"))
        writer.add_folder("files", TREE, folder, Path("/original"))
        writer.commit(Facts())
    vault.backup(folder)
    found = look(vault, "many-*", limit=4)
    assert len(found.files) == 4
    assert found.left_out == 14
    assert {file.tree for file in look(vault, "many-*", stores=("config",)).files} == {"config/thehive"}


def test_runs_of_one_stack_are_not_cut_by_backups_of_another(vault: Vault, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    mine = []
    for _ in range(3):
        mine.append(vault.backup(folder).id)
        with begin(vault.host, "other") as writer:
            writer.add_folder("files", TREE, tmp_path / "other", Path("/original"))
            writer.commit(Facts())
    [file] = look(vault, "report.pdf").files
    assert (file.stack, told(look(vault, "report.pdf"))) == (
        "hive",
        {f"{TREE}/3f/report.pdf": [(mine[0], mine[2], 3, 3)]},
    )


def test_a_damaged_backup_is_named_and_the_others_are_looked_through(vault: Vault, folder: Path) -> None:
    ids = [vault.backup(folder).id for _ in range(3)]
    backups = vault.host.backups()
    names = dict(vault.host.names())
    (path,) = vault.folder.glob(names[ids[1]])
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-10])
    found = find_name(vault.host, backups, "report.pdf")
    assert [finding.object for finding in found.damaged] == [names[ids[1]]]
    assert found.searched == 2
    assert told(found) == {f"{TREE}/3f/report.pdf": [(ids[0], ids[2], 2, 3)]}


@pytest.mark.parametrize(
    ("name", "needle"),
    [
        (Name("report.pdf"), b"report.pdf"),
        (Name("a*bcd?"), b"bcd"),
        (Name("[abc]defgh"), b""),
        (Name("ab[cd]efgh*"), b"ab"),
        (Name("a\\x0ab"), b""),
        (Name("é"), rb"\0303\0251"),
        (Name("-"), b"-"),
    ],
)
def test_lines_are_told_apart_by_what_every_match_has(name: Name, needle: bytes) -> None:
    assert name.needle() == needle


# -- by content --------------------------------------------------------------------------------------------------


def by_content(vault: Vault, data: bytes, stores: tuple[str, ...] = ("files",)) -> FindResult:
    backups, result = vault.full.backups(), FindResult("", "content", 0, [])
    found = with_sum(vault.full, backups, hashlib.sha256(data).hexdigest(), stores, result)
    if found:
        find_segments(vault.full, backups, found, result, stores)
    return result


def test_content_is_found_by_its_sum_whatever_it_is_called(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    contents = {
        "small": b"small",
        "exact": bytes(range(256)) * 4096,
        "large": os.urandom((3 << 20) + 5),
        "zeros": bytes(100_000),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        (folder / f"same as {name}").write_bytes(data)
    with (folder / "holes").open("wb") as file:
        file.write(b"begin")
        file.truncate(2 << 20)
        file.seek(5 << 20)
        file.write(b"end")
    ids = [vault.backup(folder).id, vault.backup(folder).id]
    for name, data in contents.items():
        found = by_content(vault, data)
        assert told(found) == {
            f"{TREE}/{each}": [(ids[0], ids[1], 2, len(data))] for each in (name, f"same as {name}")
        }
        # Every different content was read once at most.
        assert found.contents_read <= len(contents) + 1
    assert list(told(by_content(vault, (folder / "holes").read_bytes()))) == [f"{TREE}/holes"]
    assert told(by_content(vault, b"nowhere")) == {}
    assert by_content(vault, b"small", ("config",)).files == []


def test_objects_are_found_by_their_content(vault: Vault) -> None:
    objects = {"a/b": b"first", "c": os.urandom(2_500_000)}
    with begin(vault.host, "hive") as writer:
        writer.add_bucket("files", "files/bucket", Bucket(objects), "s3://bucket")
        writer.commit(Facts())
    for key, data in objects.items():
        assert list(told(by_content(vault, data))) == [f"files/bucket/{key}"]


def test_the_content_needs_the_recovery_key(vault: Vault, folder: Path) -> None:
    vault.backup(folder)
    with pytest.raises(RepositoryError, match="can't read the data"):
        with_sum(vault.host, vault.host.backups(), "00" * 32, ("files",), FindResult("", "content", 0, []))


def test_damaged_packs_are_named_and_the_others_are_read(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    datas = [os.urandom(900_000) for _ in range(3)]
    for number, data in enumerate(datas):
        (folder / str(number)).write_bytes(data)
    vault.backup(folder)
    packs = vault.objects("packs")
    assert len(packs) == 3
    packs[0].chmod(0o600)
    packs[0].write_bytes(packs[0].read_bytes()[:-50] + bytes(50))
    results = [by_content(vault, data) for data in datas]
    assert sorted(len(result.files) for result in results) == [0, 1, 1]
    [lost] = [result for result in results if not result.files]
    assert [finding.object for finding in lost.damaged] == [str(packs[0].relative_to(vault.folder))]


def test_other_stacks_and_runs_are_apart_in_every_order(vault: Vault, folder: Path) -> None:
    for stack, _ in itertools.product(("a", "b"), range(2)):
        with begin(vault.host, stack) as writer:
            writer.add_folder("files", TREE, folder, Path("/original"))
            writer.commit(Facts())
    assert [(file.stack, len(file.runs)) for file in look(vault, "report.pdf").files] == [("a", 1), ("b", 1)]
