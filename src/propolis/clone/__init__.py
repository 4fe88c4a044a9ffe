"""Instant copies of a stopped service's folder.

`probe` says which method works, `survey` what it would take, `place` where it goes, `clone` makes it, `drop` removes
it, `lookalikes` finds what is named like one.
"""

from propolis.clone.base import CloneReport, Immutable, KeptEmpty, Method, Survey, none_kept_empty
from propolis.clone.inodes import InodeTable
from propolis.clone.place import (
    RESERVE,
    aside,
    drop,
    drop_aside,
    drop_leftover,
    is_aside,
    lookalikes,
    names_directly_in,
    place,
)
from propolis.clone.probe import probe, settle
from propolis.clone.survey import survey
from propolis.clone.tree import clone

__all__ = [
    "RESERVE",
    "CloneReport",
    "Immutable",
    "InodeTable",
    "KeptEmpty",
    "Method",
    "Survey",
    "aside",
    "clone",
    "drop",
    "drop_aside",
    "drop_leftover",
    "is_aside",
    "lookalikes",
    "names_directly_in",
    "none_kept_empty",
    "place",
    "probe",
    "settle",
    "survey",
]
