"""Fills the cache with every server program."""

from __future__ import annotations

from collections.abc import Callable

from propolis_lab import artefacts, cassandra, go, index, java, standin


def prepare(everything: bool = False, say: Callable[[str], None] = lambda _: None) -> None:
    """Fetch and build what a default lab needs, or every selectable version."""
    for version in cassandra.VERSIONS if everything else ("4.1",):
        say(f"Cassandra {cassandra.VERSIONS[version]} …")
        cassandra.fetch(version)
    for kind, versions in index.VERSIONS.items():
        for exact in versions if everything else versions[:1]:
            say(f"{kind} {exact} …")
            index.fetch(kind, exact)
    say("Stand-in …")
    standin.build(artefacts.cache(), java.find().home)
    for program in (go.MINIO, go.VERSITYGW) if everything else (go.MINIO,):
        say(f"{program.name} {program.version} …")
        go.build(program)
