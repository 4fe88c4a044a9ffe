"""Whether what came back equals what was lost, and what a user saw meanwhile."""

from propolis_lab.proof.proof import Difference, Digest, Proof, compare, documents, snapshot

__all__ = ["Difference", "Digest", "Proof", "compare", "documents", "snapshot"]
