"""What the lab reads of a cluster: nodetool's words, the kernel's table of connections, and its own options."""

from __future__ import annotations

import os
import socket

import pytest

from propolis_lab.errors import LabError
from propolis_lab.lab import Options
from propolis_lab.proof.connections import peers
from propolis_lab.servers import nodetool
from propolis_lab.servers.nodetool import Member

STATUS = """\
Datacenter: datacenter1
=======================
Status=Up/Down
|/ State=Normal/Leaving/Joining/Moving
--  Address        Load        Tokens  Owns (effective)  Host ID                               Rack 
UN  127.81.87.149  83.5 KiB    16      100.0%            8b5ea756-743a-4b26-89de-18a4b57caa20  rack1
DN  127.87.54.122  ?           16      100.0%            69e48275-cd25-4eae-9c62-54e90f13091e  rack1
"""  # noqa: W291
BEGIN = "[2026-11-27 14:03:52,056] Starting repair command #2 (601bf040-ea6b), repairing keyspace thehive with …\n"
IN_SYNC = "[2026-11-27 14:03:52,268] Repair preview completed successfully; Previewed data was in sync\n"
STREAMS = "[2026-11-27 14:03:52,268] Total estimated streaming: 1 ranges, 2 sstables, 3 bytes\n"


def test_every_node_is_read_with_its_state() -> None:
    assert nodetool.members(STATUS) == (
        Member("UN", "127.81.87.149", "8b5ea756-743a-4b26-89de-18a4b57caa20"),
        Member("DN", "127.87.54.122", "69e48275-cd25-4eae-9c62-54e90f13091e"),
    )


@pytest.mark.parametrize("text", ["", "nothing of use", STATUS.replace("8b5ea756-", "")])
def test_a_status_that_is_not_understood_is_no_proof(text: str) -> None:
    with pytest.raises(LabError, match="can't be understood"):
        nodetool.members(text)


@pytest.mark.parametrize(("text", "same"), [(BEGIN + IN_SYNC, True), (IN_SYNC * 2, True), (BEGIN + STREAMS, False)])
def test_replicas_are_the_same_only_where_it_says_so(text: str, same: bool) -> None:
    assert nodetool.in_sync(text) is same


@pytest.mark.parametrize("text", ["", BEGIN, BEGIN + IN_SYNC + STREAMS])
def test_a_preview_that_is_not_understood_is_no_proof(text: str) -> None:
    with pytest.raises(LabError, match="can't be understood"):
        nodetool.in_sync(text)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.66.1.2"), (socket.AF_INET6, "::ffff:127.66.1.2")]
)
def test_the_other_ends_of_a_processs_connections_are_found(family: socket.AddressFamily, address: str) -> None:
    with (
        socket.create_server(("127.66.1.2", 0)) as server,
        socket.socket(family, socket.SOCK_STREAM) as client,
    ):
        before = peers([os.getpid()])
        client.connect((address, server.getsockname()[1]))
        with server.accept()[0]:
            assert peers([os.getpid()]) - before >= {"127.66.1.2"}


@pytest.mark.parametrize("more", [{"files": "s3"}, {"cortex": "own"}])
def test_a_cluster_has_no_other_services(more: dict[str, str]) -> None:
    with pytest.raises(LabError, match="cluster"):
        Options(nodes=3, **more).check()  # type: ignore[arg-type]
