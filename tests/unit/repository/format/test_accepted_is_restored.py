"""Whatever the writer accepts, the reader restores identically; what no reader takes is never called whole."""

import contextlib
import errno
import os
import random
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import IncompleteError, IntegrityError, PropolisError, RepositoryError
from propolis.repository import Entry, Facts, Identity, Repository, restore_folder, verify
from propolis.repository.format import rules
from propolis.repository.format.entries import (
    Header,
    TreeHeader,
    format_attributes,
    format_entry,
    hole,
    order,
    parse_entry,
)
from propolis.repository.format.names import hash_name
from propolis.repository.format.text import TextWriter
from propolis.repository.maintenance.check import ReadData, check
from propolis.repository.maintenance.prune import prune
from propolis.repository.maintenance.repair import repair
from propolis.repository.records.marks import read_marks, record_verification
from propolis.repository.write.begin import begin
from propolis.s3.objects import ObjectMeta
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import TREE, Vault

HOST, RECOVERY = Identity.generate(), Identity.generate()
EMPTY = MemoryStorage()
Repository.create(EMPTY, [RECOVERY.recipient], HOST, segment_bytes=256 << 10)


def new_storage() -> MemoryStorage:
    return MemoryStorage(EMPTY.objects)


# -- real files ------------------------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.binary(min_size=1, max_size=8).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")),
    st.sampled_from(
        [b"-", b"\\", b"\t", b"\n", b" ", b"...", b"x" * 255, b"\xff\xfe", "é".encode(), b"\\0055", b"a,b=c"]
    ),
).filter(lambda name: name not in (b".", b".."))
TIMES = st.one_of(
    st.integers(-(1 << 63) * 10**9, (1 << 63) * 10**9 - 1),
    st.integers(-(2**31) * 10**9, 2**34 * 10**9),
    st.sampled_from([-1, 0, 1, (1 << 63) - 1, 1 << 63, 10_413_792_000 * 10**9]),
)
IDS = st.integers(0, 2**32 - 2) | st.sampled_from([0, 1, 1000, 65534, 2**31, 2**32 - 2])
VALUES = st.binary(max_size=40) | st.just(bytes(3000))
USERS = st.dictionaries(
    st.binary(min_size=1, max_size=12).map(lambda raw: b"user." + raw.replace(b"\0", b"_")), VALUES, max_size=3
)
BITS = st.integers(0, 7)
NO_ONE = (1 << 32) - 1


@st.composite
def lists(draw: Any) -> bytes:
    named = draw(st.dictionaries(st.tuples(st.sampled_from([2, 8]), IDS), BITS, min_size=1, max_size=3))
    grants = [
        (1, draw(BITS), NO_ONE),
        (4, draw(BITS), NO_ONE),
        (0x10, draw(BITS), NO_ONE),
        (0x20, draw(BITS), NO_ONE),
    ]
    grants += [(kind, rights, number) for (kind, number), rights in named.items()]
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *grant) for grant in sorted(grants, key=lambda g: (g[0], g[2]))
    )


CONTENTS = st.one_of(
    st.tuples(st.binary(max_size=50)),
    st.lists(st.sampled_from([b"", b"data" * 20_000, bytes(70_000), 70_000, 1 << 20, 5]), max_size=4).map(tuple),
    st.just((random.Random(1).randbytes(600_000),)),
)
"""Bytes, or how much to leave out as a hole, one after the other."""
ITEMS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from("ffffddlhp"),
        "content": CONTENTS,
        "target": st.binary(min_size=1, max_size=30).map(lambda raw: raw.replace(b"\0", b"x")) | st.just(b"y" * 4095),
        "mode": st.integers(0, 0o7777),
        "owner": st.tuples(IDS, IDS),
        "time": TIMES,
        "attributes": USERS,
        "list": st.none() | lists(),
        "handed_down": st.none() | lists(),
    }
)
FOLDERS = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), ITEMS), max_size=8)


def make(root: bytes, items: Any) -> None:
    """Make them as far as the file system lets us."""
    files: list[bytes] = []
    dress = []
    for names, item in items:
        path = os.path.join(root, *names)  # noqa: PTH118
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            if item["kind"] == "d":
                os.mkdir(path)  # noqa: PTH102
            elif item["kind"] == "l":
                os.symlink(item["target"], path)  # noqa: PTH211
            elif item["kind"] == "p":
                os.mkfifo(path)
            elif item["kind"] == "h" and files:
                os.link(files[-1], path)
            else:
                with open(path, "xb") as file:  # noqa: PTH123
                    for part in item["content"]:
                        file.write(part) if isinstance(part, bytes) else file.seek(part, os.SEEK_CUR)
                    file.truncate()
                files.append(path)
            dress.append((path, item))
    for path, item in reversed(dress):
        follow = not os.path.islink(path)  # noqa: PTH114
        os.chown(path, *item["owner"], follow_symlinks=False)
        for name, value in (item["attributes"] | {b"trusted.t": b"1"}).items() if follow else ():
            with contextlib.suppress(OSError):  # names that are no text, pipes
                os.setxattr(path, name, value)
        if follow:
            os.chmod(path, item["mode"])  # noqa: PTH101
            with contextlib.suppress(OSError):
                if item["list"]:
                    os.setxattr(path, b"system.posix_acl_access", item["list"])
                if item["handed_down"]:
                    os.setxattr(path, b"system.posix_acl_default", item["handed_down"])
        os.utime(path, ns=(0, item["time"]), follow_symlinks=False)


def holes(path: bytes) -> int:
    status = os.lstat(path)
    return max(0, status.st_size - status.st_blocks * 512)


def all_of(root: bytes) -> dict[bytes, Any]:
    """All that a restore has to bring back of each path."""
    found: dict[bytes, Any] = {}
    inodes: dict[int, set[bytes]] = {}
    for where, folders, files in os.walk(root):
        for name in [b".", *sorted(files), *(name for name in folders if os.path.islink(where + b"/" + name))]:  # noqa: PTH114
            path = os.path.normpath(where + b"/" + name)
            status = os.lstat(path)
            kept: Any = None
            if stat.S_ISLNK(status.st_mode):
                kept = os.readlink(path)  # noqa: PTH115
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:  # noqa: PTH123
                    kept = file.read(), holes(path) // (1 << 19)
            elif not stat.S_ISDIR(status.st_mode):
                continue
            names = [os.fsencode(attribute) for attribute in os.listxattr(path, follow_symlinks=False)]
            attributes = {
                attribute: os.getxattr(path, attribute, follow_symlinks=False)
                for attribute in names
                if not attribute.startswith((b"trusted.", b"security."))
            }
            bits = 0o7777 if stat.S_ISLNK(status.st_mode) else 0o3777 if stat.S_ISDIR(status.st_mode) else 0o1777
            found[os.path.relpath(path, root)] = (
                stat.S_IFMT(status.st_mode),
                status.st_mode & bits,
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                kept,
                attributes,
            )
            if stat.S_ISREG(status.st_mode):
                inodes.setdefault(status.st_ino, set()).add(os.path.relpath(path, root))
    for names_of_one in inodes.values():
        for path in names_of_one:
            found[path] += (frozenset(names_of_one),)
    return found


@pytest.mark.parametrize("base", ["/tmp", "/dev/shm"])  # two file systems that can hold different things
@given(items=FOLDERS, again=st.booleans())
@settings(max_examples=50, deadline=None)
def test_whatever_is_accepted_is_restored_identically(base: str, items: Any, again: bool) -> None:
    with tempfile.TemporaryDirectory(dir=base) as name:
        folder = Path(name)
        source = os.fsencode(folder / "source")
        os.mkdir(source)  # noqa: PTH102
        make(source, items)
        storage = new_storage()
        for _ in range(1 + again):
            with begin(Repository(storage, [HOST]), "hive", workers=1) as writer:
                writer.add_folder("files", TREE, folder / "source", Path("/original"))
                summary = writer.commit(Facts())
        assert not again or writer.stats.read == 0
        repository = Repository(storage, [RECOVERY])
        manifest = repository.manifest(summary.id)
        rules.check_entries(manifest.header, manifest.entries())
        assert verify(repository, summary.id, "full").findings == ()
        assert check(storage, [RECOVERY], read_data=ReadData()).findings == ()
        restore_folder(repository, manifest, TREE, folder / "out")
        assert all_of(os.fsencode(folder / "out")) == all_of(source)
        shutil.rmtree(folder / "source")


def test_what_no_reader_takes_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file system tells such things; if one did, it must not become a backup that can't be restored."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").touch()
    real = rules.bad_numbers
    monkeypatch.setattr(rules, "bad_numbers", lambda mode, *rest: real(mode | (1 << 12), *rest))
    with (
        pytest.raises(IncompleteError, match=r"source/file \(it has a mode of 1"),
        begin(Repository(new_storage(), [HOST]), "hive") as writer,
    ):
        writer.add_folder("files", TREE, tmp_path / "source", Path("/original"))
        writer.commit(Facts())


# -- entries in memory ----------------------------------------------------------------------------------------------

PIECES = st.lists(st.binary(min_size=32, max_size=32).map(lambda id: id.hex().encode()), max_size=3)


@st.composite
def sound(draw: Any) -> Entry:
    kind = draw(st.sampled_from("dfl"))
    attributes = dict(draw(USERS))
    if draw(st.booleans()):
        attributes[b"system.posix_acl_access"] = draw(lists())
    segments = draw(PIECES) if kind == "f" else []
    length = draw(st.integers(1, 1 << 62))
    if segments and draw(st.booleans()):
        segments.insert(draw(st.integers(0, len(segments))), hole(length))
    return Entry(
        kind,
        draw(st.integers(0, 0o7777)),
        draw(IDS),
        draw(IDS),
        draw(st.text(max_size=9)),
        draw(st.text(max_size=9)),
        draw(TIMES),
        draw(st.integers(1 << 62, (1 << 63) - 1)) if kind == "f" else 0,
        draw(st.integers(0, (1 << 64) - 1)),
        TREE,
        b"/".join(draw(st.lists(NAMES, min_size=1, max_size=1))),
        b",".join(segments),
        draw(ITEMS)["target"] if kind == "l" else b"",
        b"" if not attributes else format_attributes(tuple(sorted(attributes.items()))),
    )


def tree_of(entries: list[Entry]) -> TreeHeader:
    counted = rules.TreeRules(TreeHeader(TREE, "files", "folder", "/original", 0, 0, 0))
    for entry in entries:
        counted.take(entry)
    return TreeHeader(TREE, "files", "folder", "/o", counted.entries, counted.files, counted.bytes, counted.holes)


ROOT = Entry("d", 0o755, 0, 0, "", "", 0, 0, 0, TREE, b".", b"", b"")


@given(st.lists(sound(), max_size=5, unique_by=lambda entry: entry.path))
def test_what_keeps_the_rules_survives_its_line_and_keeps_them(made: list[Entry]) -> None:
    entries = [ROOT, *sorted(made, key=lambda entry: order(entry.path))]
    tree = tree_of(entries)
    again = [parse_entry(format_entry(entry), "x") for entry in entries]
    assert again == entries
    checked = rules.TreeRules(tree)
    for entry in again:
        checked.take(entry)
    checked.end()


FILE = Entry("f", 0o644, 0, 0, "", "", 0, 0, 0, TREE, b"file", b"", b"")
LINK = msgspec.structs.replace(FILE, type="h", path=b"link", extra=b"file")
TOO_MUCH = format_attributes(tuple((b"user.%02d" % number, bytes(60_000)) for number in range(20)))
BAD_LIST = struct.pack("<I", 2) + struct.pack("<HHI", 1, 7, NO_ONE)


def but(entry: Entry = FILE, **changes: Any) -> list[Entry]:
    return [ROOT, msgspec.structs.replace(entry, **changes)]


BROKEN = {
    "a mode of thirteen bits": but(mode=1 << 12),
    "nobody's number as owner": but(uid=NO_ONE),
    "nobody's number as group": but(gid=NO_ONE),
    "a time that no kernel has": but(mtime_ns=(1 << 63) * 10**9),
    "a size that no file has": but(size=1 << 63),
    "an inode of 65 bits": but(inode=1 << 64),
    "a path out of the tree": but(path=b"../file"),
    "a path from the root": but(path=b"/file"),
    "a path with a name too long": but(path=b"x" * 256),
    "a path too long": but(path=b"/".join([b"x" * 200] * 21)),
    "no folder above": but(path=b"missing/file"),
    "a file as folder": [ROOT, FILE, msgspec.structs.replace(FILE, path=b"file/below")],
    "a double": [ROOT, FILE, FILE],
    "no order": [ROOT, msgspec.structs.replace(FILE, path=b"z"), FILE],
    "no folder of its own": [FILE],
    "content in a folder": but(type="d", size=5),
    "an object in a folder": but(type="o", extra=b"{}"),
    "a link that leads nowhere": but(type="l"),
    "a link too long": but(type="l", extra=b"x" * 4096),
    "a link with the byte that ends it": but(type="l", extra=b"a\0b"),
    "a hard link to what isn't there": [ROOT, FILE, msgspec.structs.replace(LINK, extra=b"a")],
    "a hard link to a later entry": [ROOT, msgspec.structs.replace(LINK, path=b"a"), FILE],
    "a hard link to itself": [ROOT, msgspec.structs.replace(LINK, extra=b"link")],
    "a hard link to a folder": [
        ROOT,
        msgspec.structs.replace(ROOT, path=b"dir"),
        msgspec.structs.replace(LINK, extra=b"dir"),
    ],
    "a hard link to the tree's folder": [ROOT, msgspec.structs.replace(LINK, extra=b".")],
    "a hard link out of the tree": [ROOT, FILE, msgspec.structs.replace(LINK, extra=b"../../etc/shadow")],
    "a hard link from the root": [ROOT, FILE, msgspec.structs.replace(LINK, extra=b"/etc/shadow")],
    "a hard link to a symbolic one": [ROOT, *but(type="l", extra=b"/etc/shadow")[1:], LINK],
    "a hard link to a hard link": [ROOT, FILE, LINK, msgspec.structs.replace(LINK, path=b"link2", extra=b"link")],
    "a hard link with content": [ROOT, FILE, msgspec.structs.replace(LINK, size=1, segments=b"00" * 32)],
    "a hole beyond the size": but(size=10, segments=b"h11"),
    "holes beyond any size": but(size=10, segments=b"h9223372036854775807,h9223372036854775807"),
    "a hole of nothing": but(size=0, segments=b"h0"),
    "a hole that is none": but(size=5, segments=b"h-5"),
    "holes without end": but(size=rules.MOST_PIECES + 1, segments=b",".join([b"h1"] * (rules.MOST_PIECES + 1))),
    "an attribute of no kind": but(attributes=b"evil.x=00"),
    "an attribute of the system": but(attributes=b"system.nfs4_acl=00"),
    "attributes twice": but(attributes=b"user.x=00,user.x=01"),
    "attributes without order": but(attributes=b"user.y=00,user.x=01"),
    "an attribute without a value": but(attributes=b"user.x"),
    "an attribute of half a byte": but(attributes=b"user.x=0"),
    "an attribute's name too long": but(attributes=b"user." + b"x" * 251 + b"=00"),
    "an attribute with the byte that ends names": but(attributes=b"user.x\\0000=00"),
    "an attribute too large": but(attributes=b"user.x=" + b"00" * 65_537),
    "too many attributes": but(attributes=TOO_MUCH),
    "an invalid access list": but(attributes=b"system.posix_acl_access=" + BAD_LIST.hex().encode()),
    "an access list of a byte": but(attributes=b"system.posix_acl_access=02"),
}


def forge(storage: MemoryStorage, tree: TreeHeader, lines: list[bytes], time: str = "20260101T000000Z") -> str:
    """A manifest that is genuine by name and proof, as another or an older writer may have made it; its ID."""
    repository = Repository(storage, [HOST])
    ended = f"{time[:4]}-{time[4:6]}-{time[6:11]}:{time[11:13]}:{time[13:]}"
    header = Header(1, "hive", "cold", "host", ended, ended, "0", None, {}, [tree])
    text = TextWriter(repository.key)
    for line in lines:
        text.add(line)
    data = text.finish(msgspec.json.encode(header), repository.ring.recipients())
    storage.put(f"manifests/{time}-{hash_name(data)}", data)
    return f"{time}-{hash_name(data)[:8]}"


def counts(entries: list[Entry]) -> TreeHeader:
    files = [entry for entry in entries if entry.type in "fo"]
    return TreeHeader(TREE, "files", "folder", "/o", len(entries), len(files), sum(entry.size for entry in files))


@pytest.mark.parametrize("what", BROKEN)
def test_restore_verify_and_check_agree_on_what_breaks_a_rule(what: str, tmp_path: Path) -> None:
    storage = new_storage()
    id = forge(storage, counts(BROKEN[what]), [format_entry(entry) for entry in BROKEN[what]])
    repository = Repository(storage, [RECOVERY])
    with pytest.raises(IntegrityError):
        restore_folder(repository, repository.manifest(id), TREE, tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    for level in ("manifest", "sample", "full"):
        assert not verify(repository, id, level).ok  # type: ignore[arg-type]
    assert not check(storage, [RECOVERY]).ok


def test_every_rule_is_broken_by_one_thing_only() -> None:
    """What surrounds the broken things is sound: the tests above fail for the right reason."""
    entries = [ROOT, FILE, LINK]
    rules.check_entries(Header(1, "", "", "", "", "", "", None, {}, [tree_of(entries)]), iter(entries))


# -- what older writers made -----------------------------------------------------------------------------------------


def line(kind: bytes, path: bytes, mtime: int = 0, size: int = 0, segments: bytes = b"-") -> bytes:
    """An entry of 13 fields."""
    return b"%b\t755\t0\t0\troot\troot\t%d\t%d\t1\t%b\t%b\t%b\t-" % (kind, mtime, size, TREE.encode(), path, segments)


def test_a_manifest_of_thirteen_fields_is_read_and_serves_as_parent(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"content")
    storage = new_storage()
    with begin(Repository(storage, [HOST]), "hive") as writer:
        writer.add_folder("files", TREE, tmp_path / "source", Path("/original"))
        first = writer.commit(Facts())
    lines = list(Repository(storage, [HOST]).manifest(first.id).lines())
    for name in [name for name in storage.objects if name.startswith("manifests/")]:
        del storage.objects[name]
    tree = TreeHeader(TREE, "files", "folder", "/original", 2, 1, 7)
    id = forge(storage, tree, [whole.rsplit(b"\t", 1)[0] for whole in lines])
    repository = Repository(storage, [RECOVERY])
    restore_folder(repository, repository.manifest(id), TREE, tmp_path / "out")  # type: ignore[arg-type]
    assert (tmp_path / "out" / "file").read_bytes() == b"content"
    with begin(Repository(storage, [HOST]), "hive") as writer:
        writer.add_folder("files", TREE, tmp_path / "source", Path("/original"))
        writer.commit(Facts())
    assert (writer.parent, writer.stats.unchanged, writer.stats.read) == (id, 1, 0)


def test_a_time_after_2262_that_an_older_writer_recorded_is_restored(tmp_path: Path) -> None:
    storage = new_storage()
    late = 10_413_792_000 * 10**9
    id = forge(
        storage, TreeHeader(TREE, "files", "folder", "/o", 2, 1, 0), [line(b"d", b"."), line(b"f", b"file", late)]
    )
    repository = Repository(storage, [RECOVERY])
    restore_folder(repository, repository.manifest(id), TREE, tmp_path / "out")  # type: ignore[arg-type]
    assert (tmp_path / "out" / "file").stat().st_mtime_ns == late


UNREADABLE = {
    "a time beyond all": line(b"f", b"file", 10**40),
    "a line of other fields": b"f\tgibberish",
    "a time that no kernel has": line(b"f", b"file", (1 << 63) * 10**9),
}


@pytest.fixture(params=UNREADABLE)
def backups(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[MemoryStorage, str, str]]:
    """A repository of a good backup and a newer one that can't be restored; their IDs."""
    storage = new_storage()
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"content")
    with begin(Repository(storage, [HOST]), "hive") as writer:
        writer.add_folder("files", TREE, tmp_path / "source", Path("/original"))
        good = writer.commit(Facts()).id
    tree = TreeHeader(TREE, "files", "folder", "/o", 2, 1, 0)
    time = f"{int(good[:8]) + 1}T000000Z" if good[6:8] < "28" else f"{int(good[:4]) + 1}0101T000000Z"
    bad = forge(storage, tree, [line(b"d", b"."), UNREADABLE[request.param]], time)
    yield storage, good, bad


@pytest.mark.parametrize("level", ["manifest", "sample", "full"])
def test_damage_that_verify_finds_is_recorded_and_not_raised(
    backups: tuple[MemoryStorage, str, str], level: Any
) -> None:
    storage, _, bad = backups
    repository = Repository(storage, [RECOVERY])
    result = verify(repository, bad, level)  # type: ignore[arg-type]
    assert not result.ok
    assert record_verification(repository, result)
    mark = read_marks(repository).standing(bad)
    assert mark is not None
    assert not mark.ok


@pytest.mark.parametrize("plan", [True, False])
def test_what_can_not_be_restored_never_pushes_a_good_backup_out(
    backups: tuple[MemoryStorage, str, str], plan: bool
) -> None:
    storage, good, bad = backups
    repository = Repository(storage, [RECOVERY])
    keep = RetentionConfig(keep=KeepConfig(last=1), min_verified=0)
    with contextlib.suppress(PropolisError):
        result = prune(repository, keep, "hive", plan=plan)
        assert [decision.id for decision in result.decisions if decision.keep] == [good, bad]
        assert any(bad in finding.what for finding in result.findings)
    assert {id for id, _ in repository.names()} == {good, bad}
    assert verify(repository, good, "full").ok  # type: ignore[arg-type]


def test_what_verify_found_is_not_lost_when_the_storage_fails_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    for number in range(4):
        (tmp_path / "source" / str(number)).write_bytes(random.Random(number).randbytes(200_000))
    storage = new_storage()
    with begin(Repository(storage, [HOST]), "hive") as writer:
        writer.add_folder("files", TREE, tmp_path / "source", Path("/original"))
        summary = writer.commit(Facts())
    packs = sorted(name for name in storage.objects if name.startswith("packs/"))
    assert len(packs) > 2
    del storage.objects[packs[0]]

    def fail(*_: Any, **__: Any) -> Any:
        raise RepositoryError("the network is gone")

    monkeypatch.setattr(MemoryStorage, "stream", fail)
    result = verify(Repository(storage, [RECOVERY]), summary.id, "full")
    assert [finding.object for finding in result.findings] == ["the storage", packs[0]]


@pytest.mark.parametrize("broken", ["packs", "manifests"])
def test_what_a_disk_can_not_read_is_damage_that_is_recorded(
    vault: Vault, source: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    summary = vault.backup(source)
    bad = {path.stat().st_ino for path in vault.objects(broken)}

    def read(file: int, *arguments: Any, real: Any = os.preadv) -> int:
        if os.fstat(file).st_ino in bad:
            raise OSError(errno.EIO, "Input/output error")
        found: int = real(file, *arguments)
        return found

    monkeypatch.setattr(os, "preadv", read)
    result = verify(vault.full, summary.id, "full")
    assert not result.ok
    mark = record_verification(vault.full, result)
    assert mark is not None
    assert not mark.ok


class Listing:
    """A bucket that lists what it likes."""

    def __init__(self, metas: list[ObjectMeta]) -> None:
        self.metas = metas

    def list(self) -> Iterator[ObjectMeta]:
        return iter(self.metas)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[Any]]:
        meta = next(meta for meta in self.metas if meta.key == key)
        return meta, iter([bytes(max(0, min(meta.size, 9)))])


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["a", "a"], "a (it is listed twice)"),
        (["b", "a", "b"], "b (it is listed twice)"),
        (["c", "b", "a", "b"], "b (it is listed twice)"),
    ],
)
def test_an_object_that_a_bucket_lists_twice_is_refused_by_name(keys: list[str], named: str) -> None:
    metas = [ObjectMeta(key, 5, "tag", 7) for key in keys]
    with (
        pytest.raises(IncompleteError) as caught,
        begin(Repository(new_storage(), [HOST]), "hive") as writer,
    ):
        writer.add_bucket("files", "files/bucket", Listing(metas), "s3://bucket")
        writer.commit(Facts())
    assert named in str(caught.value)


def test_an_object_of_a_time_that_no_reader_takes_is_refused_by_name() -> None:
    with (
        pytest.raises(IncompleteError, match=r"late \(it has a time of"),
        begin(Repository(new_storage(), [HOST]), "hive") as writer,
    ):
        writer.add_bucket("files", "files/bucket", Listing([ObjectMeta("late", 5, "tag", 1 << 94)]), "s3://bucket")
        writer.commit(Facts())


@given(
    st.lists(st.text(min_size=1, max_size=5).filter(lambda key: key.isprintable()), unique=True, max_size=6),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_whatever_a_bucket_lists_once_is_accepted_and_keeps_the_rules(keys: list[str], data: Any) -> None:
    metas = [
        ObjectMeta(key, size=data.draw(st.integers(0, 9)), etag="tag", last_modified_ns=data.draw(TIMES))
        for key in keys
    ]
    storage = new_storage()
    with begin(Repository(storage, [HOST]), "hive", workers=1) as writer:
        writer.add_bucket("files", "files/bucket", Listing(metas), "s3://bucket")
        summary = writer.commit(Facts())
    manifest = Repository(storage, [RECOVERY]).manifest(summary.id)
    rules.check_entries(manifest.header, manifest.entries())
    assert sorted(entry.path.decode() for entry in manifest.entries()) == sorted(keys)


def test_a_backup_goes_on_after_one_that_can_not_be_understood(
    backups: tuple[MemoryStorage, str, str], tmp_path: Path
) -> None:
    storage, _, bad = backups
    with begin(Repository(storage, [HOST]), "hive") as writer:
        writer.add_folder("files", TREE, tmp_path / "source", Path("/original"))
        summary = writer.commit(Facts())
    assert writer.parent == bad
    assert verify(Repository(storage, [RECOVERY]), summary.id, "full").ok


def test_a_repair_mends_the_other_backups_beside_one_that_breaks_a_rule(
    backups: tuple[MemoryStorage, str, str], tmp_path: Path
) -> None:
    storage, good, bad = backups
    for name in [name for name in storage.objects if name.startswith("packs/")]:
        del storage.objects[name]
    repository = Repository(storage, [RECOVERY])
    result = repair(repository, {TREE: tmp_path / "source"})
    assert [(hit.backup, hit.files) for hit in result.losses] == [(bad, 0)]
    assert not result.ok
    assert verify(Repository(storage, [RECOVERY]), good, "full").ok  # type: ignore[arg-type]
