"""A backup comes out: restored, verified, looked at."""
