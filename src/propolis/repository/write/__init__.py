"""A backup goes in."""
