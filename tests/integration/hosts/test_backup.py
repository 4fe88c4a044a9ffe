"""Backups of a fake stack on several hosts: one restore point, and whatever goes wrong, every service runs again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fakes.hosts import FakeHost, FakeHosts
from propolis.backup import BackupReport
from propolis.command.stores import open_repository
from propolis.errors import PreflightError, PropolisError
from propolis.repository import verify


@pytest.fixture(scope="module")
def report(module_fake_hosts: FakeHosts) -> BackupReport:
    """The second backup, of 4 MiB more on each host of the database."""
    for host in module_fake_hosts.stores:
        grow(host)
    return module_fake_hosts.back_up()


def grow(host: FakeHost) -> None:
    (host.root / "cassandra/data/thehive/edgestore/nb-2-big-Data.db").write_bytes(bytes(range(256)) * 16384)


def test_it_is_one_backup_with_the_trees_of_all_hosts(fake_hosts: FakeHosts, report: BackupReport) -> None:
    trees = {tree.name: tree.host for tree in report.summary.header.trees}
    assert trees["files/hive/folder"] == "hive"
    assert {trees[f"database/{name}/data-0"] for name in ("db1", "db2")} == {"db1", "db2"}
    assert report.summary.header.facts["hosts"].keys() == {"hive", "db1", "db2"}
    repository = open_repository(fake_hosts.config, fake_hosts.hive.key)
    assert verify(repository, report.summary.id, "full").ok
    assert not list((fake_hosts.hive.repository / "parts").glob("*"))


def test_what_did_not_change_is_not_read_on_any_host(report: BackupReport) -> None:
    assert report.stats.unchanged > 0
    assert report.stats.read < report.stats.bytes
    assert report.summary.header.parent is not None


def test_downtime_is_told_of_thehive_and_of_every_host(report: BackupReport) -> None:
    assert report.downtime is not None
    assert report.summary.header.facts["downtime_seconds"] == report.downtime
    assert [host.host for host in report.hosts] == ["hive", "db1", "db2"]
    outages = {host.host: host.outage for host in report.hosts}
    assert outages["hive"] == report.downtime
    assert all(outage is not None and outage < report.downtime for name, outage in outages.items() if name != "hive")


def test_no_data_moves_through_the_coordinator(report: BackupReport) -> None:
    assert all(host.read >= 4 << 20 for host in report.hosts if host.host != "hive")
    assert all(host.link_bytes_sent + host.link_bytes_received < 64 << 10 for host in report.hosts)


def test_nor_with_a_single_other_host(tmp_path: Path) -> None:
    with FakeHosts.up(tmp_path, nodes=1) as hosts:
        grow(hosts["db1"])
        report = hosts.back_up()
    assert [host.host for host in report.hosts] == ["hive", "db1"]
    assert report.hosts[1].read >= 4 << 20
    assert all(host.link_bytes_sent + host.link_bytes_received < 64 << 10 for host in report.hosts)


def test_hosts_that_are_no_part_of_it_are_named_and_nothing_is_stopped(fake_hosts: FakeHosts) -> None:
    file = fake_hosts["db2"].propolis.config_file
    before = file.read_text()
    file.write_text(before.replace("host: db2", "host: other"))
    started = {name: (host.root / "run/database.pid") for name, host in fake_hosts.hosts.items() if name != "hive"}
    pids = {name: pid.read_text() for name, pid in started.items()}
    try:
        with pytest.raises(PreflightError, match=r"db2: This host is called other"):
            fake_hosts.back_up()
    finally:
        file.write_text(before)
    assert {name: pid.read_text() for name, pid in started.items()} == pids


def test_a_step_that_fails_on_one_host_is_told_and_undone_on_all(fake_hosts: FakeHosts) -> None:
    with (
        fake_hosts["db1"].disturbed("clone-trees", "fail"),
        pytest.raises(PropolisError, match="db1: The test let this step fail"),
    ):
        fake_hosts.back_up()
    fake_hosts.assert_serving()


def test_a_host_that_falls_silent_while_services_are_down_costs_no_service(fake_hosts: FakeHosts) -> None:
    step = fake_hosts.step("backup", "db1, db2: drain and stop the database")
    ran = fake_hosts.propolis.disturbed(step, fake_hosts["db1"].frozen, "backup")
    assert "host db1 was lost" in ran.one_clear_error(1)
    fake_hosts.assert_serving()


def test_once_the_manifest_is_written_a_lost_host_costs_nothing(fake_hosts: FakeHosts) -> None:
    step = fake_hosts.step("backup", "hive: write the manifest")
    ran = fake_hosts.propolis.disturbed(step, fake_hosts["db1"].killed, "backup")
    assert "is complete" in ran.one_clear_error(1)
    fake_hosts.wait_until_recovered()


def test_the_plan_is_that_of_all_hosts_and_changes_nothing(fake_hosts: FakeHosts) -> None:
    before = [host.newest_journal() for host in fake_hosts.hosts.values()]
    ran = fake_hosts.propolis.ok("backup", "--plan")
    assert " steps on 3 hosts. Nothing was changed.\n" in ran.out
    assert "hive, db1, db2: record which services to restart\n" in ran.out
    assert "hive: write the manifest from 3 parts (from here on the backup exists)   <-" in ran.out
    told = json.loads(fake_hosts.propolis.ok("backup", "--plan", "--json").out)
    assert told["hosts"] == ["hive", "db1", "db2"]
    assert [step["title"] for step in told["steps"] if step["commits"]] == [
        "hive: write the manifest from 3 parts (from here on the backup exists)"
    ]
    assert before == [host.newest_journal() for host in fake_hosts.hosts.values()]


def test_one_host_alone_is_not_backed_up(fake_hosts: FakeHosts) -> None:
    ran = fake_hosts["db1"].propolis.run("backup")
    assert "db1 has only a part of the stack" in ran.one_clear_error(12)


def test_the_coordinator_may_be_a_host_without_services(fake_hosts: FakeHosts, tmp_path: Path) -> None:
    """TheHive's host is then one of the others."""
    text = fake_hosts.propolis.config_file.read_text()
    lead = FakeHost(tmp_path, fake_hosts.hive.repository, fake_hosts.hive.key, "lead", ())
    others = {name: {"command": host.command} for name, host in fake_hosts.hosts.items()}
    lead.lay_out({"database": [], "index": []}, others)
    lead.propolis.ok("repository", "key", "add", "--host", "--identity", lead.key)
    fake_hosts.propolis.config_file.write_text(re.sub(r"(?m)^hosts: .*$", "", text))
    try:
        told = json.loads(lead.propolis.ok("backup", "--json").out)
    finally:
        fake_hosts.propolis.config_file.write_text(text)
    assert [host["host"] for host in told["hosts"]] == ["lead", "hive", "db1", "db2"]
    assert told["downtime"] == told["hosts"][1]["outage"]
