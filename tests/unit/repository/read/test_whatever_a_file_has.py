"""Access lists, attributes, hard links, holes and odd times come back, and what can't is counted and named."""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from propolis import clone
from propolis.clone import Method, place
from propolis.filesystem import acl
from propolis.filesystem.attributes import ACCESS_LIST, DEFAULT_LIST
from propolis.repository import BackupSummary, Facts, verify
from propolis.repository.maintenance.repair import repair
from propolis.repository.write.begin import begin
from unit.repository.repository_tools import TREE, Vault

OWNER, USER, GROUP_OF_OWNER, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NO_ONE = (1 << 32) - 1


def access_list(*grants: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *grant) for grant in grants)


SHARED = access_list(
    (OWNER, 6, NO_ONE), (USER, 4, 1234), (GROUP_OF_OWNER, 0, NO_ONE), (MASK, 4, NO_ONE), (OTHER, 0, NO_ONE)
)
DENIED = access_list(
    (OWNER, 6, NO_ONE), (USER, 0, 1234), (GROUP_OF_OWNER, 4, NO_ONE), (MASK, 4, NO_ONE), (OTHER, 4, NO_ONE)
)


def attributes(path: Path) -> dict[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "file").write_bytes(b"content")
    return made


def backup_of_a_clone(vault: Vault, folder: Path, method: Method, run: str = "r1") -> BackupSummary:
    """Back up as a cold backup does; `.db` files are those that never change."""
    made = clone.clone(folder, place(folder, run), lambda path: path.endswith(".db"), method)
    with begin(vault.host, "hive") as writer:
        writer.add_folder(
            "files",
            TREE,
            made.clone,
            folder,
            inode_of=made.inode_of,
            linked=made.linked,
            unkept=made.unkept,
        )
        summary = writer.commit(Facts())
    vault.stats = writer.stats
    clone.drop(made.clone)
    return summary


METHODS = pytest.mark.parametrize("method", [Method.HARDLINK, Method.COPY])


@METHODS
def test_a_file_with_an_access_list_comes_back_no_more_readable(
    vault: Vault, folder: Path, tmp_path: Path, method: Method
) -> None:
    for name in ("shared", "shared.db"):
        (folder / name).write_bytes(b"secret")
        os.setxattr(folder / name, ACCESS_LIST, SHARED)
    os.setxattr(folder / "sub", DEFAULT_LIST, SHARED)
    vault.restore(backup_of_a_clone(vault, folder, method), tmp_path / "out")
    for name in ("shared", "shared.db", "sub", "sub/file", "."):
        assert attributes(tmp_path / "out" / name) == attributes(folder / name), name
        assert mode(tmp_path / "out" / name) == mode(folder / name)


@METHODS
def test_attributes_come_back_but_for_those_that_bear_privileges(
    vault: Vault, folder: Path, tmp_path: Path, method: Method
) -> None:
    kept = {"user.note": b"\0\xffany bytes", "user.empty": b"", "user.a=b, c\xe9": b"odd name"}
    power = {"security.capability": bytes.fromhex("0100000200200000000000000000000000000000"), "trusted.x": b"1"}
    for name in ("x.db", "x"):
        (folder / name).write_bytes(b"#!/bin/sh")
        for attribute, value in (kept | power).items():
            os.setxattr(folder / name, attribute, value)
    os.setxattr(folder, "user.root", b"the folder's own")
    (folder / "x").chmod(0o4755)
    summary = backup_of_a_clone(vault, folder, method)
    result = vault.restore(summary, tmp_path / "out")
    assert attributes(tmp_path / "out" / "x") == attributes(tmp_path / "out" / "x.db") == kept
    assert attributes(tmp_path / "out") == {"user.root": b"the folder's own"}
    assert mode(tmp_path / "out" / "x") == 0o755
    assert {kind.what: (kind.count, sorted(kind.examples)) for kind in result.unkept} == {
        "attributes that are not restored: security.capability": (2, [f"{TREE}/x", f"{TREE}/x.db"]),
        "attributes that are not restored: trusted.x": (2, [f"{TREE}/x", f"{TREE}/x.db"]),
        "set-user-ID and set-group-ID bits": (1, [f"{TREE}/x"]),
    }
    # All of it is in the backup all the same.
    entry = next(entry for entry in vault.host.manifest(summary.id).entries() if entry.path == b"x.db")
    assert b"security.capability=01000002" in entry.attributes


@METHODS
def test_names_of_one_file_come_back_as_names_of_one_file(
    vault: Vault, folder: Path, tmp_path: Path, method: Method
) -> None:
    (folder / "a.db").write_bytes(b"immutable")
    os.link(folder / "a.db", folder / "sub" / "b.db")
    (folder / "log").write_bytes(b"x" * (2 << 20))
    os.link(folder / "log", folder / "sub" / "log")
    (folder / "alone.db").write_bytes(b"immutable")
    os.link(folder / "alone.db", tmp_path / "outside of the tree")
    summary = backup_of_a_clone(vault, folder, method)
    result = vault.restore(summary, tmp_path / "out")
    assert (result.links, result.files, summary.files) == (2, 4, 4)
    out = tmp_path / "out"
    assert (out / "a.db").samefile(out / "sub" / "b.db")
    assert (out / "log").samefile(out / "sub" / "log")
    assert [(out / name).stat().st_nlink for name in ("a.db", "log", "alone.db", "sub/file")] == [2, 2, 1, 1]
    assert (out / "sub" / "log").read_bytes() == b"x" * (2 << 20)
    assert verify(vault.full, summary.id, "full").ok
    backup_of_a_clone(vault, folder, method, "r2")
    assert vault.stats.read == 0


def test_a_further_name_alone_brings_the_content_with_it(vault: Vault, folder: Path, tmp_path: Path) -> None:
    (folder / "first").write_bytes(b"content")
    for name in ("second", "third"):
        os.link(folder / "first", folder / "sub" / name)
    summary = vault.backup(folder)
    vault.restore(summary, tmp_path / "out", paths=lambda path: path.startswith(b"sub/"))
    assert (tmp_path / "out" / "sub" / "second").read_bytes() == b"content"
    assert (tmp_path / "out" / "sub" / "second").samefile(tmp_path / "out" / "sub" / "third")
    assert not (tmp_path / "out" / "first").exists()


@METHODS
def test_holes_stay_holes_and_zeros_stay_zeros(vault: Vault, folder: Path, tmp_path: Path, method: Method) -> None:
    with (folder / "sparse").open("wb") as file:
        file.seek(8 << 20)
        file.write(b"in the middle" * 1000)
        file.seek(20 << 20)
        file.write(b"near the end")
        file.truncate(1 << 40)
    (folder / "hole.db").touch()
    os.truncate(folder / "hole.db", 100 << 20)
    (folder / "zeros").write_bytes(bytes(3 << 20))
    summary = backup_of_a_clone(vault, folder, method)
    assert vault.stats.read < 10 << 20
    header = summary.header.trees[0]
    assert header.bytes - header.holes < 10 << 20
    vault.restore(summary, tmp_path / "out")
    for name in ("sparse", "hole.db", "zeros"):
        there, here = (tmp_path / "out" / name).stat(), (folder / name).stat()
        assert (there.st_size, there.st_mtime_ns) == (here.st_size, here.st_mtime_ns)
        assert there.st_blocks <= here.st_blocks
    with (tmp_path / "out" / "sparse").open("rb") as file:
        assert file.read(21 << 20) == (folder / "sparse").open("rb").read(21 << 20)
    assert (tmp_path / "out" / "zeros").read_bytes() == bytes(3 << 20)
    assert verify(vault.full, summary.id, "full").ok
    # An unchanged one is not looked at again.
    backup_of_a_clone(vault, folder, method, "r2")
    assert vault.stats.read == 0


def test_what_holds_no_data_is_counted_and_named(vault: Vault, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "sub" / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with contextlib.chdir(folder), socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    whole = backup_of_a_clone(vault, folder, Method.COPY).header.unkept
    assert {kind.what: (kind.count, kind.examples) for kind in whole} == {
        "pipes": (1, [f"{TREE}/pipe"]),
        "sockets": (1, [f"{TREE}/socket"]),
        "devices": (1, [f"{TREE}/sub/null"]),
    }
    assert vault.backup(folder).header.unkept == whole
    assert str(whole[0]) == f"1 devices: {TREE}/sub/null"


@pytest.mark.parametrize("value", [-(10**9) * 10, -1, (1 << 63) + 5, 10_413_792_000 * 10**9])
def test_a_time_of_any_century_comes_back(vault: Vault, folder: Path, tmp_path: Path, value: int) -> None:
    os.utime(folder / "sub" / "file", ns=(0, value))
    os.utime(folder / "sub", ns=(0, value))
    summary = vault.backup(folder)
    result = vault.restore(summary, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "file").stat().st_mtime_ns == (folder / "sub" / "file").stat().st_mtime_ns
    assert (tmp_path / "out" / "sub").stat().st_mtime_ns == (folder / "sub").stat().st_mtime_ns
    assert result.unkept == ()
    assert verify(vault.full, summary.id, "full").ok


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on a file system that knows later times than the one tests run on."""
    folder = Path(f"/dev/shm/propolis-{os.getpid()}")
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def test_a_time_that_the_target_can_not_hold_is_told(vault: Vault, elsewhere: Path, tmp_path: Path) -> None:
    (elsewhere / "file").write_bytes(b"x")
    os.utime(elsewhere / "file", ns=(0, 20_000_000_000 * 10**9))
    result = vault.restore(vault.backup(elsewhere), tmp_path / "out")
    assert [(kind.what, kind.examples) for kind in result.unkept] == [
        ("times that the file system can't hold", [f"{TREE}/file"])
    ]


def test_nobody_gets_more_where_a_file_system_refuses_access_lists(
    vault: Vault, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"shared": SHARED, "denied": DENIED}.items():
        (folder / name).write_bytes(b"secret")
        os.setxattr(folder / name, ACCESS_LIST, value)
    assert mode(folder / "shared") == 0o640  # the group's bits are the list's mask: the group itself may nothing
    summary = vault.backup(folder)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    result = vault.restore(summary, tmp_path / "out")
    assert mode(tmp_path / "out" / "shared") == 0o600
    assert mode(tmp_path / "out" / "denied") == 0o600
    assert [(kind.what, kind.count) for kind in result.unkept] == [
        ("attributes that the file system refuses: system.posix_acl_access", 2)
    ]


def test_nothing_can_be_read_by_others_before_it_has_its_rights(
    vault: Vault, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder above hands a list down to whatever is made in it: it must not apply meanwhile either."""
    everybody = access_list(
        (OWNER, 7, NO_ONE), (USER, 7, 1234), (GROUP_OF_OWNER, 7, NO_ONE), (MASK, 7, NO_ONE), (OTHER, 7, NO_ONE)
    )
    (tmp_path / "above").mkdir()
    os.setxattr(tmp_path / "above", DEFAULT_LIST, everybody)
    (folder / "large").write_bytes(os.urandom(3 << 20))
    (folder / "empty").touch()
    summary = vault.backup(folder)
    seen: list[tuple[int, tuple[str, ...]]] = []
    out = tmp_path / "above" / "out"

    def look(*arguments: Any, real: Any = os.fchmod) -> None:
        for path in [out, *out.rglob("*")]:
            if not path.is_symlink():
                seen.append((mode(path) & 0o077, tuple(attributes(path))))
        real(*arguments)

    monkeypatch.setattr(os, "fchmod", look)
    vault.restore(summary, out, owner=lambda entry: None)
    allowed = {(mode(path) & 0o077, ()) for path in [folder, *folder.rglob("*")]}
    assert seen.count((0, ())) > 5
    assert set(seen) <= allowed | {(0, ())}
    for path in [folder, *folder.rglob("*")]:
        assert attributes(out / path.relative_to(folder)) == {}


def test_users_of_access_lists_are_those_of_that_name_here(vault: Vault, folder: Path, tmp_path: Path) -> None:
    os.setxattr(
        folder / "sub" / "file",
        ACCESS_LIST,
        access_list(
            (OWNER, 6, NO_ONE),
            (USER, 6, 1),
            (USER, 4, 1234),
            (GROUP_OF_OWNER, 0, NO_ONE),
            (GROUP, 4, 2),
            (MASK, 6, NO_ONE),
            (OTHER, 0, NO_ONE),
        ),
    )
    summary = vault.backup(folder)
    tree = summary.header.trees[0]
    assert (tree.users, tree.groups) == ({"1": "daemon", "1234": ""}, {"2": "bin"})

    def owner(entry: Any) -> tuple[int, int]:
        return {"daemon": 501}.get(entry.user, entry.uid), {"bin": 502}.get(entry.group, entry.gid)

    vault.restore(summary, tmp_path / "out", owner=owner)
    grants = acl.parse(os.getxattr(tmp_path / "out" / "sub" / "file", ACCESS_LIST))
    named = [grant for grant in grants if grant.kind in (USER, GROUP)]
    assert named == [(USER, 6, 501), (USER, 4, 1234), (GROUP, 4, 502)]


def test_of_two_users_that_become_one_the_lesser_rights_count() -> None:
    two = access_list(
        (OWNER, 6, NO_ONE),
        (USER, 6, 1),
        (USER, 3, 2),
        (GROUP_OF_OWNER, 0, NO_ONE),
        (MASK, 7, NO_ONE),
        (OTHER, 0, NO_ONE),
    )
    one = acl.parse(acl.renumber(two, lambda number: 7, lambda number: number))
    assert [grant for grant in one if grant.kind == USER] == [(USER, 2, 7)]


def test_a_lost_segment_of_a_sparse_file_comes_back_from_the_stack(
    vault: Vault, folder: Path, tmp_path: Path
) -> None:
    with (folder / "sparse").open("wb") as file:
        for start in (0, 8 << 20, 30 << 20):
            file.seek(start)
            file.write(os.urandom(1 << 20) + os.urandom(70_000))
        file.truncate(50 << 20)
    summary = vault.backup(folder)
    for pack in vault.objects("packs"):
        pack.unlink()
    assert not repair(vault.full, plan=True).ok
    assert repair(vault.full, {TREE: folder}).ok
    vault.restore(summary, tmp_path / "out")
    assert (tmp_path / "out" / "sparse").read_bytes() == (folder / "sparse").read_bytes()


@pytest.mark.parametrize("what", ["packs", "indexes"])
def test_a_pack_that_no_index_knows_is_understood_whatever_holes_there_are(
    vault: Vault, folder: Path, tmp_path: Path, what: str
) -> None:
    with (folder / "sparse").open("wb") as file:
        file.seek(8 << 20)
        file.write(os.urandom((1 << 20) + 70_000))
        file.truncate(50 << 20)
    summary = vault.backup(folder)
    for lost in vault.objects(what):
        lost.unlink()
    repaired = repair(vault.full, {} if what == "indexes" else {TREE: folder})
    assert repaired.ok
    vault.restore(summary, tmp_path / "out")
    assert (tmp_path / "out" / "sparse").read_bytes() == (folder / "sparse").read_bytes()


def refusing(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(os, call)

    def refuse(file: Any, name: Any, *rest: Any, **more: Any) -> Any:
        if os.fsencode(name) in (ACCESS_LIST, b"user.note"):
            raise PermissionError(13, "Permission denied")
        return real(file, name, *rest, **more)

    monkeypatch.setattr(os, call, refuse)


def test_attributes_that_can_not_be_read_are_counted_and_a_list_among_them_closes_the_file(
    vault: Vault, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "shared").write_bytes(b"secret")
    os.setxattr(folder / "shared", ACCESS_LIST, SHARED)
    os.setxattr(folder / "sub" / "file", "user.note", b"x")
    refusing("getxattr", monkeypatch)
    summary = vault.backup(folder)
    monkeypatch.undo()
    assert [(kind.what, kind.examples) for kind in summary.header.unkept] == [
        ("attributes that can't be kept or read: system.posix_acl_access", [f"{TREE}/shared"]),
        ("attributes that can't be kept or read: user.note", [f"{TREE}/sub/file"]),
    ]
    vault.restore(summary, tmp_path / "out")
    assert mode(folder / "shared") == 0o640
    assert mode(tmp_path / "out" / "shared") == 0o600


def test_a_clone_that_can_have_no_list_makes_no_backup_more_readable(
    vault: Vault, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "shared").write_bytes(b"secret")
    os.setxattr(folder / "shared", ACCESS_LIST, SHARED)
    refusing("setxattr", monkeypatch)
    summary = backup_of_a_clone(vault, folder, Method.COPY)
    monkeypatch.undo()
    assert [kind.examples for kind in summary.header.unkept] == [[f"{TREE}/shared"]]
    vault.restore(summary, tmp_path / "out")
    assert mode(tmp_path / "out" / "shared") == 0o600
