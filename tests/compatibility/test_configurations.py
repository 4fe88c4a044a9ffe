"""Configurations that an earlier version took, or wrote, mean the same to this one."""

from pathlib import Path

import pytest

from compatibility.sets import Set, lacks, sets
from propolis.config.load import load

CONFIGURATIONS = [
    (made, file.stem) for made in sets() for file in sorted((made.folder / "configurations").glob("*.yaml"))
]


def test_every_set_has_configurations() -> None:
    assert {made.version for made, _ in CONFIGURATIONS} == {made.version for made in sets()} != set()


@pytest.mark.parametrize(("made", "name"), CONFIGURATIONS, ids=lambda value: getattr(value, "version", value))
def test_a_configuration_gives_the_same_values(made: Set, name: str) -> None:
    file = made.folder / "configurations" / f"{name}.yaml"
    now = load(Path(file)).model_dump(mode="json")
    assert lacks(now, made.read(f"configurations/{name}.json")) == []
