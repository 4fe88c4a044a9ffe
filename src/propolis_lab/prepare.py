"""Fills the cache with every server program."""

from __future__ import annotations

from collections.abc import Callable

from propolis_lab import standin
from propolis_lab.errors import MissingError
from propolis_lab.lab import Options
from propolis_lab.programs import artefacts, go, java
from propolis_lab.servers import cassandra, index
from propolis_lab.servers.rehearsal import rehearse, rehearse_index


def prepare(everything: bool = False, say: Callable[[str], None] = lambda _: None) -> None:
    """Fetch and build what a lab of default options needs, or every selectable version and every S3 store.

    What another lab needs, it fetches itself.
    """
    for version in cassandra.VERSIONS if everything else (Options().cassandra,):
        say(f"Cassandra {cassandra.VERSIONS[version]} …")
        cassandra.fetch(version)
    if everything:
        # Who fetches everything is about to run the tests, which start it a hundred times.
        say("Cassandra's classes …")
        rehearse()
    kinds = index.VERSIONS if everything else {Options().index: index.VERSIONS[Options().index][:1]}
    for kind, versions in kinds.items():
        for exact in versions:
            say(f"{kind} {exact} …")
            distribution = index.fetch(kind, exact)
            try:
                index.java_for(distribution)
            except MissingError as error:
                say(str(error))  # all others can still be run
        if everything:
            say(f"{kind}'s classes …")
            rehearse_index(kind)
    say("Stand-in …")
    standin.build(artefacts.cache(), java.find().home)
    for program in (go.MINIO, go.MC, go.VERSITYGW, go.SEAWEEDFS, go.TOXIPROXY) if everything else ():
        say(f"{program.name} {program.version} …")
        go.build(program)
