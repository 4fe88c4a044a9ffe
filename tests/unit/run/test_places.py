"""Which paths journals record as ours."""

import json
from pathlib import Path

from propolis.run.journals import places_of, recorded_places


def record(file: Path, *places: str) -> None:
    file.write_text(json.dumps({"event": "begin", "steps": [{"places": places}]}) + "\n")


def test_a_record_that_changes_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "run.trial"
    record(file, "/data/.propolis-a", "/data/others")
    assert places_of(file) == {Path("/data/.propolis-a")}
    record(file, "/data/.propolis-b")
    assert recorded_places(tmp_path) == {Path("/data/.propolis-b")}
    file.unlink()
    assert recorded_places(tmp_path) == set()
