"""A lab of several hosts: TheHive on one, a node of the database and one of the index on each of the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from propolis_lab import interrupts
from propolis_lab.errors import LabError
from propolis_lab.lab.lab import WAIT, Lab, remove
from propolis_lab.lab.making import ROLE, Making, claim
from propolis_lab.lab.options import Options
from propolis_lab.servers import answers, cassandra

HIVE = "hive"
"""The host of TheHive, from which the others are reached."""


class Cluster:
    """Hosts side by side, each a lab with a root, an address and services of its own."""

    def __init__(self, root: Path, hosts: Mapping[str, Lab]) -> None:
        self.root = root
        self.hosts = hosts
        self.hive = hosts[HIVE]
        self.nodes = {name: lab for name, lab in hosts.items() if name != HIVE}
        self.options = self.hive.options
        self.addresses = self.hive.record.cluster

    @staticmethod
    def is_at(root: Path) -> bool:
        """Whether the lab under that root is one of several hosts."""
        return (root / HIVE).is_dir()

    @classmethod
    def open(cls, root: Path) -> Cluster:
        """The lab under that root. Raises LabError if there is none."""
        return cls(root, {name: Lab.open(root / name) for name in (HIVE, *Lab.open(root / HIVE).record.nodes)})

    @classmethod
    def up(cls, root: Path, options: Options, say: Callable[[str], None] = lambda _: None) -> Cluster:
        """Bring a new one up; on any failure or interrupt nothing of it is left. Else as `Lab.up`."""
        options.check()
        root = Path(os.path.abspath(root))  # noqa: PTH100 - the name as given, for paths in configurations
        if root.exists() and any(root.iterdir()):
            raise LabError(f"{root} is not empty", left="It was left as it is")
        try:
            cluster = cls._make(root, options, say)
            if not options.empty:
                cluster.start_all(say)
                cluster.hive.fill(say)
        except BaseException:
            with interrupts.put_off():
                _remove(root)
            raise
        return cluster

    @classmethod
    def _make(cls, root: Path, options: Options, say: Callable[[str], None]) -> Cluster:
        like = None
        if options.like:
            like = str(Path(options.like) / HIVE)
        names = [f"db{number}" for number in range(1, options.nodes + 1)]
        records = {HIVE: claim(root / HIVE, msgspec.structs.replace(options, like=like), HIVE)}
        root.chmod(0o755)
        alike = msgspec.structs.replace(options, like=str(root / HIVE))
        records |= {name: claim(root / name, alike, name) for name in names}
        nodes = {name: records[name].address for name in names}
        hosts = {}
        say("Fetching what is not in the cache yet …")
        for name, record in records.items():
            known = msgspec.structs.replace(record, nodes=nodes)
            known.save(root / name)
            hosts[name] = lab = Lab(root / name, known)
            Making(lab.layout, known, lab.s3).all()
        return cls(root, hosts)

    def down(self) -> None:
        """End every process of every host and remove all; nothing to do if that is gone already."""
        _remove(self.root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # Services

    def start_all(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Start what does not run, and wait until every node knows the others, and everything answers."""
        first = any(lab.is_new for lab in self.nodes.values())
        for service in ("database", "index"):
            say(f"Starting {service} on {', '.join(self.nodes)} …")
            for lab in self.nodes.values():
                lab.start(service)
        record = self.hive.record
        if first:
            self._until("database", partial(answers.database_cluster, self.addresses, "cassandra", "cassandra"))
            cassandra.replicate_roles(self.addresses[0], len(self.addresses))
            cassandra.create_role(self.addresses[0], ROLE, record.database_password, record.superuser_password)
        self.wait_for_stores()
        if first:
            # JanusGraph makes them one after the other, and asks a node for one of which it has not heard yet.
            cassandra.create_graph_tables(self.addresses[0], ROLE, record.superuser_password, len(self.addresses))
        self.hive.start_all(say)

    def wait_for_stores(self) -> None:
        """Return once every node of the database and of the index knows all others, and has what they have."""
        password = self.hive.record.superuser_password
        self._until("database", partial(answers.database_cluster, self.addresses, "cassandra", password))
        self._until("index", partial(answers.index_cluster, [lab.index_url for lab in self.nodes.values()]))

    def stop_all(self) -> None:
        """Stop everything: TheHive, then the nodes, all at once."""
        self.hive.stop_all()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Lab.stop_all, self.nodes.values()))

    def _until(self, service: str, ready: Callable[[], bool]) -> None:
        def alive() -> bool:
            return all(lab.running(service) for lab in self.nodes.values())

        try:
            answers.until(ready, f"the cluster of the {service}", WAIT, alive)
        except LabError as error:
            logs = "\n".join(f"{name}:\n{lab.log_tail(service)}" for name, lab in self.nodes.items())
            raise LabError(f"{error.what}; the ends of its logs:\n{logs}") from error


def _remove(root: Path) -> None:
    if root.exists():
        for host in sorted(root.iterdir(), reverse=True):
            if host.is_dir():
                remove(host)
        shutil.rmtree(root)
