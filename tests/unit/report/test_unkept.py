"""What could not be kept is told wherever a backup or a restore is."""

import pytest

from propolis.backup import BackupReport
from propolis.filesystem.unkept import EXAMPLES, Tally, Unkept, joined
from propolis.report.backup import show_backup
from propolis.report.backups import show_summary
from propolis.report.json import as_json
from propolis.report.runs import show_restore
from propolis.repository import BackupId, BackupSummary, Header, Stats
from propolis.repository.format.entries import TreeHeader
from propolis.repository.model import Altered
from propolis.restore import RestoreReport

LOST = [Unkept("sockets", 1, ["run/[red]socket"]), Unkept("pipes", 30, [f"pipe{number}" for number in range(20)])]
TREE = TreeHeader("files/folder", "files", "folder", "/files", 2, 1, 5, 0, LOST)
TIME = "2026-01-01T00:00:00Z"
HEADER = Header(1, "hive", "cold", "host", TIME, TIME, "1", None, {}, [TREE])
SUMMARY = BackupSummary(BackupId("20260101T000000Z-00000000"), HEADER, 100)


def test_a_backup_and_its_summary_name_what_is_not_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    report = BackupReport(
        summary=SUMMARY,
        stats=Stats(),
        downtime=None,
        cloned_files=1,
        bytes_copied_while_down=0,
        reread=False,
        altered=Altered(),
        warnings=(),
    )
    show_backup(report)
    of_the_run = capsys.readouterr().out
    show_summary(SUMMARY)
    for told in (of_the_run, capsys.readouterr().out):
        assert "not in the backup: 1 sockets: files/folder/run/[red]socket\n" in told
        assert "30 pipes: files/folder/pipe0, " in told
        assert told.count(", …\n") == 1
    assert '"unkept"' in as_json(SUMMARY)


def test_a_restore_names_what_did_not_come_back_and_what_never_could(capsys: pytest.CaptureFixture[str]) -> None:
    left = Unkept("attributes that are not restored: security.capability", 1, ["files/folder/x"])
    show_restore(
        RestoreReport(
            backup=SUMMARY.id,
            stores=("files",),
            files=1,
            bytes=5,
            downtime=None,
            laid_beside=(),
            closed="",
            unkept=(left,),
            never_kept=tuple(HEADER.unkept),
        )
    )
    told = capsys.readouterr().out
    assert (
        "in the backup, not restored: 1 attributes that are not restored: security.capability: files/folder/x" in told
    )
    assert "not in the backup: 30 pipes" in told


def test_counts_go_on_where_names_end_and_names_that_are_no_text_are_escaped() -> None:
    tally = Tally()
    for number in range(EXAMPLES + 5):
        tally.add("pipes", f"\udcff{number}")
    [kind] = tally.all()
    assert (kind.count, len(kind.examples), kind.examples[0]) == (EXAMPLES + 5, EXAMPLES, "\\xff0")
    assert joined([[kind], [kind]])[0].count == 2 * kind.count
    assert len(joined([[kind], [kind]])[0].examples) == EXAMPLES
