"""Ten thousand damaged copies of a repository: each is noticed, or restores byte-identically."""

import collections
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from propolis.errors import PropolisError
from propolis.repository import BackupSummary, Facts, Identity, Repository, restore_folder, verify
from propolis.repository.maintenance.check import ReadData, check
from propolis.repository.records.overview import overview
from propolis.repository.write.begin import begin
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import TREE, snapshot

ROUNDS = 25
LIST = bytes.fromhex("0200000001000700ffffffff02000400d204000004000500ffffffff10000500ffffffff20000000ffffffff")
A_ROUND = 400

Objects = dict[str, bytes]
Mutation = Callable[[random.Random, Objects, "Original"], None]


@dataclass
class Original:
    """A repository of two backups, as it was after each of them, and another one of the same keys."""

    recovery: Identity
    first: Objects
    second: Objects
    foreign: Objects
    backups: list[BackupSummary]
    contents: list[Any]


def back_up(storage: MemoryStorage, host: Identity, folder: Path) -> BackupSummary:
    with begin(Repository(storage, [host]), "hive", workers=1) as writer:
        writer.add_folder("files", TREE, folder, Path("/original"))
        return writer.commit(Facts())


def new_storage(recovery: Identity, host: Identity) -> MemoryStorage:
    storage = MemoryStorage()
    Repository.create(storage, [recovery.recipient], host, segment_bytes=4096)
    return storage


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    chance = random.Random(1)
    folder = tmp_path_factory.mktemp("mutations") / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "large").write_bytes(chance.randbytes(9000))
    (folder / "text").write_bytes(b"many words " * 600)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("text")
    os.link(folder / "text", folder / "text again")
    os.setxattr(folder / "text", "user.note", b"on the text")
    os.setxattr(folder / "deep", "system.posix_acl_default", LIST)
    with (folder / "sparse").open("wb") as sparse:
        sparse.seek(200_000)
        sparse.write(b"behind a hole")
    for number in range(5):
        (folder / f"small-{number}").write_bytes(chance.randbytes(50 + number * 100))
    host, recovery = Identity.generate(), Identity.generate()
    storage, other = new_storage(recovery, host), new_storage(recovery, host)
    backups, contents = [back_up(storage, host, folder)], [snapshot(folder)]
    back_up(other, host, folder)
    first = dict(storage.objects)
    (folder / "deep" / "new").write_bytes(chance.randbytes(5000))
    (folder / "small-1").write_bytes(b"changed")
    (folder / "small-2").unlink()
    backups.append(back_up(storage, host, folder))
    contents.append(snapshot(folder))
    return Original(recovery, first, dict(storage.objects), other.objects, backups, contents)


# -- kinds of damage ---------------------------------------------------------------------------------------------


def any_of(chance: random.Random, objects: Objects) -> str:
    """An object: first its kind, so that the few manifests are hit as often as the many packs."""
    kinds = sorted({name.partition("/")[0] for name in objects})
    kind = chance.choice(kinds)
    return chance.choice([name for name in objects if name.partition("/")[0] == kind])


def flip_bits(chance: random.Random, objects: Objects, _: Original) -> None:
    name = any_of(chance, objects)
    data = bytearray(objects[name])
    for _bit in range(chance.choice([1, 1, 1, 2, 8])):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    objects[name] = bytes(data)


def truncate(chance: random.Random, objects: Objects, _: Original) -> None:
    name = any_of(chance, objects)
    objects[name] = objects[name][: chance.randrange(len(objects[name]) + 1)]


def lengthen(chance: random.Random, objects: Objects, _: Original) -> None:
    name = any_of(chance, objects)
    objects[name] += chance.choice([b"\0", b"\n", chance.randbytes(20), objects[name]])


def cut_out(chance: random.Random, objects: Objects, _: Original) -> None:
    name = any_of(chance, objects)
    start, end = sorted(chance.randrange(len(objects[name]) + 1) for _ in range(2))
    objects[name] = objects[name][:start] + objects[name][end:]


def overwrite(chance: random.Random, objects: Objects, _: Original) -> None:
    name = any_of(chance, objects)
    data = bytearray(objects[name])
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    data[start:end] = bytes(end - start) if chance.random() < 0.5 else chance.randbytes(end - start)
    objects[name] = bytes(data)


def reorder_within(chance: random.Random, objects: Objects, _: Original) -> None:
    name = any_of(chance, objects)
    a, b, c = sorted(chance.randrange(len(objects[name]) + 1) for _ in range(3))
    data = objects[name]
    objects[name] = data[:a] + data[b:c] + data[a:b] + data[c:]


def repeat_within(chance: random.Random, objects: Objects, _: Original) -> None:
    name = any_of(chance, objects)
    start, end = sorted(chance.randrange(len(objects[name]) + 1) for _ in range(2))
    objects[name] = objects[name][:end] + objects[name][start:]


def delete(chance: random.Random, objects: Objects, _: Original) -> None:
    del objects[any_of(chance, objects)]


def swap(chance: random.Random, objects: Objects, _: Original) -> None:
    a = any_of(chance, objects)
    b = any_of(chance, objects) if chance.random() < 0.3 else same_kind(chance, objects, a)
    objects[a], objects[b] = objects[b], objects[a]


def put_in_place_of(chance: random.Random, objects: Objects, _: Original) -> None:
    a = any_of(chance, objects)
    objects[a] = objects[same_kind(chance, objects, a)]


def duplicate(chance: random.Random, objects: Objects, _: Original) -> None:
    """The same bytes under another name: another time, sequence, hash, folder or kind."""
    name = any_of(chance, objects)
    time = f"{chance.randrange(2000, 2040)}0101T000000Z"
    digest = name[-64:] if chance.random() < 0.7 else chance.randbytes(32).hex()
    kind = name.partition("/")[0]
    new = {
        "manifests": f"manifests/{time}-{digest}",
        "keys": f"keys/{chance.randrange(1, 5):06d}-{digest}",
        "packs": f"packs/{chance.choice([digest[:2], 'ff'])}/{digest}",
        "indexes": f"indexes/{digest}",
    }[chance.choice([kind if kind not in ("config", "spare") else "keys", "manifests", "indexes", "packs", "keys"])]
    objects[new] = objects[name]
    if chance.random() < 0.5 and new != name:
        del objects[name]


def take_stale(chance: random.Random, objects: Objects, original: Original) -> None:
    """Some or all objects as they were after the first backup: what came later vanishes."""
    later = [name for name in original.second if name not in original.first and name in objects]
    kinds = chance.sample(["packs", "indexes", "manifests", "keys"], chance.randrange(1, 5))
    for name in later:
        if name.partition("/")[0] in kinds:
            del objects[name]


def put_stale_in_place(chance: random.Random, objects: Objects, original: Original) -> None:
    """An object of the second backup gets the bytes of the first's."""
    later = [name for name in original.second if name not in original.first]
    name = chance.choice(later)
    before = [old for old in original.first if old.partition("/")[0] == name.partition("/")[0]]
    objects[name] = original.first[chance.choice(before)]


def put_foreign(chance: random.Random, objects: Objects, original: Original) -> None:
    """Objects of another repository with the same recipients: added, or instead of ours."""
    for name in chance.sample(list(original.foreign), chance.randrange(1, 4)):
        if chance.random() < 0.5:
            objects[same_kind(chance, objects, name)] = original.foreign[name]
        else:
            objects[name] = original.foreign[name]


def several(chance: random.Random, objects: Objects, original: Original) -> None:
    for mutate in chance.choices([item for item in MUTATIONS if item is not several], k=chance.randrange(2, 5)):
        if objects:
            mutate(chance, objects, original)


def same_kind(chance: random.Random, objects: Objects, name: str) -> str:
    kind = name.partition("/")[0]
    return chance.choice([other for other in objects if other.partition("/")[0] == kind] or list(objects))


MUTATIONS: list[Mutation] = [
    flip_bits,
    truncate,
    lengthen,
    cut_out,
    overwrite,
    reorder_within,
    repeat_within,
    delete,
    swap,
    put_in_place_of,
    duplicate,
    take_stale,
    put_stale_in_place,
    put_foreign,
    several,
]


# -- what must hold ----------------------------------------------------------------------------------------------


def restored(repository: Repository, summary: BackupSummary, target: Path) -> Any:
    """What comes back of a backup; None when the restore is refused."""
    try:
        manifest = repository.manifest(repository.resolve(summary.id))
        restore_folder(repository, manifest, TREE, target)
        return snapshot(target)
    except PropolisError:
        return None
    finally:
        shutil.rmtree(target, ignore_errors=True)


def judge(original: Original, objects: Objects, scratch: Path) -> str:
    """`harmless` or how it was noticed; fails when something wrong came back, or a check called damage whole."""
    storage = MemoryStorage(objects)
    try:
        repository = Repository(storage, [original.recovery])
    except PropolisError:
        found = [None] * len(original.backups)
        assert not check_passes(original, objects)
        return "noticed when it was opened"
    found = [restored(repository, summary, scratch / "out") for summary in original.backups]
    for content, expected in zip(found, original.contents, strict=True):
        assert content is None or content == expected
    shown = overview_shows_the_rest(original, objects, repository)
    if None not in found:
        return "harmless"
    there = {id for id, _ in repository.names()}
    for summary, content in zip(original.backups, found, strict=True):
        if content is None and summary.id in there:
            assert not check_passes(original, objects)
            assert not verified(repository, summary)
            return "noticed by check, verify and restore"
    return f"noticed: the backup is not listed any more{shown}"


def overview_shows_the_rest(original: Original, objects: Objects, repository: Repository) -> str:
    """Backups whose manifests are untouched are listed, whatever else is damaged; and a lost parent is missed."""
    found = overview(repository)
    if objects.get("config") != original.second["config"]:
        return ""  # it is the other repository now
    names = {name: summary for summary in original.backups for name in original.second if _is_of(name, summary)}
    whole = {summary.id for name, summary in names.items() if objects.get(name) == original.second[name]}
    assert whole <= {backup.id for backup in found.backups}
    first, second = (summary.id for summary in original.backups)
    if second not in whole or any(_is_of(name, original.backups[0]) for name in objects):
        return ""
    assert [first in finding.what for finding in found.missing if finding.object.startswith("manifests/")] == [True]
    return ", and is missed"


def _is_of(name: str, summary: BackupSummary) -> bool:
    return name.startswith("manifests/") and f"{name[10:26]}-{name[27:35]}" == summary.id


def check_passes(original: Original, objects: Objects) -> bool:
    try:
        return check(MemoryStorage(objects), [original.recovery], read_data=ReadData()).ok
    except PropolisError:
        return False


def verified(repository: Repository, summary: BackupSummary) -> bool:
    try:
        return verify(repository, summary.id, "full").ok
    except PropolisError:
        return False


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_every_mutation_is_noticed_or_restores_byte_identically(original: Original, seed: int) -> None:
    chance = random.Random(seed)
    outcomes: collections.Counter[str] = collections.Counter()
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        for number in range(A_ROUND):
            objects = dict(original.second)
            mutate = MUTATIONS[number % len(MUTATIONS)]
            mutate(chance, objects, original)
            try:
                outcomes[judge(original, objects, Path(scratch))] += 1
            except AssertionError as error:
                raise AssertionError(f"mutation {number} of seed {seed}: {mutate.__name__}") from error
    assert sum(outcomes.values()) == A_ROUND
    assert len(outcomes) > 2, outcomes


def test_the_undamaged_repository_restores_and_passes_its_check(original: Original, tmp_path: Path) -> None:
    assert judge(original, original.second, tmp_path) == "harmless"
    result = check(MemoryStorage(original.second), [original.recovery], read_data=ReadData())
    assert result.ok
    assert (result.backups, result.packs) == (2, result.packs_decrypted)
    assert result.unchecked == ()
    assert result.remarks == ()
