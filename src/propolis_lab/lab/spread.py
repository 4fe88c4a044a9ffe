"""Propolis on the hosts of a cluster: a configuration for each, and the way from TheHive's host to the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from propolis.config import sample
from propolis.config.discovery.stack import discover
from propolis.config.schema import Config
from propolis_lab.errors import LabError
from propolis_lab.lab.cluster import Cluster
from propolis_lab.lab.lab import Lab
from propolis_lab.lab.making import ROLE
from propolis_lab.layout import write
from propolis_lab.servers import answers, services

KEYSPACE = "thehive"


def config_of(lab: Lab) -> Path:
    """The configuration of Propolis on a host."""
    return lab.root / "etc/propolis/propolis.yaml"


def set_up(cluster: Cluster, repository: str, name: str, *, added: bool = True, **more: Any) -> Path:
    """Write every host's configuration; returns that of the coordinator, on TheHive's host.

    `added`: it has the other hosts already; else `propolis host add` is to add them.

    `more` are further sections of all configurations, e.g. `silence`. With `reach="ssh"`, every node's host gets an
    sshd, whose one key from there runs its agent.
    """
    hosts = {host: {"command": reached_by(cluster, host)} for host in cluster.nodes if added}
    common = {"name": name, "repository": {"url": repository}, **more}
    _write(cluster.hive, Config.model_validate({**_hive(cluster.hive, common), "hosts": hosts}))
    for host, lab in cluster.nodes.items():
        password = config_of(lab).with_name("database.password")
        password.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(password, lab.record.database_password, "database", 0o600)
        known = {"keyspace": KEYSPACE, "username": ROLE, "password": {"file": str(password)}}
        found = discover(
            lab.root,
            repository=common["repository"],
            name=name,
            host=host,
            known={f"database.{key}": value for key, value in known.items()},
        )
        if found.config is None:
            raise LabError(f"Propolis does not find what is on {host}:\n" + "\n".join(found.problems))
        values = found.config.model_dump(mode="python", exclude_unset=True) | more
        _write(lab, Config.model_validate(values))
        if cluster.options.reach == "ssh":
            _serve(lab, host)
    return config_of(cluster.hive)


def register(cluster: Cluster, recovery_key: Path, propolis: Callable[..., object]) -> None:
    """Make the repository, and let it know every host. `propolis` runs the command with arguments."""
    propolis("repository", "init", "--config", config_of(cluster.hive), "--recovery-key", recovery_key)
    for host, lab in cluster.nodes.items():
        propolis(
            *("repository", "key", "add", host, "--host"),
            *("--config", config_of(lab), "--identity", recovery_key),
        )


def reached_by(cluster: Cluster, host: str) -> list[str]:
    """The command with which TheHive's host reaches another one's agent."""
    lab = cluster.nodes[host]
    if cluster.options.reach == "ssh":
        return lab.sshd.ssh(host)
    return agent(lab)


def agent(lab: Lab) -> list[str]:
    """Propolis as an agent on that host."""
    return [sys.executable, "-m", "propolis", "agent", "--config", str(config_of(lab))]


def _serve(lab: Lab, host: str) -> None:
    server = lab.sshd
    server.configure({host: agent(lab)})
    log = server.folder / "log"
    platform = services.describe(
        lab.layout.elsewhere, "sshd", server.command, log=log, pid_file=lab.layout.run("sshd"), environment={}
    )
    platform.start("sshd")
    answers.until(server.answers, f"sshd of {host}", 60, lambda: bool(platform.pids("sshd")))


def _hive(lab: Lab, common: dict[str, Any]) -> dict[str, Any]:
    """TheHive's host. (Discovery would take the nodes' addresses for its own: all are loopback.)"""
    return {
        **common,
        "host": lab.record.host,
        "state": lab.layout.lib("propolis"),
        "platform": {"services": lab.layout.services},
        "thehive": {"url": lab.thehive_url, "config": lab.layout.etc("thehive")},
        "files": {"kind": "folder", "folder": lab.layout.attachments},
        "repository": {**common["repository"], "host_key": config_of(lab).with_name("host.key")},
    }


def _write(lab: Lab, config: Config) -> None:
    path = config_of(lab)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    sample.write(path, sample.render(config, {}))
