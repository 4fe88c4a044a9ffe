"""Fixtures for all tests."""

from hypothesis import settings

pytest_plugins = ["lab_fixtures"]

# No timing is asserted in a test, by hypothesis neither.
settings.register_profile("propolis", deadline=None)
settings.load_profile("propolis")
