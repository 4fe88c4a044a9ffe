"""Looks after what is there: check, repair, prune, copy, keys."""
