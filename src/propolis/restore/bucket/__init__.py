"""Restoring into a bucket: its objects, and whether its keys still open it."""
