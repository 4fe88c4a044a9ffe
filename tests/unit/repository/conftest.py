"""A repository with its keys, and a folder worth backing up."""

import sys
from pathlib import Path

import pytest

from propolis.repository import Identity, Location, Repository

sys.path.insert(0, str(Path(__file__).parent))
from unit.repository.repository_tools import Vault, fill


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    host, recovery = Identity.generate(), Identity.generate()
    location = Location(str(tmp_path / "vault"))
    opened = Repository.init(location, [recovery.recipient], host, segment_bytes=1 << 20)
    return Vault(tmp_path / "vault", host, recovery, opened, Repository.open(location, [recovery]))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return fill(tmp_path / "source")
