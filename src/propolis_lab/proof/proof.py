"""What a lab holds, so that two moments can be compared down to the last cell, document and byte.

`snapshot` looks from every side: Cassandra's rows with their write times, the index's documents, the attachments'
bytes, Cortex's job folders, and what a user sees through TheHive and Cortex. `compare` lists each difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from propolis_lab.lab import Lab
from propolis_lab.proof import cortex, seen
from propolis_lab.proof.attachments import attachments
from propolis_lab.proof.database import tables
from propolis_lab.proof.digests import Digest, canonical, digest, files, of_names, shown
from propolis_lab.proof.index import all_documents


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} → {self.after}"


@dataclass(frozen=True)
class Proof:
    """What a lab held at one moment."""

    tables: Mapping[str, Digest]
    """`keyspace.table` → its rows: keys, values, write times."""
    documents: Mapping[str, Digest]
    """Index → its documents."""
    attachments: Mapping[str, str]
    """File or object name → SHA-256 of the content (of an object: and its type and metadata)."""
    counts: Mapping[str, int]
    """Label → vertices."""
    cases: Digest | None
    """Every case with all that hangs on it, as the interface shows it; None on a lab without the stand-in."""
    searches: Mapping[str, Digest]
    """Words → what the full-text search finds."""
    downloads: Mapping[str, str]
    """Attachment → SHA-256 of what the interface delivers, for some."""
    jobs: Digest | None
    """Every job of Cortex with its report and file, as its interface shows them; None on a lab without Cortex."""
    job_files: Mapping[str, str]
    """File below the job folders → SHA-256 of its content."""
    logins: Mapping[str, bool]
    """Way of logging in → whether it works."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """What is told of the nodes of a cluster (`cluster.py`)."""

    def rows(self, after: Proof) -> Iterator[tuple[str, str, str]]:
        """Each thing compared, before and after, short enough for a table."""
        for name in sorted(self.tables.keys() | after.tables.keys()):
            yield f"table {name}", shown(self.tables.get(name)), shown(after.tables.get(name))
        for name in sorted(self.documents.keys() | after.documents.keys()):
            yield f"index {name}", shown(self.documents.get(name)), shown(after.documents.get(name))
        yield "attachments, by hash", str(of_names(self.attachments)), str(of_names(after.attachments))
        yield "vertices", str(sum(self.counts.values())), str(sum(after.counts.values()))
        yield "cases with all that hangs on them", shown(self.cases), shown(after.cases)
        for words in sorted(self.searches.keys() | after.searches.keys()):
            yield f"search “{words}”", shown(self.searches.get(words)), shown(after.searches.get(words))
        yield "downloads", str(of_names(self.downloads)), str(of_names(after.downloads))
        if self.jobs or after.jobs:
            yield "Cortex's jobs with reports", shown(self.jobs), shown(after.jobs)
            yield "job files", str(of_names(self.job_files)), str(of_names(after.job_files))
        for way in sorted(self.logins.keys() | after.logins.keys()):
            yield f"login by {way}", shown(self.logins.get(way)), shown(after.logins.get(way))
        for what in sorted(self.nodes.keys() | after.nodes.keys()):
            yield what, shown(self.nodes.get(what)), shown(after.nodes.get(what))


def compare(before: Proof, after: Proof) -> list[Difference]:
    """Every difference; none means that nothing was lost, changed or added."""
    found = []
    pairs: list[tuple[str, Mapping[str, object], Mapping[str, object]]] = [
        ("table", before.tables, after.tables),
        ("index", before.documents, after.documents),
        ("attachment", before.attachments, after.attachments),
        ("vertices", before.counts, after.counts),
        ("cases", {"all": before.cases}, {"all": after.cases}),
        ("search", before.searches, after.searches),
        ("download", before.downloads, after.downloads),
        ("jobs", {"all": before.jobs}, {"all": after.jobs}),
        ("job file", before.job_files, after.job_files),
        ("login by", before.logins, after.logins),
        ("nodes:", before.nodes, after.nodes),
    ]
    for kind, first, second in pairs:
        for name in sorted(first.keys() | second.keys()):
            if first.get(name) != second.get(name):
                found.append(Difference(f"{kind} {name}", shown(first.get(name)), shown(second.get(name))))
    return found


def snapshot(lab: Lab) -> Proof:
    """Look at everything. The lab must run, and nothing should write meanwhile.

    On a lab that has no stand-in, what a user would see through it is left out.
    """
    with lab.cql() as session:
        rows = tables(session)
    documents = all_documents(lab.index_url)
    if "cortex-index" in lab.services:
        documents |= {f"{name} of Cortex": value for name, value in all_documents(lab.cortex_index_url).items()}
    thehive, analyses = "thehive" in lab.services, "cortex" in lab.services
    cases = seen.cases(lab) if thehive else []
    return Proof(
        tables=rows,
        documents=documents,
        attachments=attachments(lab),
        counts=lab.api("GET", "/api/v1/counts") if thehive else {},
        cases=digest(cases, canonical) if thehive else None,
        searches=seen.searches(lab, cases),
        downloads=seen.downloads(lab) if thehive else {},
        jobs=cortex.jobs(lab) if analyses else None,
        job_files=files(lab.layout.jobs) if analyses else {},
        logins=(seen.logins(lab) if thehive else {}) | (cortex.logins(lab) if analyses else {}),
    )
