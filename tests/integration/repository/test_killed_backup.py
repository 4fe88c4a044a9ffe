"""A backup that is killed leaves the others whole, and the next one goes on where it stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from propolis.repository import Facts, Identity, Location, Repository, restore_folder, verify, write_identity
from propolis.repository.write.begin import begin
from unit.repository.repository_tools import TREE, snapshot

CHILD = """
import os, signal, sys
from pathlib import Path
from propolis.repository import Facts, Location, Repository, begin, read_identities

def observe(stats):
    # The first index of this backup is there: its 64 packs need not be stored again.
    if len(os.listdir(sys.argv[1] + "/indexes")) > 1:
        os.kill(os.getpid(), signal.SIGKILL)

repository = Repository.open(Location(sys.argv[1]), read_identities(Path(sys.argv[2])))
with begin(repository, "hive", observer=observe) as writer:
    writer.add_folder("files", sys.argv[4], Path(sys.argv[3]), Path("/original"))
    writer.commit(Facts())
"""


def test_a_killed_backup_is_resumed_by_the_next(tmp_path: Path) -> Any:
    host, recovery = Identity.generate(), Identity.generate()
    write_identity(tmp_path / "key", host)
    location = Location(str(tmp_path / "vault"))
    repository = Repository.init(location, [recovery.recipient], host, segment_bytes=1 << 20)
    source = tmp_path / "source"
    source.mkdir()

    def backup() -> Any:
        with begin(repository, "hive") as writer:
            writer.add_folder("files", TREE, source, Path("/original"))
            summary = writer.commit(Facts())
        return summary, writer.stats

    (source / "first").write_bytes(os.urandom(1 << 20))
    first, _ = backup()
    for number in range(120):
        (source / f"{number:03}").write_bytes(os.urandom(1 << 20))
    child = subprocess.run(
        [sys.executable, "-c", CHILD, location.url, str(tmp_path / "key"), str(source), TREE], check=False
    )
    assert child.returncode == -signal.SIGKILL
    assert [summary.id for summary in repository.backups()] == [first.id]

    full = Repository.open(location, [recovery])
    assert verify(full, first.id, "full").ok
    second, stats = backup()
    assert stats.new <= (120 - 64) << 20
    assert verify(full, second.id, "full").ok
    restore_folder(full, full.manifest(second.id), TREE, tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(source)
