"""A stack's configuration files."""

from pathlib import Path

import pytest

from unit.config.stack_files import lay


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A stack's configuration, laid out as on a real host."""
    return lay(tmp_path)
