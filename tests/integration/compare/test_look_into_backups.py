"""`diff`, `extract` and `find` on the command line, against a whole stack of fake services."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.stack import FakeStack
from ordinary import ordinary_user
from propolis import cli
from propolis.clone import place
from propolis.compare import Comparison, compare_live
from propolis.compare import live as compare_module
from propolis.compare.live import LiveTrees, left_out
from propolis.report.streams import ENCODED
from propolis.repository import Location, Repository, read_identities
from propolis.repository.browse.diff import Change

ATTACHED = "files/attachment/3f/attached"


class Command:
    """The command line, in this process."""

    def __init__(self, stack: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
        self.stack, self._capsys = stack, capsys

    def __call__(self, *arguments: str | Path, key: bool = False) -> tuple[int, str, str]:
        """The exit code and what was said."""
        self._capsys.readouterr()
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors=ENCODED)  # type: ignore[union-attr]
        given = [*map(str, arguments), "--config", str(self.stack.propolis.config_file)]
        code = cli.run([*given, *(["--identity", str(self.stack.key)] if key else [])])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def command(fake_stack: FakeStack, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The files of the stack are again as they were when the test ends, but for their times."""
    before = fake_stack.content()
    yield Command(fake_stack, capsys)
    for name in fake_stack.content().keys() - before.keys():
        (fake_stack.root / name).unlink()
    for name, text in before.items():
        (fake_stack.root / name).write_text(text)


@pytest.fixture
def backed_up(fake_stack: FakeStack, command: Command) -> Command:
    """The same, with a backup of what is there."""
    fake_stack.back_up()
    return command


def live(stack: FakeStack, **options: Any) -> tuple[Comparison, list[Change]]:
    config = stack.config
    repository = Repository.open(Location.from_config(config.repository), read_identities(config.repository.host_key))
    latest = repository.latest()
    assert latest is not None
    found = compare_live(config, repository, latest, **options)
    return found, [change for tree in found.trees for change in tree.changes]


def test_what_changed_since_a_backup_is_shown_then_extracted_and_found(
    backed_up: Command, fake_stack: FakeStack, tmp_path: Path
) -> None:
    before = fake_stack.content()
    code, out, err = backed_up("diff", "latest")
    assert (code, err) == (0, "")
    assert "No differences were found." in out
    assert "note: Running: TheHive, the index, the database. Files may be changing" in out
    fake_stack.change()
    attached = fake_stack.root / ATTACHED
    attached.write_text("something else")
    old = fake_stack.root / "elasticsearch/indices/thehive_global/_1.cfs"
    old.unlink()
    code, out, err = backed_up("diff", "latest")
    assert (code, err) == (0, "")
    shown = [line.strip() for line in out.splitlines()]
    assert "+ index/data/indices/thehive_global/_2.cfs  5 B" in shown
    assert "- index/data/indices/thehive_global/_1.cfs  8 B" in shown
    assert "~ files/folder/attachment/3f/attached  10 B -> 14 B  (content, time)" in shown
    numbers = next(line.split("  ") for line in shown if line.startswith("files  "))
    assert [number.strip() for number in numbers if number][:4] == [
        "files",
        "1 (5 B)",
        "0",
        "1 (10 B -> 14 B; 1 in content)",
    ]
    assert "--content compares their bytes, too" in out
    # The same as programs read it, of some stores.
    found = backed_up.lines("diff", "latest", "--only", "files,index")
    changes = {line["path"]: line["kind"] for line in found if line["record"] == "change"}
    assert changes == {
        "attachment/3f/attached": "changed",
        "attachment/3f/since": "added",
        "indices/thehive_global/_1.cfs": "removed",
        "indices/thehive_global/_2.cfs": "added",
    }
    assert [line["tree"] for line in found if line["record"] == "tree"] == ["index/data", "files/folder"]
    assert found[-1]["record"] == "summary"
    assert found[-1]["stores"]["files"] | {"unchanged": 0} == found[-1]["stores"]["files"] | {"unchanged": 0}
    assert (found[-1]["total"]["added"], found[-1]["total"]["removed"], found[-1]["total"]["changed"]) == (2, 1, 1)
    first = found[-1]["before"]
    # A second backup: the same differences, between the two.
    second = fake_stack.back_up().summary.id
    between = backed_up.lines("diff", first, second, "--only", "files,index")
    assert [line for line in between if line["record"] == "change"] == [
        line for line in found if line["record"] == "change"
    ]
    # The former attachment comes out of the former backup.
    out_folder = tmp_path / "out"
    code, out, err = backed_up("extract", first, "files/folder/attachment/3f/*", "--to", out_folder, key=True)
    assert code == 0, err
    assert "Wrote 1 file (10 B)" in out
    assert (out_folder / "files/folder/attachment/3f/attached").read_text() == before[ATTACHED]
    # And is known to lie in it, and the other one in the later backup.
    code, out, _ = backed_up("find", "attached")
    assert code == 0
    assert f"in {second}: 14 B, content 1 of 2" in out
    digest = hashlib.sha256(b"something else").hexdigest()
    code, out, err = backed_up("find", digest)
    assert (code, "Give --content" in err) == (1, True)
    code, out, err = backed_up("find", digest, "--content", "--json", key=True)
    assert code == 0, err
    result = json.loads(out)
    assert [(file["path"], [run["newest"] for run in file["runs"]]) for file in result["files"]] == [
        ("attachment/3f/attached", [second])
    ]


# -- live folders ------------------------------------------------------------------------------------------------


def test_content_that_changed_in_secret_is_found_by_reading(backed_up: Command, fake_stack: FakeStack) -> None:
    path = fake_stack.root / ATTACHED
    status = path.stat()
    path.write_text("ATTACHMENT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert live(fake_stack)[1] == []
    found, changes = live(fake_stack, content=True)
    assert [(change.path, change.what) for change in changes] == [(b"attachment/3f/attached", ("content",))]
    assert found.unread == []
    path.write_text("attachment")
    # The same bytes again: only the time is another.
    assert [(change.path, change.what) for change in live(fake_stack, content=True)[1]] == [
        (b"attachment/3f/attached", ("time",))
    ]
    code, _, err = backed_up("diff", "latest", "latest", "--content")
    assert (code, "the content of backups is always compared" in err) == (2, True)


def test_what_no_backup_keeps_is_not_compared(backed_up: Command, fake_stack: FakeStack) -> None:
    data = fake_stack.root / "cassandra/data"
    snapshot = data / "thehive/edgestore/snapshots"
    snapshot.mkdir()
    fake_stack.back_up()
    (snapshot / "one").write_text("set aside")
    (fake_stack.root / "files/socket").parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(fake_stack.root / "files")
        server.bind("socket")
        found, changes = live(fake_stack)
    (fake_stack.root / "files/socket").unlink()
    (snapshot / "one").unlink()
    snapshot.rmdir()
    assert changes == []
    assert [remark for remark in found.remarks if "socket" in remark] == [
        "files/folder: not compared, since no backup keeps them: 1 sockets: socket"
    ]


def test_clones_of_our_own_are_left_out_and_those_of_others_are_not(tmp_path: Path) -> None:
    exclude = left_out({".propolis-r1"}, lambda path: "snapshots" if path.endswith("snapshots") else None)
    assert exclude(".propolis-r1")
    assert exclude("a/snapshots/x")
    assert not exclude("a/snapshots")
    assert not exclude("a/.propolis-r1")
    assert not exclude(".propolis-r2")
    assert place(tmp_path, "r1").name.startswith(".propolis-r1")


def test_a_folder_that_is_gone_counts_as_removed(backed_up: Command, fake_stack: FakeStack) -> None:
    folder = fake_stack.root / "cassandra/hints"
    folder.rename(folder.with_name("elsewhere"))
    try:
        found, changes = live(fake_stack, stores=("database",))
    finally:
        folder.with_name("elsewhere").rename(folder)
    assert {(change.kind, change.tree, change.path) for change in changes} == {
        ("removed", "database/hints", b"."),
        ("removed", "database/hints", b"none"),
    }
    assert f"There is no folder {folder}: all of database/hints counts as removed" in found.remarks


def test_what_may_not_be_read_is_named_and_never_counts_as_removed(
    backed_up: Command, fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    closed = fake_stack.root / "files/attachment"
    mode = closed.stat().st_mode
    modes = {path: path.stat().st_mode for path in [closed, *closed.parents]}
    modes = {path: old for path, old in modes.items() if path == closed or old & 0o055 != 0o055}
    try:
        for path, old in modes.items():
            path.chmod(old | 0o055)
        monkeypatch.setattr(compare_module, "recorded_places", lambda _: set())
        closed.chmod(0o700)
        config = fake_stack.config
        opened = Repository.open(Location.from_config(config.repository), read_identities(config.repository.host_key))
        latest = opened.latest()
        assert latest is not None
        manifest = opened.manifest(latest)
        trees = LiveTrees(config, None)
        with ordinary_user():
            (tree,) = list(trees.diff(manifest, ("files",)))
            changes = list(tree.changes)
    finally:
        for path, old in modes.items():
            path.chmod(old)
    assert mode == closed.stat().st_mode
    assert [(change.path, change.what) for change in changes] == [(b"attachment", ("mode",))]
    assert tree.total.unread == 2  # what the folder holds
    assert trees.unread == ["files/folder/attachment (Permission denied)"]


def test_entries_that_could_not_be_compared_end_it_with_3(
    backed_up: Command, fake_stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.listdir

    def listdir(path: Any) -> Any:
        if os.fsencode(path).endswith(b"files/attachment"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    code, out, err = backed_up("diff", "latest")
    assert code == 3
    assert "Some files could not be compared: files/folder/attachment (Permission denied)" in err
    assert " of the backup's entries were not compared" in err
    assert "not compared: files/folder/attachment (Permission denied)" in out


# -- the command line --------------------------------------------------------------------------------------------


def test_a_list_is_cut_and_says_so(backed_up: Command, fake_stack: FakeStack) -> None:
    folder = fake_stack.root / "files/many"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}\x1b[31m").write_text("x")
    try:
        code, out, _ = backed_up("diff", "latest", "--only", "files", "--limit", "5")
        assert code == 0
        assert out.count("  + ") == 5
        assert "… and 26 more in files/folder (--all lists them)" in out  # the folder is one, too
        assert "\x1b" not in out
        assert "+ files/folder/many/00\\x1b[31m  1 B" in out
        assert backed_up("diff", "latest", "--only", "files", "--all")[1].count("  + ") == 31
        fake_stack.back_up()
        code, out, _ = backed_up("find", "*[31m", "--limit", "7")
        assert (code, out.count("files/folder/many/"), "… and 23 more (" in out) == (0, 7, True)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["diff", "20990101"], 13, "has no backup '20990101'"),
        (["diff", "latest", "nope"], 13, "has no backup 'nope'"),
        (
            ["diff", "latest", "--only", "attachments"],
            2,
            "--only: there is no store attachments; stores are database",
        ),
        (["diff", "latest", "--limit", "-1"], 2, "--limit"),
        (["diff"], 2, "Missing argument"),
        (["extract", "latest", "files", "--to", "/nowhere/x"], 13, "can't read the data"),
        (["extract", "latest", "files"], 2, "Missing option '--to'"),
        (["extract", "latest", "--to", "/nowhere/x"], 2, "Missing argument"),
        (["find"], 2, "Missing argument"),
        (["find", "nobody"], 1, "None of the "),
        (["find", "short", "--content"], 2, "'short' is not a SHA-256"),
        (["find", "ab" * 32, "--content"], 13, "can't read the data"),
        (["find", "[z-a]"], 2, "is not a pattern"),
    ],
)
def test_mistakes_are_told_with_what_to_do(command: Command, arguments: list[str], code: int, told: str) -> None:
    found, out, err = command(*arguments)
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err


def test_a_path_that_the_backup_lacks_ends_it_with_3(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = command("extract", "latest", "files/folder/attachment/3f/atached", "--to", out, key=True)
    assert code == 3
    assert "has nothing called files/folder/attachment/3f/atached. Nothing was written." in err
    assert "Did you mean files/folder/attachment/3f/attached?" in err
    assert not out.exists()
    code, told, err = command("extract", "latest", "files", "index/nope", "--to", out, key=True)
    assert code == 3
    assert "index/nope: not in the backup" in told
    assert "All others were written." in err
    assert (out / "files/folder/attachment/3f/attached").exists()
    code, _, err = command("extract", "latest", "files", "--to", out, key=True)
    assert code == 1
    assert f"{out} has these files already: files/folder/attachment/3f/attached" in err
    assert "Nothing was written: files are never overwritten." in err


def test_a_plan_of_an_extract_needs_no_key_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    code, out, err = command("extract", "latest", "files", "--to", tmp_path / "out", "--plan")
    assert (code, err) == (0, "")
    assert re.search(r"files: \d+ files? \(.* B\), \d folders", out)
    assert "Nothing was changed." in out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["files/new", "state", "."])
def test_nothing_is_extracted_into_the_stack(command: Command, fake_stack: FakeStack, where: str) -> None:
    before = fake_stack.content()
    code, _, err = command("extract", "latest", "files", "--to", fake_stack.root / where, key=True)
    assert code == 10
    assert "--to" in err
    assert "overlap" in err
    assert fake_stack.content() == before


def test_owners_are_given_as_root_only(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = command("extract", "latest", "files", "--to", tmp_path / "out", "--owners", key=True)
    assert code == (0 if os.geteuid() == 0 else 2), err
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    code, _, err = command("extract", "latest", "files", "--to", tmp_path / "out", "--owners", key=True)
    assert (code, "only root can change the owner of files" in err) == (2, True)


def test_a_damaged_manifest_is_named_by_find_which_ends_with_14(command: Command, fake_stack: FakeStack) -> None:
    folder = fake_stack.repository / "manifests"
    damaged = folder / ("20200101T000000Z-" + "ab" * 32)
    damaged.write_bytes(b"x")
    try:
        code, out, err = command("find", "attached")
    finally:
        damaged.unlink()
    assert code == 14
    assert "files/folder/attachment/3f/attached" in out
    assert f"manifests/{damaged.name}" in out
    assert "1 objects of the repository could not be searched" in err
