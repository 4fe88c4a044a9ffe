"""What a restore, or its undo, would replace, for a person to agree to: by sizes, times and names, bounded work."""

from propolis.restore.review.review import Review, StoreReview, review
from propolis.restore.review.undo import UndoReview, review_undo

__all__ = ["Review", "StoreReview", "UndoReview", "review", "review_undo"]
