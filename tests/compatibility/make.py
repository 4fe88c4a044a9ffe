"""Makes the set of the version that is installed: `cd tests && python -m compatibility.make [FOLDER]`.

To be run once a release. FOLDER is made, and named by the version unless it is given. Keys, times and with them all
bytes are new each time: a set that was released is never made again. The name of this host gets into it; to choose
another one: `unshare --uts sh -c 'hostname fixture && …'`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from compatibility import configurations
from compatibility.bucket import Bucket
from compatibility.picture import Picture, picture
from compatibility.sets import HERE, HOST_KEY, KNOWN, RECOVERY_KEY, copy_folder, digests, pack
from fakes.bucket import contents, refill, use_bucket
from fakes.stack import ROLES, FakeStack
from propolis import __version__
from propolis.config import sample
from propolis.config.load import load
from propolis.config.schema import S3Files
from propolis.repository import Facts, Location, Repository, begin, read_identities, restore_bucket, restore_folder
from propolis.run import read_journal
from propolis_lab.servers import minio

ACCESS_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in [
        (1, 6, 2**32 - 1),
        (2, 4, 4711),
        (4, 4, 2**32 - 1),
        (16, 6, 2**32 - 1),
        (32, 0, 2**32 - 1),
    ]
)
"""rw for the owner, r for the user 4711 and the group, nothing for others."""
SEGMENT = 16 << 20

KEEP_ONE = "retention: {keep: {last: 1}, min_verified: 1, grace_hours: 0}\n"
BUCKET = "attachments"
NEITHER = {"services", "control", "run", "log", "fakes.json", "propolis.yaml", "access", "secret"}
"""What a fake stack is made of besides its stores and its state; each test has its own."""


def main(folder: Path) -> None:
    """Make a set in a new folder."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as name:
        make_configurations(Path(name), folder / "configurations")
    with tempfile.TemporaryDirectory() as name, FakeStack.up(Path(name)) as stack:
        make_repository(stack, folder)
        make_runs(stack, folder)
    with tempfile.TemporaryDirectory() as name, minio.run() as server, FakeStack.up(Path(name)) as stack:
        make_bucket_runs(stack, server, folder)


def make_configurations(root: Path, folder: Path) -> None:
    """What people wrote and what `propolis init` writes, and as what it is read."""
    folder.mkdir()
    for name, text in configurations.WRITTEN.items():
        (folder / f"{name}.yaml").write_text(text.lstrip())
    (folder / "sample.yaml").write_text(sample.sample())
    for name in configurations.HOSTS:
        configurations.lay(name, root / name)
        for key in ("access", "secret"):
            (root / f"{key}.txt").write_text(key)
        written = root / f"{name}.yaml"
        FakeStack(root, root, root).propolis.ok(
            *(
                "init",
                "--root",
                root / name,
                "--name",
                "hive",
                "--output",
                written,
                "--repository",
                "s3://backups/hive",
            ),
            *("--endpoint", "https://minio.example:9000"),
            *("--access-key-file", root / "access.txt", "--secret-key-file", root / "secret.txt"),
        )
        (folder / written.name).write_text(written.read_text().replace(str(root), "/srv/hosts"))
    for file in sorted(folder.glob("*.yaml")):
        dump(file.with_suffix(".json"), load(file).model_dump(mode="json"))


def make_repository(stack: FakeStack, folder: Path) -> None:
    """Four backups of a stack (the first removed by a rule, the second held, the third verified), two of a bucket."""
    own = stack.propolis.config_file
    text = own.read_text()
    own.write_text(text + KEEP_ONE)
    lay_variety(stack.root / "files/attachment/3f")
    stack.back_up()
    stack.propolis.ok("repository", "key", "add", "second", "--new", stack.key.with_name("second"), "-i", stack.key)
    for number in range(3):
        change(stack.root / "files/attachment/3f", number)
        report = stack.back_up()
        if number == 0:
            stack.propolis.ok("hold", report.summary.id, "--reason", "an inquiry")
        if number == 1:
            stack.propolis.ok("verify", report.summary.id, "--identity", stack.key)
    stack.propolis.ok("repository", "prune", "--identity", stack.key)
    bucket = Bucket()
    bucket.fill()
    back_up_bucket(stack, bucket)
    bucket.change()
    back_up_bucket(stack, bucket)
    full = Repository.open(Location(str(stack.repository)), read_identities(stack.key))
    listed = stack.propolis.ok("list", "--json").json
    backups = [found["id"] for found in listed]
    dump(
        folder / "repository.json",
        {
            "list": listed,
            "show": {id: stack.propolis.ok("show", id, "--json").json for id in backups},
            "restored": {id: restored(full, id) for id in backups},
            "content": digests(stack.content()),
        },
    )
    keep_key(stack.key, folder / RECOVERY_KEY, "recovery")
    keep_key(stack.root / "state/host.key", folder / HOST_KEY, "host")
    (folder / KNOWN).write_text(hide(stack, (stack.root / "state" / KNOWN).read_text()))
    pack(stack.repository, folder / "repository.tar.xz")
    own.write_text(text)


def back_up_bucket(stack: FakeStack, bucket: Bucket) -> None:
    """Back a bucket up as another stack's only store."""
    repository = Repository.open(Location(str(stack.repository)), read_identities(stack.root / "state/host.key"))
    with begin(repository, "bucket") as writer:
        writer.add_bucket("files", "files/bucket", bucket, "s3://attachments/of/hive")
        writer.commit(Facts(facts={"documents": {"thehive": 1}}))


def restored(repository: Repository, id: str) -> dict[str, Picture]:
    """Every tree of a backup, restored and looked at."""
    manifest = repository.manifest(repository.resolve(id))
    found = {}
    for tree in manifest.header.trees:
        if tree.kind == "bucket":
            bucket = Bucket()
            restore_bucket(repository, manifest, tree.name, bucket)
            found[tree.name] = bucket.picture()
            continue
        with tempfile.TemporaryDirectory() as name:
            restore_folder(repository, manifest, tree.name, Path(name) / "restored")
            found[tree.name] = picture(Path(name) / "restored")
    return found


def lay_variety(folder: Path) -> None:
    """Files with all that a backup keeps: holes, further names, attributes, access lists, odd names and times."""
    chance = random.Random(1)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "nothing").touch()
    (folder / "text").write_text("".join(f"line {chance.randrange(999)}\n" for _ in range(3000)))
    (folder / "deep" / "several segments").write_text("a line that repeats itself\n" * (SEGMENT * 3 // 2 // 27))
    for number in range(12):
        (folder / "deep" / "er" / f"{number:02}").write_text(f"{chance.getrandbits(8 * 900):x}")
    os.link(folder / "text", folder / "deep" / "another name of text")
    with (folder / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"between holes" * 1000)
        file.truncate(3 << 20)
    os.setxattr(folder / "text", "user.note", b"kept\0with it")
    os.setxattr(folder / "deep", "user.root", b"the folder's own")
    os.setxattr(folder / "nothing", "system.posix_acl_access", ACCESS_LIST)
    for odd in (b"new\nline", b"tab\tname", b"back\\slash", b"not utf-8 \xff\xfe", b"-", b" space ", "é".encode()):
        (folder / os.fsdecode(odd)).write_bytes(b"odd")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "deep" / "odd link").symlink_to("..\n/text")
    os.mkfifo(folder / "pipe")
    (folder / "deep").chmod(0o2751)
    (folder / "text").chmod(0o640)
    with contextlib.suppress(PermissionError):
        os.chown(folder / "deep" / "er" / "00", 4711, 4712)
    os.utime(folder / "text", ns=(1, 1_500_000_000_123_456_789))
    os.utime(folder / "nothing", ns=(7, -7))
    os.utime(folder / "empty", ns=(1, 1_400_000_000_000_000_001))


def change(folder: Path, number: int) -> None:
    """A little, so that the next backup takes nearly all from its parent."""
    (folder / f"new {number}").write_text(f"new {number} " * 100)
    (folder / "deep" / "er" / f"{number:02}").unlink()
    with (folder / "text").open("a") as file:
        file.write(f"line of backup {number}\n")


def make_runs(stack: FakeStack, folder: Path) -> None:
    """Kill a backup and a restore, each with its watchdog, after every single step."""
    shutil.rmtree(stack.root / "files/attachment/3f")
    (stack.root / "files/attachment/3f").mkdir()
    stack.back_up()
    known = {"as backed up": stack.content()}
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for command in (("backup",), restore_of(stack)):
            for step, title in enumerate(stack.propolis.plan(*command)):
                if command[0] == "restore":
                    stack.change()
                    known["changed since"] = stack.content()
                run = f"{command[0]}-{step:02}"
                journal, runs[run] = kill(stack, step, command)
                runs[run]["killed after"] = title
                keep_files(stack, journal, work / run)
                runs[run]["outcome"] = recovered(stack, journal)
                (runs[run]["content"],) = [key for key, content in known.items() if content == stack.content()]
                print(run, runs[run]["outcome"], runs[run]["content"], sep="; ", flush=True)
        pack(work, folder / "runs.tar.xz")
    dump(folder / "runs.json", {"contents": known, "runs": runs})
    (folder / "runs.json").write_text(hide(stack, (folder / "runs.json").read_text()))


def make_bucket_runs(stack: FakeStack, server: minio.S3Server, folder: Path) -> None:
    """The same with attachments in a bucket, after the steps that have to do with it, and once it is accepted."""
    server.make_bucket(BUCKET)
    store = server.store(BUCKET)
    use_bucket(stack, server, BUCKET)
    backed_up = {f"attachment/{number:02}": bytes([number + 65]) * (1 + number * 100) for number in range(4)}
    refill(store, backed_up)
    stack.back_up()
    changed = backed_up | {"attachment/01": b"changed since", "attachment/since": b"added since"}
    del changed["attachment/02"]
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for command in (("backup",), restore_of(stack)):
            for step, title in enumerate(stack.propolis.plan(*command)):
                if "bucket" not in title and not title.startswith("accept"):
                    continue
                refill(store, changed)
                stack.change()
                run = f"{command[0]}-{step:02}"
                journal, runs[run] = kill(stack, step, command)
                runs[run]["killed after"] = title
                runs[run]["objects"] = as_text(contents(store))
                keep_files(stack, journal, work / run)
                runs[run]["outcome"] = recovered(stack, journal)
                runs[run]["objects after"] = as_text(contents(store))
                print(run, runs[run]["outcome"], *sorted(contents(store)), sep="; ", flush=True)
        pack(work, folder / "bucket-runs.tar.xz")
    text = json.dumps({"runs": runs}, indent=1) + "\n"
    (folder / "bucket-runs.json").write_text(hide(stack, text))


def restore_of(stack: FakeStack) -> tuple[str, ...]:
    """The command that restores the latest backup."""
    return "restore", "latest", "--identity", str(stack.key)


def kill(stack: FakeStack, step: int, command: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
    """Kill a command and its watchdog after a step; give its journal, and what is said of what it left."""
    stack.propolis.killed_with_watchdog(step, *command)
    running = [role for role in ROLES if stack.is_running(role)]
    return stack.newest_journal(), {"running": running, "status": status(stack)}


def recovered(stack: FakeStack, journal: Path) -> str:
    """Recover, and say what became of the run."""
    stack.recover()
    stack.assert_serving()
    stack.assert_nothing_left()
    state = read_journal(journal)
    assert state is not None
    assert state.outcome is not None
    return state.outcome


def as_text(objects: dict[str, bytes]) -> dict[str, str]:
    """Objects as JSON keeps them."""
    return {key: content.decode() for key, content in sorted(objects.items())}


def status(stack: FakeStack) -> dict[str, Any]:
    """What is said of what was left half done."""
    said = stack.propolis.ok("status", "--json").json
    return {key: said[key] for key in ("services", "half_done", "unreadable", "leftovers", "strangers")}


def keep_files(stack: FakeStack, journal: Path, folder: Path) -> None:
    """Copy what lies on the stack's host, the journal of its last run alone, and no key."""

    def passed_over(where: str, names: list[str]) -> set[str]:
        found = Path(where)
        if found == stack.root:
            return NEITHER & set(names)
        if found == stack.root / "state":
            return {"lock", "watchdog.log", "host.key"} & set(names)
        if found == stack.journals:
            return {name for name in names if name.endswith(".jsonl") and name != journal.name}
        return set()

    copy_folder(stack.root, folder, passed_over)
    for reserve in folder.rglob("*.reserve"):
        os.truncate(reserve, 0)  # 128 MiB of nothing
    for file in (folder / "state").rglob("*"):
        if file.is_file():
            file.write_text(hide(stack, file.read_text()))


def hide(stack: FakeStack, text: str) -> str:
    """Put placeholders in place of what differs between two fake stacks."""
    address = stack.propolis.config.require_thehive().url.removeprefix("http://").removesuffix(":9000")
    text = text.replace(str(stack.root.parent), "{FOLDER}").replace(address, "{ADDRESS}")
    files = stack.propolis.config.files
    return text.replace(str(files.endpoint), "{ENDPOINT}") if isinstance(files, S3Files) else text


def keep_key(key: Path, copy: Path, what: str) -> None:
    """Copy a key, and say in it what it is."""
    copy.write_text(f"# A test's {what} key: it opens the repository beside it and nothing else. Use it nowhere.\n")
    with copy.open("a") as file:
        file.write(key.read_text())


def dump(file: Path, value: Any) -> None:
    """Write JSON for people to compare."""
    file.write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / __version__)
