"""Every command that only looks speaks of all hosts of a stack, through the agents that a backup uses, too."""

from fakes.hosts import FakeHosts


def test_what_is_going_on_on_every_host_is_told(fake_hosts: FakeHosts) -> None:
    status = fake_hosts.propolis.ok("status", "--json").json
    assert status["services"] == {"thehive": "running"}
    for name in ("db1", "db2"):
        state = status["hosts"][name]
        assert state["services"] == {"index": "running", "database": "running"}
        assert (state["error"], state["running"], state["half_done"]) == ("", None, [])
    doctor = fake_hosts.propolis.ok("doctor", "--json").json
    (together,) = [check for check in doctor["checks"] if check["name"] == "hosts of the stack"]
    assert (together["result"], together["message"]) == ("ok", "3, which fit together")
    assert {check["name"] for check in doctor["hosts"]["db2"]} >= {"link", "database nodes", "index nodes"}
    assert fake_hosts.propolis.ok("recover", "--json").json["hosts"].keys() == {"hive", "db1", "db2"}


def test_a_host_whose_service_is_down_fails_the_doctor_by_name(fake_hosts: FakeHosts) -> None:
    db2 = fake_hosts["db2"]
    db2.platform.stop("index")
    try:
        said = fake_hosts.propolis.run("doctor")
        assert said.code == 12
        assert "db2: 2 of" in said.err
        assert "(service index, index)" in said.err
    finally:
        db2.start()


def test_a_backup_says_which_hosts_it_is_of_and_gives_back_single_files_of_each(fake_hosts: FakeHosts) -> None:
    (listed, *_) = fake_hosts.propolis.ok("list", "--json").json
    assert listed["hosts"] == ["hive", "db1", "db2"]
    assert "3 hosts" in fake_hosts.propolis.ok("list").out
    assert fake_hosts.propolis.ok("verify", "--level", "manifest", "--json").json["hosts"] == ["hive", "db1", "db2"]
    shown = fake_hosts.propolis.ok("show").out
    assert "fake on hive, db1, db2" in shown
    assert "host db1" in shown
    assert "database/db2/data-0" in shown
    found = fake_hosts.propolis.ok(
        "find", "nb-1-big-Data.db", "--identity", fake_hosts.hive.key, "--only", "database"
    ).out
    assert "database/db1/data-0/thehive/edgestore/nb-1-big-Data.db" in found
    assert "database/db2/data-0" in found


def test_a_comparison_names_the_hosts_that_it_leaves_out(fake_hosts: FakeHosts) -> None:
    said = fake_hosts.propolis.ok("diff", "latest").out
    assert "Trees of other hosts are not compared" in said
