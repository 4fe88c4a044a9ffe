"""Instant copies of a stopped service's folder.

`probe` says which method works, `survey` what it would take, `place` where it goes, `clone` makes it, `drop` removes
it, `leftovers` finds what an earlier run left.
"""

from propolis.clone.base import CloneReport, Immutable, Method, Survey
from propolis.clone.inodes import InodeTable
from propolis.clone.place import aside, drop, is_ours, leftovers, place
from propolis.clone.probe import probe, settle
from propolis.clone.survey import survey
from propolis.clone.tree import clone

__all__ = [
    "CloneReport",
    "Immutable",
    "InodeTable",
    "Method",
    "Survey",
    "aside",
    "clone",
    "drop",
    "is_ours",
    "leftovers",
    "place",
    "probe",
    "settle",
    "survey",
]
