"""Server programs: fetched in pinned versions and built, kept in one cache."""
