"""The script of docs/restore-without-propolis.md restores whatever can be backed up, or says why it does not."""
# ruff: noqa: PTH101, PTH102, PTH123, PTH211 - names that are no text

import concurrent.futures
import datetime
import os
import random
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from propolis.clock import utc_now
from propolis.filesystem import acl
from propolis.repository import Facts, Identity, Location, Repository
from propolis.repository.format.entries import Header, TreeHeader
from propolis.repository.format.names import hash_name
from propolis.repository.write import publish
from propolis.repository.write.begin import begin
from propolis.s3.objects import ObjectMeta
from unit.repository.format import test_mutations
from unit.repository.format.test_hostile import CONTENT, KEYS, Evil, entry, hostile_entries, world
from unit.repository.format.test_mutations import MUTATIONS, Objects, Original
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import TREE, Vault, fill, snapshot
from unit.repository.shell_tools import ShellRestore, refused

original = test_mutations.original
"""The fixture: a repository of two backups, and one of somebody else."""
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Takes any time and many small files quickly."""


@pytest.fixture
def script(tmp_path: Path) -> ShellRestore:
    (tmp_path / "shell").mkdir()
    return ShellRestore(tmp_path / "shell")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> ShellRestore:
    """The same for tests that run it many times."""
    return ShellRestore(tmp_path_factory.mktemp("shell"))


class Bucket:
    """A bucket in memory."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def list(self) -> Iterator[ObjectMeta]:
        for name, content in sorted(self.objects.items(), key=lambda item: item[0].encode()):
            yield ObjectMeta(name, len(content), f'"{name}"', 1_600_000_000_000_000_000)

    def open_object(self, key: str) -> tuple[ObjectMeta, Iterator[bytes]]:
        content = self.objects[key]
        meta = ObjectMeta(key, len(content), f'"{key}"', 1_600_000_000_000_000_000, "text/x\\y", {"owner": "é"})
        return meta, iter([content[:5], content[5:]])


def objects_of(target: Path) -> dict[str, bytes]:
    """Key and content of every restored object, by the script's own list."""
    found = {}
    for line in (target / "objects.tsv").read_bytes().splitlines():
        name, _, key, attributes = line.split(b"\t")
        name, key = (part.replace(rb"\0", b"\\").decode("unicode_escape").encode("latin-1") for part in (name, key))
        assert msgspec.json.decode(attributes)["content_type"] == "text/x\\y"
        found[key.decode()] = Path(os.fsdecode(os.fsencode(target) + b"/" + name)).read_bytes()
    return found


# -- what can be backed up comes back ----------------------------------------------------------------------------


def test_the_script_restores_byte_identically(
    vault: Vault, source: Path, script: ShellRestore, tmp_path: Path
) -> None:
    vault.backup(source)
    (source / "added").write_bytes(b"later")
    objects = {"attachment/a b": b"content", "attachment/é\\": os.urandom(2 << 20), "empty": b""}
    with begin(vault.host, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        writer.add_folder("database", "database/data-0", fill(tmp_path / "second", 2), Path("/data"))
        writer.add_bucket("files", "files/bucket", Bucket(objects), 's3://bucket/"trees":[{\\')
        writer.commit(Facts(facts={"trees": [{"name": "x"}], "ended": "2000"}))
    script.use(vault.recovery_key)
    target = tmp_path / "-o\\t $(ut)\n*"
    folder = vault.folder.rename(tmp_path / "-va\\t $(ult)\n*")
    done = script.run(Path(folder.name), "latest", Path(target.name), cwd=tmp_path)
    assert not refused(done, target), done.stderr
    assert snapshot(target / TREE) == snapshot(source)
    assert snapshot(target / "database/data-0") == snapshot(tmp_path / "second")
    for name, content in objects.items():
        assert (target / "files/bucket" / name).read_bytes() == content
    assert objects_of(target) == objects
    assert b'"original":"s3://bucket/' in (target / "header.json").read_bytes()
    assert sorted(path.name for path in target.iterdir()) == ["database", "files", "header.json", "objects.tsv"]
    assert not target.with_name(f"{target.name}.incomplete").exists()


NAMES = st.one_of(
    st.sampled_from(
        [b"-", b"--", b"-rf", b"a\nb", b"\n", b" ", b"\\", rb"\0055", b"%s", b"$(x)", b"*", b"~", b"...", b"\xff"]
    ),
    st.binary(min_size=1, max_size=8),
    st.binary(min_size=200, max_size=255),
).filter(lambda name: name not in (b".", b"..") and not {0, 0x2F} & set(name))
SECOND = 10**9
TIMES = st.one_of(
    st.sampled_from([0, 1, -1, -999_999_999, -1_500_000_000, 2**63 * SECOND - 1, -(2**63) * SECOND]),
    st.integers(-(2**63) * SECOND, 2**63 * SECOND - 1),
    st.integers(-(2**33) * SECOND, 2**33 * SECOND),
)
CONTENTS = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    # Several segments, some alike.
    st.builds(lambda seed, count: random.Random(seed).randbytes(1024) * count, st.integers(0, 9), st.integers(4, 30)),
    st.builds(lambda seed, count: random.Random(seed).randbytes(count), st.integers(0, 9), st.integers(1, 20_000)),
)
HOLES = st.lists(st.integers(0, 300_000), max_size=3)
ATTRIBUTES = st.dictionaries(
    st.one_of(
        st.sampled_from(
            [b"user.x", b"user.a b,c=d", b"user.\n", b"user.\\", b"user.#", b'user."', b"trusted.x", b"security.x"]
        ),
        st.binary(min_size=1, max_size=9).filter(lambda name: 0 not in name).map(b"user.".__add__),
    ),
    st.one_of(st.binary(max_size=40), st.just(b"\xff" * 3000)),
    max_size=3,
)
RIGHTS = st.integers(0, 7)
IDS = st.integers(0, 2**32 - 2)
LISTS = st.builds(
    lambda users, groups, rights: acl.join(
        [
            acl.Grant(acl.OWNER, rights[0], 2**32 - 1),
            *(acl.Grant(acl.USER, right, user) for user, right in sorted(users.items())),
            acl.Grant(acl.GROUP_OF_OWNER, rights[1], 2**32 - 1),
            *(acl.Grant(acl.GROUP, right, group) for group, right in sorted(groups.items())),
            acl.Grant(acl.MASK, rights[2], 2**32 - 1),
            acl.Grant(acl.OTHER, rights[3], 2**32 - 1),
        ]
    ),
    st.dictionaries(IDS, RIGHTS, max_size=2),
    st.dictionaries(IDS, RIGHTS, max_size=2),
    st.tuples(RIGHTS, RIGHTS, RIGHTS, RIGHTS),
)


@dataclass(frozen=True)
class Made:
    """One folder, file or link to be made: in which of the folders made before, and how."""

    kind: str
    inside: int
    name: bytes
    content: bytes
    holes: list[int]
    """Before the content; more than one: content follows each."""
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    attributes: dict[bytes, bytes]
    lists: list[bytes]


MADE = st.builds(
    Made,
    st.sampled_from("dfffshl"),
    st.integers(0, 20),
    NAMES,
    CONTENTS,
    HOLES,
    st.integers(0, 0o7777),
    st.tuples(IDS, IDS),
    TIMES,
    st.one_of(st.just({}), ATTRIBUTES),
    st.lists(LISTS, max_size=2),
)


def plain(kind: str, name: bytes, inside: int = 0, *, empty: bool = False) -> Made:
    return Made(kind, inside, name, b"" if empty else b"content", [], 0o600, (0, 0), 0, {}, [])


def make(root: Path, made: list[Made]) -> None:
    """Make all of them below `root`, as far as names are free."""
    root.mkdir()
    folders: list[bytes] = [os.fsencode(root)]
    files: list[bytes] = []
    done = {}
    for item in made:
        path = folders[item.inside % len(folders)] + b"/" + item.name
        if os.path.lexists(path) or len(path) > 3000:
            continue
        if item.kind == "d":
            os.mkdir(path)
            folders.append(path)
        elif item.kind == "l":
            os.symlink(item.content[:999].replace(b"\0", b"/") or b"/etc", path)
        elif item.kind == "h" and files:
            os.link(files[item.inside % len(files)], path)
            continue
        else:
            with open(path, "wb") as file:
                for hole in item.holes if item.kind == "s" else [0]:
                    file.seek(hole, os.SEEK_CUR)
                    file.write(item.content)
                    file.truncate(file.seek(hole, os.SEEK_CUR))
            files.append(path)
        done[path] = item
    for path, item in reversed(done.items()):
        if os.geteuid() == 0:
            os.chown(path, *item.owner, follow_symlinks=False)
        if item.kind != "l":
            for name, value in item.attributes.items():
                if os.geteuid() == 0 or name.startswith(b"user."):
                    os.setxattr(path, name, value)
            os.chmod(path, item.mode)
            kinds = ["access", "default"] if item.kind == "d" else ["access"]
            for kind, value in zip(kinds, item.lists, strict=False):
                os.setxattr(path, f"system.posix_acl_{kind}", value)
        os.utime(path, ns=(0, item.mtime_ns), follow_symlinks=False)


def holes(file: bytes) -> list[tuple[int, int]]:
    """Where a file has holes that a backup keeps, those of 64 KiB or more."""
    found, at = [], 0
    with open(file, "rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        while at < size:
            start = opened.seek(at, os.SEEK_HOLE)
            try:
                at = opened.seek(start, os.SEEK_DATA) if start < size else size
            except OSError:  # there is no more data
                at = size
            if at - start >= 65536:
                found.append((start, at))
    return found


def everything(folder: Path) -> dict[bytes, Any]:
    """All that the script brings back: what `snapshot` tells, attributes, which names are one file, where holes are.

    Without what bears privileges, which no restore brings back.
    """
    names: dict[int, bytes] = {}
    found: dict[bytes, Any] = {}
    for path, (mode, *rest, attributes) in sorted(snapshot(folder).items()):
        file = os.fsencode(folder) + b"/" + path
        kept = {name: value for name, value in attributes.items() if name.startswith(("user.", "system."))}
        if not stat.S_ISLNK(mode):
            mode &= ~(0o4000 if stat.S_ISDIR(mode) else 0o7000)
        status = os.lstat(file)
        first = path if stat.S_ISDIR(mode) else names.setdefault(status.st_ino, path)
        found[path] = (mode, *rest, kept, first, holes(file) if stat.S_ISREG(mode) else [])
    return found


KEY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
OBJECTS = st.dictionaries(
    st.one_of(KEY, st.sampled_from(["a", "a/b", "a//b", "/a", "a/", "..", "a/../b", ".", "-", "-/a", "é" * 200])),
    CONTENTS,
    max_size=5,
)


@given(made=st.lists(MADE, max_size=30), objects=OBJECTS)
@example(
    made=[plain("d", b"-"), plain("d", b"-", inside=1), plain("f", b"\\", inside=2), plain("f", b" ", empty=True)],
    objects={"-": b"", "-/a": b"a"},
)
# Making a failing case smaller would run the script for minutes.
@settings(max_examples=25, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_whatever_is_backed_up_the_script_restores_identically(shell: ShellRestore, made: Any, objects: Any) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        make(folder / "source", made)
        host, recovery = Identity.generate(), Identity.generate()
        repository = Repository.init(Location(str(folder / "vault")), [recovery.recipient], host, segment_bytes=4096)
        with begin(repository, "hive", workers=1) as writer:
            writer.add_folder("files", TREE, folder / "source", Path("/original"))
            writer.add_bucket("files", "files/bucket", Bucket(objects), "s3://bucket")
            writer.commit(Facts())
        shell.use(recovery)
        target = folder / "out"
        done = shell.run(folder / "vault", "latest", target)
        assert not refused(done, target), done.stderr
        assert everything(target / TREE) == everything(folder / "source")
        assert (objects_of(target) if objects else {}) == objects


def test_what_is_not_restored_is_told(vault: Vault, source: Path, script: ShellRestore, tmp_path: Path) -> None:
    os.mkfifo(source / "pipe")
    os.mkfifo(source / "deep" / "pipe")
    os.setxattr(source / "text", "user.kept", b"value")
    if os.geteuid() == 0:
        os.setxattr(source / "text", "trusted.left", b"value")
    vault.backup(source)
    script.use(vault.recovery_key)
    done = script.run(vault.folder, "latest", tmp_path / "out")
    assert not refused(done, tmp_path / "out"), done.stderr
    assert "Not in this backup: 2 pipes (see header.json)" in done.stdout
    if os.geteuid() == 0:
        assert "Not restored: the attribute trusted.left of 1 entries" in done.stdout
    assert os.listxattr(tmp_path / "out" / TREE / "text") == ["user.kept"]


def test_what_a_clock_ahead_dated_is_not_the_latest(
    vault: Vault, tmp_path: Path, script: ShellRestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "small"
    source.mkdir()
    (source / "data").write_bytes(b"of the future")
    script.use(vault.recovery_key)
    with monkeypatch.context() as patch:
        patch.setattr(publish, "utc_now", lambda: utc_now() + datetime.timedelta(days=3653))
        future = vault.backup(source).id
    done = script.run(vault.folder, "latest", tmp_path / "only")
    assert not refused(done, tmp_path / "only"), done.stderr
    (source / "data").write_bytes(b"of today, and longer")
    vault.backup(source)
    done = script.run(vault.folder, "latest", tmp_path / "out")
    assert not refused(done, tmp_path / "out"), done.stderr
    assert (tmp_path / "out" / TREE / "data").read_bytes() == b"of today, and longer"
    assert f"dated later than now; the last one is {future}" in done.stdout


def test_the_script_restores_what_is_the_users_own_without_being_root(
    vault: Vault, source: Path, script: ShellRestore
) -> None:
    vault.backup(source)
    script.use(vault.recovery_key)
    nobody = 65534
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        shutil.copytree(vault.folder, folder / "vault")
        shutil.copytree(script.script.parent, folder / "shell", symlinks=True)
        script.script, script.programs = folder / "shell/restore.sh", folder / "shell/bin"
        script.identity = folder / "shell/identity"
        user = {"user": nobody, "group": nobody, "extra_groups": []} if os.geteuid() == 0 else {}
        if user:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, nobody, nobody, follow_symlinks=False)
        done = script.run(folder / "vault", "latest", folder / "out", **user)
        assert not refused(done, folder / "out"), done.stderr
        mine = (nobody, nobody) if user else (os.getuid(), os.getgid())
        expected = {path: (mode, *mine, *rest) for path, (mode, _, _, *rest) in snapshot(source).items()}
        assert snapshot(folder / "out" / TREE) == expected


# -- what is damaged, exchanged or missing -----------------------------------------------------------------------


def store(objects: Objects, folder: Path) -> Path:
    for name, data in objects.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


class Attempts:
    """Many damaged repositories, each restored by the script, two at a time."""

    def __init__(self, shell: ShellRestore, original: Original) -> None:
        self._shell, self._original = shell, original
        self._runs: list[tuple[str, Objects, int]] = []
        shell.use(original.recovery)

    def add(self, what: str, objects: Objects, backup: int = 1) -> None:
        """Have one of the original's backups restored from these objects."""
        self._runs.append((what, objects, backup))

    def judge(self) -> dict[str, bool]:
        """Which were refused; fails when anything but what was backed up came back."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return dict(pool.map(self._judge, self._runs))

    def _judge(self, run: tuple[str, Objects, int]) -> tuple[str, bool]:
        what, objects, backup = run
        with tempfile.TemporaryDirectory(dir=MEMORY) as name:
            target = Path(name) / "out"
            done = self._shell.run(store(objects, Path(name) / "vault"), self._original.backups[backup].id, target)
            closed = refused(done, target)
            assert closed or snapshot(target / TREE) == self._original.contents[backup], what
            return what, closed


def test_no_object_that_is_needed_can_be_damaged_exchanged_or_missing(shell: ShellRestore, original: Any) -> None:
    objects = {name: data for name, data in original.second.items() if not name.startswith("locks/")}
    backup = original.backups[1].id
    attempts = Attempts(shell, original)
    attempts.add("nothing", objects)
    for name, data in objects.items():
        kind = name.partition("/")[0]
        if kind == "spare" or (kind == "manifests" and not name.startswith(f"manifests/{backup}")):
            continue
        without = {other: kept for other, kept in objects.items() if other != name}
        if kind == "keys":
            without = {other: kept for other, kept in without.items() if not other.startswith("spare/")}
        flipped = bytes([*data[:-40], data[-40] ^ 1, *data[len(data) - 39 :]])
        attempts.add(f"{name} flipped", without | {name: flipped})
        attempts.add(f"{name} cut short", without | {name: data[:-1]})
        attempts.add(f"{name} longer", without | {name: data + b"\n"})
        attempts.add(f"{name} removed", without)
        # The same damage under the name that the bytes then have.
        if kind != "config":
            renamed = name[:-64] + hash_name(flipped)
            attempts.add(f"{name} flipped and renamed", without | {renamed: flipped})
        for other, theirs in objects.items():
            if other.startswith(f"{kind}/") and other != name:
                attempts.add(f"{name} exchanged for {other}", objects | {name: theirs, other: data})
                break
        foreign = next(theirs for other, theirs in original.foreign.items() if other.partition("/")[0] == kind)
        attempts.add(f"{name} exchanged for another repository's", without | {name: foreign})
    refusals = attempts.judge()
    assert not refusals.pop("nothing")
    needed = {what for what, closed in refusals.items() if not closed}
    assert not needed, needed


def test_a_spare_key_ring_stands_in(shell: ShellRestore, original: Any) -> None:
    attempts = Attempts(shell, original)
    keys = [name for name in original.second if name.startswith("keys/")]
    attempts.add("missing", {name: data for name, data in original.second.items() if name not in keys})
    attempts.add("damaged", original.second | dict.fromkeys(keys, b"{}"))
    assert attempts.judge() == {"missing": False, "damaged": False}


def test_every_mutation_is_refused_or_restores_byte_identically(shell: ShellRestore, original: Any) -> None:
    chance = random.Random(7)
    attempts = Attempts(shell, original)
    for number in range(3 * len(MUTATIONS)):
        objects = dict(original.second)
        mutate = MUTATIONS[number % len(MUTATIONS)]
        mutate(chance, objects, original)
        attempts.add(f"{number}: {mutate.__name__}", objects, number % 2)
    assert len(set(attempts.judge().values())) == 2


def test_what_is_not_there_is_said(shell: ShellRestore, original: Any, tmp_path: Path) -> None:
    vault = store(original.second, tmp_path / "vault")
    target = tmp_path / "out"
    shell.use(Identity.generate())

    def said(repository: Path, backup: str) -> Any:
        done = shell.run(repository, backup, target)
        assert refused(done, target)
        shutil.rmtree(tmp_path / "out.incomplete", ignore_errors=True)
        return done.stderr

    assert "use one of its recovery keys" in said(vault, "latest")
    shell.use(original.recovery)
    assert "there is no backup 2000" in said(vault, "2000")
    assert "several backups begin with 20: give a longer prefix" in said(vault, "20")
    assert "is not a repository" in said(tmp_path, "latest")
    (shell.programs / "b3sum").unlink()
    assert "the program b3sum is missing" in said(vault, "latest")
    (shell.programs / "b3sum").symlink_to(shutil.which("b3sum") or "")
    target.mkdir()
    done = shell.run(vault, "latest", target)
    assert (done.returncode, list(target.iterdir())) == (1, [])
    assert "exists already" in done.stderr


# -- what a holder of all keys means as harm ---------------------------------------------------------------------


def shell_of_evil(evil: Evil, shell: ShellRestore, folder: Path) -> Any:
    shell.use(evil.recovery)
    done = shell.run(store(evil.storage.objects, folder / "vault"), "latest", folder / "out")
    refused(done, folder / "out")
    return done


@given(entries=hostile_entries(), ordered=st.booleans())
@example(entries=[entry("l", b"dir", extra=b"/tmp"), entry("f", b"dir/x")], ordered=False)
# Making a failing case smaller would run the script for minutes.
@settings(max_examples=25, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_no_manifest_leads_the_script_out_of_its_target(shell: ShellRestore, entries: Any, ordered: Any) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    segment = evil.pack(CONTENT)
    made = [msgspec.structs.replace(item, segments=item.segments.replace(b"S", segment.encode())) for item in entries]
    if ordered:
        made.sort(key=lambda item: item.path)
    evil.manifest([entry("d", b"."), entry("d", b"dir"), *made])
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        (folder / "outside").write_bytes(b"not yours")
        before = list(world(folder))
        shell_of_evil(evil, shell, folder)
        ours = tuple(str(folder / part) for part in ("out", "vault"))
        left = [item for item in world(folder) if not item[0].startswith(ours) or item[0].endswith("outside")]
        assert left == before


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"x\t755\t0\t0\t-\t-\t0\t0\t0\tT\ta\t-\t-", "its type x does not belong there"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\ta\t-", "it has 12 fields"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tother\ta\t-\t-", "its tree is not one of the backup"),
        (b"d\t855\t0\t0\t-\t-\t0\t0\t0\tT\ta\t-\t-", "its numbers can not be understood"),
        (
            b"d\t755\t0\t0\t-\t-\t9999999999999999999999999999999\t0\t0\tT\ta\t-\t-",
            "its numbers can not be understood",
        ),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\t\\0141\t-\t-", "its names can not be understood"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\ta\\0000\t-\t-", "its names can not be understood"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\t../a\t-\t-", "it leads out of its folder"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\tb/a\t-\t-", "it is not in a folder of the backup"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\ta\t-\tsomething\t-", "it leads somewhere, and is not a link"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\ta\t-\t-\tuser.x=0", "its attributes can not be understood"),
        (b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\ta\t-\t-\t-\t-", "it has 15 fields"),
        (b"h\t755\t0\t0\t-\t-\t0\t0\t0\tT\ta\t-\t../b\t-", "it is a hard link to a file that is not in the backup"),
        (b"f\t644\t0\t0\t-\t-\t0\t5\t0\tT\ta\th6\t-\t-", "its segments do not add up to its size"),
        (b"f\t644\t0\t0\t-\t-\t0\t5\t0\tT\ta\t-\t-", "its segments do not add up to its size"),
        (b"f\t644\t0\t0\t-\t-\t0\t5\t0\tT\ta\tabc\t-", "no index knows its segment abc"),
    ],
)
def test_a_line_that_is_not_understood_is_refused(shell: ShellRestore, tmp_path: Path, line: Any, why: Any) -> None:
    storage = MemoryStorage(KEYS.storage.objects)
    evil = Evil(Repository(storage, [KEYS.recovery]), storage, KEYS.recovery)
    tree = TreeHeader(TREE, "files", "folder", "/original", 2, 0, 0)
    ended = "2026-01-01T00:00:00Z"
    header = Header(1, "hive", "cold", "host", ended, ended, "0", None, {}, [tree])
    root = b"d\t755\t0\t0\t-\t-\t0\t0\t0\tT\t.\t-\t-"
    lines = [one.replace(b"T", TREE.encode()) for one in (root, line)]
    evil.lines("manifest", msgspec.json.encode(header), lines)
    assert why in shell_of_evil(evil, shell, tmp_path).stderr
