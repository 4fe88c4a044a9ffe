"""A backup of several hosts says which they are, and what each has in it."""

from typing import Any

import pytest

from propolis.report.backups import backups_as_json, show_backups, show_summary
from propolis.repository import BackupId, BackupSummary, Header
from propolis.repository.format.entries import TreeHeader
from propolis.repository.records.overview import Overview

TIME = "2026-01-01T00:00:00Z"


def summary(facts: dict[str, Any], *hosts: str) -> BackupSummary:
    trees = [
        TreeHeader(
            f"database/{host}/data-0" if host else "database/data-0", "database", "folder", "/d", 2, 1, 5, host=host
        )
        for host in hosts
    ]
    header = Header(1, "lab", "cold", "hive.example", TIME, TIME, "1", None, {}, trees, facts)
    return BackupSummary(BackupId("20260101T000000Z-00000000"), header, 100)


OF_HOSTS = summary(
    {
        "cluster_name": "thp",
        "hosts": {
            "hive": {"hostname": "hive.example", "services": {"thehive": "5.4"}},
            "db1": {"hostname": "[red]db1", "services": {"database": "cassandra 4.1.10", "index": None}},
        },
    },
    "hive",
    "db1",
    "db1",
)


def test_each_host_is_shown_with_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(OF_HOSTS)
    told = capsys.readouterr().out
    assert "stack         lab on hive, db1\n" in told
    assert "host hive     hive.example; thehive 5.4; 1 tree\n" in told
    assert "host db1      [red]db1; database cassandra 4.1.10, index; 2 trees\n" in told
    assert "\n  hosts" not in told
    show_backups([OF_HOSTS])
    assert "2 hosts" in capsys.readouterr().out


def test_one_host_is_shown_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    of_one = summary({}, "")
    show_summary(of_one)
    assert "lab on hive.example\n" in capsys.readouterr().out
    show_backups([of_one])
    assert "hosts" not in capsys.readouterr().out


def test_programs_get_the_hosts_by_name() -> None:
    (listed,) = backups_as_json(Overview((OF_HOSTS,), (), (), (), ()))
    assert listed["hosts"] == ["hive", "db1"]


@pytest.mark.parametrize("odd", [None, 3, ["hive"], {"db1": 5}, {"db1": {"services": 3}}])
def test_facts_of_any_kind_break_nothing(odd: object, capsys: pytest.CaptureFixture[str]) -> None:
    backup = summary({"hosts": odd}, "db1")
    show_summary(backup)
    assert backup.header.hosts == ("db1",)
    assert "host db1" in capsys.readouterr().out
