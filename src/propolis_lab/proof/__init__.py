"""Whether what came back equals what was lost, and what a user saw meanwhile."""

from propolis_lab.proof.digests import Digest
from propolis_lab.proof.index import documents
from propolis_lab.proof.proof import Difference, Proof, compare, snapshot

__all__ = ["Difference", "Digest", "Proof", "compare", "documents", "snapshot"]
