"""Instant copies of a stopped service's folder."""
