"""Single files of a backup come out as a restore would bring them, or not at all."""
# ruff: noqa: PTH115, PTH211

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ordinary import ordinary_user, reachable_folder
from propolis.errors import IntegrityError, PropolisError, UsageError
from propolis.filesystem import moving
from propolis.filesystem.paths import given as meant
from propolis.filesystem.paths import shown
from propolis.repository import Facts, Identity, Location, Manifest, Repository, begin
from propolis.repository.browse import extract as extracting
from propolis.repository.browse.choose import Chosen, glob, suggestions
from propolis.repository.browse.extract import STAGING, ExtractResult, choose, extract
from propolis.repository.format.entries import Header, TreeHeader, format_entry
from propolis.s3.objects import ObjectMeta
from unit.repository.browse.test_diff import Bucket
from unit.repository.format.test_hostile import CONTENT, KEYS, TARGETS, Evil, entry, hostile_entries, world
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import TREE, Vault, fill, snapshot


def out_of(vault: Vault, manifest: Manifest, to: Path, *paths: str) -> ExtractResult:
    return extract(vault.full, choose(manifest, paths, to))


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(str(path.relative_to(folder)) for path in found)


# -- the same as a restore ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Vault, Manifest, Path]]:
    """A backup of many kinds of files, and what a restore makes of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = fill(folder / "source")
        os.link(source / "deep" / "large", source / "deep" / "er" / "another name")
        os.link(source / "text", source / "zz")
        host, recovery = Identity.generate(), Identity.generate()
        location = Location(str(folder / "vault"))
        opened = Repository.init(location, [recovery.recipient], host, segment_bytes=1 << 20)
        vault = Vault(folder / "vault", host, recovery, opened, Repository.open(location, [recovery]))
        summary = vault.backup(source)
        vault.restore(summary, folder / "restored", owner=lambda entry: None)
        yield vault, vault.full.manifest(summary.id), folder / "restored"


def chosen_of(manifest: Manifest, path: bytes) -> str:
    return shown(f"{TREE}/".encode() + path) if path != b"." else TREE


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_files_come_out_as_a_restore_brings_them(filled: Any, data: Any) -> None:
    vault, manifest, restored = filled
    entries = list(manifest.entries())
    picked = data.draw(st.lists(st.sampled_from(entries), min_size=1, max_size=5, unique_by=lambda item: item.path))
    whole = snapshot(restored)
    wanted = {
        path for path in whole for item in picked if item.path in (b".", path) or path.startswith(item.path + b"/")
    }
    with tempfile.TemporaryDirectory() as name:
        to = Path(name, "out")
        result = out_of(vault, manifest, to, *(chosen_of(manifest, item.path) for item in picked))
        found = snapshot(to / TREE)
    kept = {path: found[path] for path in found if path in wanted}
    assert kept == {path: whole[path] for path in wanted}
    # Beside them there are only the folders above them, as they were.
    assert all(
        any(path.startswith(above + b"/") for path in wanted) or above == b"." for above in found.keys() - wanted
    )
    assert {path: found[path] for path in found.keys() - wanted} == {
        path: whole[path] for path in found.keys() - wanted
    }
    assert result.files == sum(item.type == "f" for item in entries if item.path in wanted) + len(
        # Of a file only further names of which were chosen, the first of these is the file.
        {item.extra for item in entries if item.type == "h" and item.path in wanted and item.extra not in wanted}
    )


def test_a_further_name_of_a_file_brings_its_content(filled: Any, tmp_path: Path) -> None:
    vault, manifest, restored = filled
    names = {item.path for item in manifest.entries() if item.type == "h"}
    assert names
    for name in names:
        to = tmp_path / name.hex()
        out_of(vault, manifest, to, chosen_of(manifest, name))
        path = os.fsdecode(name)
        assert files(to) == [f"{TREE}/{path}"]
        assert (to / TREE / path).read_bytes() == (restored / path).read_bytes()


def test_only_the_packs_that_are_needed_are_read(filled: Any, tmp_path: Path) -> None:
    vault, manifest, _ = filled
    result = out_of(vault, manifest, tmp_path / "out", f"{TREE}/text")
    assert result.packs == 1 < len(vault.objects("packs"))


# -- what a path means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "means", "means_not"),
    [
        ("a/b", ["a/b", "a/b/c", "a/b/c/d"], ["a/bc", "a", "x/a/b"]),
        ("a/b/", ["a/b", "a/b/c"], ["a/bc"]),
        ("a/*.log", ["a/x.log", "a/.log", "a/x.log/inside"], ["a/b/x.log", "a/x.logs"]),
        ("a/**/x", ["a/b/x", "a/b/c/x", "a/b/x/y"], ["a/x", "ab/x"]),
        ("**/x", ["a/x", "a/b/x"], ["x"]),
        ("a/?", ["a/b", "a/b/c"], ["a/bc", "a/"]),
        ("a/[bc]d", ["a/bd", "a/cd"], ["a/dd", "a/[bc]"]),
        ("a/[!b]d", ["a/cd"], ["a/bd"]),
        ("a/[]x]", ["a/]", "a/x"], ["a/y"]),
        ("a/[b", ["a/[b"], ["a/b"]),
        ("a/x*", ["a/x*", "a/xy"], ["a/y"]),
        ("a/(b|c)+", ["a/(b|c)+"], ["a/b", "a/bb"]),
    ],
)
def test_a_path_means_a_file_a_folder_or_a_pattern(text: str, means: list[str], means_not: list[str]) -> None:
    chosen = Chosen(text)
    assert [label for label in means if not chosen.means(label.encode())] == []
    assert [label for label in means_not if chosen.means(label.encode())] == []


def test_a_name_that_looks_like_a_pattern_is_found_as_it_is(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for name in ("[x]", "x", "a*", "ab"):
        (tmp_path / "source" / name).write_text(name)
    manifest = vault.full.manifest(vault.backup(tmp_path / "source").id)
    out_of(vault, manifest, tmp_path / "out", f"{TREE}/[x]")
    assert files(tmp_path / "out") == [f"{TREE}/[x]", f"{TREE}/x"]


def test_a_pattern_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not a pattern"):
        glob(b"[z-a]")


@given(path=st.binary(min_size=1, max_size=20).filter(lambda path: b"\0" not in path))
def test_what_is_shown_of_a_path_is_harmless_and_means_it(path: bytes) -> None:
    text = shown(path)
    assert text.isprintable()
    assert meant(text) == path
    assert Chosen(text.rstrip("/") or "x").means(path) or path.endswith(b"/")


@pytest.mark.parametrize(
    ("text", "like"),
    [
        (f"{TREE}/txt", [f"{TREE}/text"]),
        (f"{TREE}/deep/lareg", [f"{TREE}/deep/large"]),
        (f"{TREE}/deep/er/0001", [f"{TREE}/deep/er/001"]),
        (f"{TREE}/dep/er/001", [f"{TREE}/deep", f"{TREE}/deep-er"]),
        ("deep/large", [f"{TREE}/deep/large"]),
        ("/original/deep/large", [f"{TREE}/deep/large"]),
        ("files/attachment/text", [f"{TREE}/text"]),
        ("nothing like it", []),
    ],
)
def test_a_mistyped_path_is_told_what_may_be_meant(filled: Any, text: str, like: list[str]) -> None:
    _, manifest, _ = filled
    found = suggestions(manifest, [Chosen(text)])
    assert found[: len(like)] == like
    assert bool(found) == bool(like)


def test_what_the_backup_lacks_is_told_and_the_rest_is_written(filled: Any, tmp_path: Path) -> None:
    vault, manifest, _ = filled
    chosen = choose(manifest, [f"{TREE}/nope", f"{TREE}/text"], tmp_path / "out")
    assert [one.text for one in chosen.missing] == [f"{TREE}/nope"]
    assert extract(vault.full, chosen).files == 1
    assert files(tmp_path / "out") == [f"{TREE}/text"]


# -- the target --------------------------------------------------------------------------------------------------


def test_files_are_added_to_a_folder_and_never_replace_any(filled: Any, tmp_path: Path) -> None:
    vault, manifest, restored = filled
    out_of(vault, manifest, tmp_path / "out", f"{TREE}/deep/er/001")
    (tmp_path / "out" / "mine").write_text("mine")
    out_of(vault, manifest, tmp_path / "out", f"{TREE}/deep/er/002", f"{TREE}/text")
    assert files(tmp_path / "out") == [*(f"{TREE}/{name}" for name in ("deep/er/001", "deep/er/002", "text")), "mine"]
    before = snapshot(tmp_path / "out")
    with pytest.raises(PropolisError, match=r"has these files already: .*deep/er/001") as caught:
        out_of(vault, manifest, tmp_path / "out", f"{TREE}/deep")
    assert "Nothing was written" in str(caught.value)
    assert snapshot(tmp_path / "out") == before
    assert (restored / "text").read_bytes() == (tmp_path / "out" / TREE / "text").read_bytes()


@pytest.mark.parametrize("helped", [True, False])
def test_a_file_that_comes_meanwhile_is_not_replaced(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helped: bool
) -> None:
    vault, manifest, _ = filled
    if not helped:  # as on a file system that knows no rename without replacing
        monkeypatch.setattr(moving, "_UNSUPPORTED", range(200))
        monkeypatch.setattr(moving._libc, "renameat2", lambda *_: -1, raising=False)
    to = tmp_path / "out"
    out_of(vault, manifest, to, f"{TREE}/deep/er/001")
    chosen = choose(manifest, [f"{TREE}/deep/er/002", f"{TREE}/-", f"{TREE}/text"], to)
    (to / TREE / "text").write_text("somebody's")
    before = snapshot(to)
    with pytest.raises(PropolisError, match=r"has these files already: .*text"):
        extract(vault.full, chosen)
    # Others that had got their names by then have gone again.
    after = snapshot(to)
    assert {path: item[4] for path, item in after.items()} == {path: item[4] for path, item in before.items()}


@pytest.mark.parametrize("helped", [True, False])
def test_all_get_their_names_whatever_the_file_system_helps_with(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helped: bool
) -> None:
    vault, manifest, restored = filled
    if not helped:
        monkeypatch.setattr(moving, "_UNSUPPORTED", range(200))
        monkeypatch.setattr(moving._libc, "renameat2", lambda *_: -1, raising=False)
    out_of(vault, manifest, tmp_path / "out", f"{TREE}/deep/er/001", f"{TREE}/link")
    out_of(vault, manifest, tmp_path / "out", f"{TREE}/deep/er/0[0-3]?.", f"{TREE}/deep/large", f"{TREE}/text")
    assert (tmp_path / "out" / TREE / "deep/large").read_bytes() == (restored / "deep/large").read_bytes()
    assert (tmp_path / "out" / TREE / "link").is_symlink()
    assert not list((tmp_path / "out").glob(f"{STAGING}*"))


def test_a_link_in_the_target_is_not_followed(filled: Any, tmp_path: Path) -> None:
    vault, manifest, _ = filled
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "files").symlink_to(tmp_path / "outside")
    with pytest.raises(PropolisError, match="has these files already: files"):
        out_of(vault, manifest, tmp_path / "out", f"{TREE}/text")
    assert files(tmp_path / "outside") == []
    assert files(tmp_path / "out") == ["files"]


@pytest.mark.parametrize("kind", ["file", "link to a folder", "broken link"])
def test_a_target_that_is_no_folder_is_refused(filled: Any, tmp_path: Path, kind: str) -> None:
    vault, manifest, _ = filled
    to = tmp_path / "out"
    if kind == "file":
        to.write_text("x")
    else:
        to.symlink_to(tmp_path if kind == "link to a folder" else tmp_path / "nowhere")
    with pytest.raises(PropolisError, match="is not a folder"):
        out_of(vault, manifest, to, f"{TREE}/text")


def test_who_may_not_write_there_is_told_and_nothing_is_made() -> None:
    with reachable_folder() as folder:
        (folder / "source").mkdir()
        (folder / "source" / "file").write_text("x")
        host = Identity.generate()
        location = Location(str(folder / "vault"))
        Repository.init(location, [host.recipient], host)
        full = Repository.open(location, [host])
        with begin(full, "hive") as writer:
            writer.add_folder("files", TREE, folder / "source", Path("/original"))
            summary = writer.commit(Facts())
        manifest = full.manifest(summary.id)
        (folder / "closed").mkdir(mode=0o755)
        for path in [folder / "vault", *(folder / "vault").rglob("*")]:
            path.chmod(0o755)
        with ordinary_user():
            for to in (folder / "closed", folder / "closed" / "new" / "er"):
                with pytest.raises(PropolisError, match=r"can't be written to .*Permission denied"):
                    extract(full, choose(manifest, [TREE], to))
        assert list((folder / "closed").iterdir()) == []


def test_others_than_root_extract_folders_that_are_closed_to_writing(tmp_path: Path) -> None:
    with reachable_folder() as folder:
        (folder / "source" / "inner").mkdir(parents=True)
        (folder / "source" / "inner" / "file").write_text("x")
        (folder / "source" / "inner").chmod(0o555)
        (folder / "source").chmod(0o555)
        host = Identity.generate()
        location = Location(str(folder / "vault"))
        Repository.init(location, [host.recipient], host)
        full = Repository.open(location, [host])
        with begin(full, "hive") as writer:
            writer.add_folder("files", TREE, folder / "source", Path("/original"))
            manifest = full.manifest(writer.commit(Facts()).id)
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        for path in [folder / "vault", *(folder / "vault").rglob("*")]:
            path.chmod(0o755)
        with ordinary_user():
            (folder / "open" / "out" / "files" / "attachments").mkdir(parents=True)
            extract(full, choose(manifest, [f"{TREE}/inner"], folder / "open" / "out"))
        found = folder / "open" / "out" / TREE / "inner"
        assert found.stat().st_mode & 0o7777 == 0o555
        assert (found / "file").read_text() == "x"
        assert files(folder / "open" / "out") == [f"{TREE}/inner/file"]


# -- damage, a full disk, a kill ---------------------------------------------------------------------------------


def test_a_damaged_pack_is_named_and_nothing_is_written(filled: Any, tmp_path: Path) -> None:
    vault, manifest, _ = filled
    originals = {pack: pack.read_bytes() for pack in vault.objects("packs")}
    try:
        for pack, data in originals.items():
            pack.write_bytes(data[:-100] + bytes(100))
        with pytest.raises(IntegrityError, match=r"packs/.* is damaged"):
            out_of(vault, manifest, tmp_path / "new" / "out", f"{TREE}/deep", f"{TREE}/text")
        assert not (tmp_path / "new").exists()
        (tmp_path / "there").mkdir()
        with pytest.raises(IntegrityError, match=r"packs/.* is damaged"):
            out_of(vault, manifest, tmp_path / "there", f"{TREE}/deep")
        assert list((tmp_path / "there").iterdir()) == []
    finally:
        for pack, data in originals.items():
            pack.write_bytes(data)


@pytest.mark.parametrize("at", ["restore_folder", "_merge", "move_new", "sync_filesystem"])
def test_an_interrupted_extract_leaves_nothing(
    filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    vault, manifest, _ = filled
    (tmp_path / "there").mkdir()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(extracting, at, interrupted)
    for to in (tmp_path / "new", tmp_path / "there"):
        with pytest.raises(KeyboardInterrupt):
            out_of(vault, manifest, to, f"{TREE}/deep", f"{TREE}/text")
    if at == "sync_filesystem":  # all have their names by then
        assert len(files(tmp_path / "there")) == len(files(tmp_path / "new")) > 1
        assert not list(tmp_path.glob(f"*/{STAGING}*"))
    else:
        assert files(tmp_path) == []
        assert not (tmp_path / "new").exists()


@contextlib.contextmanager
def files_end_at(count: int) -> Iterator[None]:
    """No file may become longer: writing more fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_full_disk_leaves_nothing(vault: Vault, source: Path, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        manifest = vault.full.manifest(vault.backup(source).id)
    else:
        with begin(vault.host, "hive") as writer:
            writer.add_bucket("files", TREE, Bucket({"a": b"x", "large": b"x" * 300_000}), "s3://bucket")
            manifest = vault.full.manifest(writer.commit(Facts()).id)
    chosen = choose(manifest, [TREE], tmp_path / "out")
    with files_end_at(100_000), pytest.raises(PropolisError, match=r"can't be written to .*File too large"):
        extract(vault.full, chosen)
    assert not (tmp_path / "out").exists()


_KILLED = """
import os, signal, sys
from pathlib import Path
from propolis.repository import Location, Repository, read_identities
from propolis.repository.browse import extract as extracting
name, count = sys.argv[4], int(sys.argv[5])
original = getattr(extracting, name)
seen = 0
def killed(*arguments, **options):
    global seen
    seen += 1
    if seen == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
setattr(extracting, name, killed)
repository = Repository.open(Location(sys.argv[1]), read_identities(Path(sys.argv[2])))
manifest = repository.manifest(repository.latest())
chosen = extracting.choose(manifest, ["files/attachments/deep", "files/attachments/text"], Path(sys.argv[3]))
extracting.extract(repository, chosen)
"""


@pytest.mark.parametrize("at", ["restore_folder", "_merge", "move_new", "sync_filesystem", "_remove"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_killed_extract_leaves_nothing_that_looks_finished(
    filled: Any, tmp_path: Path, at: str, count: int
) -> None:
    vault, _, restored = filled
    key = tmp_path / "key"
    key.write_text(vault.recovery_key.secret())
    key.chmod(0o600)
    to = tmp_path / "out"
    # So that what is extracted is merged into folders that are there.
    (to / TREE / "deep").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(vault.folder), str(key), str(to), at, str(count)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (-signal.SIGKILL, 0), done.stderr
    staged = [path for path in to.iterdir() if path.name.startswith(STAGING)]
    is_over = done.returncode == 0 or at == "sync_filesystem"  # which comes last of all
    assert len(staged) == (not is_over)
    whole = snapshot(restored)
    for path in (to / TREE).rglob("*"):
        if not path.is_dir():
            relative = os.fsencode(path.relative_to(to / TREE))
            assert snapshot_of(path) == whole[relative][4], path
    # The next one isn't in its way, and says what lies there.
    if staged:
        result = out_of(vault, vault.full.manifest(vault.full.latest()), to, f"{TREE}/nothing")
        assert result.leftovers == tuple(str(path) for path in staged)


def snapshot_of(path: Path) -> bytes:
    return os.readlink(os.fsencode(path)) if path.is_symlink() else path.read_bytes()


# -- buckets -----------------------------------------------------------------------------------------------------


def test_objects_become_files_and_keys_that_cannot_be_names_are_told(vault: Vault, tmp_path: Path) -> None:
    good = {"a/b/c": b"one", "a/d": b"two", "e": b"", "é\n": b"three", "large": bytes(range(256)) * 9000}
    bad = {"../up": b"x", "/root": b"x", "x//y": b"x", "ends/": b"x", "e/below a file": b"x", "n" * 256: b"x"}
    with begin(vault.host, "hive") as writer:
        writer.add_bucket("files", "files/bucket", Bucket(good | bad), "s3://bucket")
        manifest = vault.full.manifest(writer.commit(Facts()).id)
    result = out_of(vault, manifest, tmp_path / "out", "files")
    root = tmp_path / "out" / "files/bucket"
    assert {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()} == good
    assert all(path.stat().st_mtime_ns == 10**18 for path in root.rglob("*") if path.is_file())
    assert sorted(result.unnamable) == sorted(f"files/bucket/{key}" for key in bad)
    assert result.files == len(good)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"] or {path.name for path in tmp_path.iterdir()} == {
        "out",
        "vault",
    }


# -- who means harm ----------------------------------------------------------------------------------------------


@given(entries=hostile_entries(), ordered=st.booleans(), targets=st.lists(TARGETS, max_size=2))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_manifest_reaches_outside_of_the_target(entries: Any, ordered: bool, targets: Any) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    segment = evil.pack(CONTENT)
    made = [msgspec.structs.replace(item, segments=item.segments.replace(b"S", segment.encode())) for item in entries]
    if ordered:
        made.sort(key=lambda item: item.path)
    evil.manifest([entry("d", b"."), entry("d", b"dir"), *made])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "outside").write_bytes(b"not yours")
        (folder / "target").mkdir()
        for number, target in enumerate(targets):  # links that lead elsewhere lie there already
            with contextlib.suppress(OSError, ValueError):
                os.symlink(target, os.fsencode(folder / "target") + b"/" + (b"files", b"link")[number])
        before = [item for item in world(folder) if not item[0].startswith(str(folder / "target"))]
        repository = Repository(storage, [KEYS.recovery])
        [(id, _)] = repository.names()
        with contextlib.suppress(PropolisError):
            extract(repository, choose(repository.manifest(id), ["files/*", "**", "dir"], folder / "target"))
        assert [item for item in world(folder) if not item[0].startswith(str(folder / "target"))] == before
        for path in (folder / "target").rglob("*"):
            assert path.is_symlink() or not path.lstat().st_mode & 0o6000 or path.is_dir()


@pytest.mark.parametrize("name", ["../up", "/etc", "files/../../up", "a//b", "files/" + "x" * 300])
def test_a_tree_whose_name_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    segment = evil.pack(CONTENT)
    made = [entry("d", b"."), entry("f", b"x", size=len(CONTENT), segments=segment)]
    tree = TreeHeader(name, "files", "folder", "/original", 2, 1, len(CONTENT))
    ended = "2026-01-01T00:00:00Z"
    header = Header(1, "hive", "cold", "host", ended, ended, "0", None, {}, [tree])
    lines = [format_entry(msgspec.structs.replace(item, tree=name)) for item in made]
    evil.lines("manifest", msgspec.json.encode(header), lines)
    [(id, _)] = evil.repository.names()
    with pytest.raises(IntegrityError, match="The backup's tree"):
        extract(evil.repository, choose(evil.repository.manifest(id), ["**"], tmp_path / "in" / "out"))
    assert list(tmp_path.iterdir()) == []


def test_an_entry_of_no_tree_is_refused(tmp_path: Path) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    evil.manifest([entry("d", b"."), msgspec.structs.replace(entry("f", b"x"), tree="no/tree")])
    [(id, _)] = evil.repository.names()
    manifest = evil.repository.manifest(id)
    with pytest.raises(IntegrityError, match="no/tree/x belongs to no tree"):
        choose(manifest, ["no"], tmp_path / "out")
    assert suggestions(manifest, [Chosen("/x")]) == ["no/tree/x"]


def test_a_sink_takes_no_key_twice(tmp_path: Path) -> None:
    with extracting.FolderSink(tmp_path) as sink:
        sink.put(ObjectMeta("a/b", 1), [b"x"])
        with pytest.raises(PropolisError, match="File exists"):
            sink.put(ObjectMeta("a/b", 1), [b"y"])
    assert (tmp_path / "a/b").read_bytes() == b"x"
