"""Whoever holds the repository's keys and means harm can neither leave the target nor fill memory or disk.

Everything here is genuine by name and proof: only what it says is evil.
"""

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propolis.errors import PropolisError
from propolis.repository import Identity, Repository, restore_folder, verify
from propolis.repository.crypto import age
from propolis.repository.format.entries import Entry, Header, TreeHeader, format_entry
from propolis.repository.format.index import Pack, PackedSegments, write_index
from propolis.repository.format.names import hash_name, pack_name
from propolis.repository.format.text import TextWriter
from propolis.repository.maintenance.check import ReadData, check
from propolis.repository.maintenance.repair import repair
from propolis.repository.write.begin import begin
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import TREE

TIME = "20260101T000000Z"
CONTENT = b"some content of a file"


@dataclass
class Evil:
    """An attacker with all keys."""

    repository: Repository
    storage: MemoryStorage
    recovery: Identity

    def pack(
        self, plain: bytes, *, stored: bytes | None = None, says: int | None = None, codec: Any = "plain"
    ) -> str:
        """A pack of one segment, of which the index says what it likes."""
        data = age.seal_bytes(stored if stored is not None else plain, self.repository.ring.pack_recipients())
        pack = Pack(hash_name(data), len(data), len(plain) if says is None else says, codec)
        self.storage.put(pack_name(pack.hash), data)
        segment = self.repository.key.segment_id(plain)
        self.index([PackedSegments(pack, [(segment, 0, pack.plain)])])
        return segment.hex()

    def index(self, packed: list[PackedSegments]) -> None:
        data = write_index(packed, self.repository.key, self.repository.ring.recipients())
        self.storage.put(f"indexes/{hash_name(data)}", data)

    def lines(self, kind: str, header: bytes, lines: list[bytes]) -> None:
        text = TextWriter(self.repository.key)
        for line in lines:
            text.add(line)
        data = text.finish(header, self.repository.ring.recipients())
        name = hash_name(data)
        self.storage.put(f"manifests/{TIME}-{name}" if kind == "manifest" else f"indexes/{name}", data)

    def manifest(self, entries: list[Entry], tree: TreeHeader | None = None) -> None:
        """A manifest of one tree, whose header fits its entries unless another is given."""
        files = [entry for entry in entries if entry.type in "fo"]
        size = sum(entry.size for entry in files)
        tree = tree or TreeHeader(TREE, "files", "folder", "/original", len(entries), len(files), size)
        ended = "2026-01-01T00:00:00Z"
        header = Header(1, "hive", "cold", "host", ended, ended, "0", None, {}, [tree])
        self.lines("manifest", msgspec.json.encode(header), [format_entry(entry) for entry in entries])


def new_evil() -> Evil:
    host, recovery = Identity.generate(), Identity.generate()
    storage = MemoryStorage()
    Repository.create(storage, [recovery.recipient], host)
    return Evil(Repository(storage, [recovery]), storage, recovery)


KEYS = new_evil()


@pytest.fixture
def evil() -> Evil:
    storage = MemoryStorage(KEYS.storage.objects)
    return Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)


def entry(type: Any, path: bytes, *, size: int = 0, segments: str = "", extra: bytes = b"", **more: Any) -> Entry:
    values: dict[str, Any] = {
        "mode": 0o755,
        "uid": os.getuid(),
        "gid": os.getgid(),
        "user": "",
        "group": "",
        "mtime_ns": 0,
    } | more
    return Entry(
        type=type,
        path=path,
        size=size,
        segments=segments.encode(),
        extra=extra,
        inode=0,
        tree=TREE,
        **values,
    )


# -- nothing outside of the target -------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [b"a", b"b", b"link", b"dir", b"..", b".", b"", b"/", b"outside", b"a\0b", b"x" * 255, b"x" * 256, b"\xff", b"\n"]
)
PATHS = st.one_of(
    st.lists(NAMES, min_size=1, max_size=5).map(b"/".join),
    st.sampled_from([b"/etc/passwd", b"../../outside", b"link/outside", b"dir/../../outside", b"."]),
    st.binary(max_size=12),
)
ATTRIBUTES = st.sampled_from(
    [
        b"",
        b"user.x=00",
        b"user.x=" + b"00" * 70_000,
        b"user." + b"x" * 300 + b"=00",
        b"trusted.overlay.opaque=79",
        b"security.capability=0100000200200000000000000000000000000000",
        b"security.selinux=00",
        b"security.ima=00",
        b"system.posix_acl_access=0200000001000700ffffffff04000700ffffffff20000700ffffffff",
        b"system.posix_acl_access=02000000",
        b"system.posix_acl_default=ffff",
        b"system.evil=00",
        b"user.\\0000=00",
        b"=,=",
    ]
)
TARGETS = st.one_of(
    st.sampled_from([b"..", b"/", b"/tmp", b"../outside", b"dir", b"link", b""]), st.binary(max_size=9)
)


@st.composite
def hostile_entries(draw: Any) -> list[Entry]:
    entries = []
    for _ in range(draw(st.integers(1, 9))):
        type = draw(st.sampled_from("ddfffllohh"))
        size = draw(st.sampled_from([0, len(CONTENT), 2 * len(CONTENT), 1, 1 << 40, 1 << 62])) if type in "fo" else 0
        entries.append(
            entry(
                type,
                draw(PATHS),
                size=size,
                segments=draw(
                    st.sampled_from(
                        [
                            "",
                            "S",
                            "S,S",
                            "00" * 32,
                            "zz",
                            "S,",
                            "h1",
                            f"S,h{1 << 40}",
                            f"h{1 << 62}",
                            "h0",
                            "h-1",
                            "S,h22",
                        ]
                    )
                ),
                extra=draw(TARGETS) if type == "l" else draw(PATHS) if type == "h" else b"",
                attributes=draw(ATTRIBUTES),
                mode=draw(st.sampled_from([0o755, 0o7777, 0, 0o4755, 1 << 40])),
                mtime_ns=draw(st.sampled_from([0, -1, 1 << 63, -(1 << 70)])),
                uid=draw(st.sampled_from([os.getuid(), 1 << 32, 1 << 70])),
            )
        )
    return entries


def world(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        yield str(path), status.st_mode, path.read_bytes() if path.is_file() and not path.is_symlink() else b""


@pytest.mark.parametrize("rooted", [True, False])
@given(entries=hostile_entries(), ordered=st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_manifest_reaches_outside_of_the_target(entries: Any, ordered: Any, rooted: Any) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    segment = evil.pack(CONTENT)
    made = [msgspec.structs.replace(item, segments=item.segments.replace(b"S", segment.encode())) for item in entries]
    if ordered:
        made.sort(key=lambda item: item.path)
    evil.manifest([entry("d", b"."), entry("d", b"dir"), *made] if rooted else made)
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base) as name:
        folder = Path(name)
        (folder / "outside").write_bytes(b"not yours")
        (folder / "source").mkdir()
        before = list(world(folder))
        repository = Repository(storage, [KEYS.recovery])
        [(id, _)] = repository.names()
        with contextlib.suppress(PropolisError):
            restore_folder(repository, repository.manifest(id), TREE, folder / "target")
        inside = list((folder / "target").rglob("*")) if (folder / "target").exists() else []
        assert [item for item in world(folder) if not item[0].startswith(str(folder / "target"))] == before
        written = sum(path.lstat().st_blocks * 512 for path in inside)
        assert written <= 1 << 20
        for path in inside:
            mode = path.lstat().st_mode
            assert path.is_symlink() or not mode & 0o6000 or path.is_dir()
            named = os.listxattr(path, follow_symlinks=False)
            assert all(name.startswith(("user.", "system.posix_acl")) for name in named)
            assert path.is_dir() or not (folder / "outside").samefile(path)
        # A check and a repair of it end too, with a result or a clear error.
        for look in (
            lambda: check(storage, [KEYS.recovery], read_data=ReadData()),
            lambda: verify(repository, id, "full"),
            lambda: repair(repository, {TREE: folder / "source"}, read_data=ReadData()),
        ):
            with contextlib.suppress(PropolisError):
                look()
        assert [item for item in world(folder) if not item[0].startswith(str(folder / "target"))] == before


# -- lines that no honest writer makes ---------------------------------------------------------------------------

FIELDS = st.one_of(
    st.sampled_from(
        [b"p", b"s", b"d", b"f", b"-", b"0", b"-1", b"end", b"99999999999999999999", b"1_0", b" 7", b"zstd"]
    ),
    st.just(b"ab" * 32),
    st.binary(max_size=8).map(lambda data: data.replace(b"\n", b"").replace(b"\t", b"")),
)
LINES = st.lists(st.lists(FIELDS, max_size=14).map(b"\t".join), max_size=8)
HEADERS = st.one_of(
    st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")),
    st.sampled_from([b"{}", b"[]", b'{"format":1}', b"\xff\xfe", b'{"format":1e999}', b"[" * 5000]),
)


@given(kind=st.sampled_from(["manifest", "index"]), header=HEADERS, lines=LINES, genuine=st.booleans())
@settings(max_examples=500, deadline=None)
def test_no_line_or_header_makes_a_reader_stumble(kind: Any, header: Any, lines: Any, genuine: Any) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    if genuine and kind == "manifest":
        tree = TreeHeader(TREE, "files", "folder", "/original", len(lines), 0, 0)
        ended = "2026-01-01T00:00:00Z"
        header = msgspec.json.encode(Header(1, "hive", "cold", "host", ended, ended, "0", None, {}, [tree]))
    evil.lines(kind, header, lines)
    repository = Repository(storage, [KEYS.recovery])
    assert check(storage, [KEYS.recovery], read_data=ReadData()).place == "memory"
    for id, _ in repository.names():
        try:
            list(repository.manifest(id).entries())
            assert verify(repository, id, "full").id == id
        except PropolisError:
            continue
    try:
        repository.backups(damaged=[])
        with begin(repository, "hive", workers=1):
            pass
        repair(repository, read_data=ReadData())
    except PropolisError:
        return


# -- memory and disk ---------------------------------------------------------------------------------------------

ROOM = 700 << 20
"""Bytes of address space for a reader: its buffers, and the interpreter with its libraries."""

_READ = """
import pickle, sys
from pathlib import Path
from propolis.errors import PropolisError
from propolis.repository import Identity, Repository, restore_folder, verify
from propolis.repository.maintenance.check import ReadData, check
sys.path.insert(0, sys.argv[3])
from unit.repository.memory_storage import MemoryStorage
import resource
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[4]), int(sys.argv[4])))
with open(sys.argv[1], "rb") as file:
    objects, key = pickle.load(file)
storage = MemoryStorage(objects)
repository = Repository(storage, [Identity(key)])
[(id, _)] = repository.names()
refused = 0
result = check(storage, [Identity(key)], read_data=ReadData())
print("check", "ok" if result.ok else "found")
try:
    print("verify", "ok" if verify(repository, id, "full").ok else "found")
except PropolisError:
    print("verify found")
try:
    restore_folder(repository, repository.manifest(id), "files/attachments", Path(sys.argv[2]))
    print("restore ok")
except PropolisError as error:
    print("restore refused")
"""


def read_in_little_room(evil: Evil, folder: Path) -> list[str]:
    """Check, verify and restore in a process of its own with bounded memory; what it says of each."""
    import pickle

    (folder / "objects").write_bytes(pickle.dumps((evil.storage.objects, evil.recovery.secret())))
    tests = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", _READ, str(folder / "objects"), str(folder / "out"), tests, str(ROOM)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split("\n")[:3]


def bomb(size: int) -> bytes:
    """Few bytes that decompress to `size`."""
    return zstandard.ZstdCompressor(level=3).compress(bytes(size))


def test_a_pack_that_inflates_to_gigabytes_fills_no_memory(evil: Any, tmp_path: Path) -> None:
    piece = bomb(256 << 20)
    segment = evil.pack(CONTENT, stored=piece * 16, codec="zstd")
    evil.manifest([entry("d", b"."), entry("f", b"x", size=len(CONTENT), segments=segment)])
    assert read_in_little_room(evil, tmp_path) == ["check found", "verify found", "restore refused"]


def test_a_pack_that_is_said_to_be_huge_is_refused_before_it_is_read(evil: Any, tmp_path: Path) -> None:
    segment = evil.pack(CONTENT, says=1 << 45)
    evil.manifest([entry("d", b"."), entry("f", b"x", size=1 << 45, segments=segment)])
    assert read_in_little_room(evil, tmp_path) == ["check found", "verify found", "restore refused"]


@pytest.mark.parametrize("kind", ["manifest", "index"])
def test_a_text_of_one_endless_line_fills_no_memory(evil: Any, tmp_path: Path, kind: Any) -> None:
    evil.manifest([entry("d", b".")])
    [name] = [name for name in evil.storage.objects if name.startswith("manifests/")]
    # Frames follow one another, so a gigabyte of zeros without a newline takes a few kilobytes.
    data = age.seal_bytes(bomb(64 << 20) * 16, evil.repository.ring.recipients())
    if kind == "manifest":
        del evil.storage.objects[name]
        evil.storage.put(f"manifests/{TIME}-{hash_name(data)}", data)
    else:
        evil.storage.put(f"indexes/{hash_name(data)}", data)
    said = read_in_little_room(evil, tmp_path)
    # The backup doesn't need the index.
    refused = ["verify found", "restore refused"] if kind == "manifest" else ["verify ok", "restore ok"]
    assert said == ["check found", *refused]


def test_a_file_that_is_larger_than_its_segments_takes_no_disk(evil: Any, tmp_path: Path) -> None:
    segment = evil.pack(CONTENT)
    evil.manifest([entry("d", b"."), entry("f", b"x", size=1 << 50, segments=f"{segment},{segment}")])
    assert read_in_little_room(evil, tmp_path) == ["check found", "verify found", "restore refused"]
    assert not list((tmp_path / "out").rglob("*"))


def test_more_files_than_the_header_states_are_not_written(evil: Any, tmp_path: Path) -> None:
    segment = evil.pack(CONTENT)
    size = len(CONTENT)
    files = [entry("f", b"%03d" % number, size=size, segments=segment) for number in range(500)]
    evil.manifest([entry("d", b"."), *files], TreeHeader(TREE, "files", "folder", "/original", 2, 1, size))
    assert read_in_little_room(evil, tmp_path) == ["check found", "verify found", "restore refused"]
    assert not list((tmp_path / "out").rglob("*"))


def test_the_little_room_is_enough_for_honest_data_and_bounds_it(evil: Any, tmp_path: Path) -> None:
    plain = os.urandom(16 << 20)
    segment = evil.pack(plain)
    evil.manifest([entry("d", b"."), entry("f", b"x", size=len(plain), segments=segment)])
    assert read_in_little_room(evil, tmp_path) == ["check ok", "verify ok", "restore ok"]
    assert (tmp_path / "out" / "x").read_bytes() == plain
    script = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({ROOM}, {ROOM})); bytearray({2 * ROOM})"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode != 0
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != ROOM
