"""What a restore would replace, for a person to agree to: by sizes, times and names alone, with bounded work."""

from propolis.restore.review.review import Review, StoreReview, review

__all__ = ["Review", "StoreReview", "review"]
