"""Whatever stands in a stack's files, looking at them ends with a configuration or with problems, one line each."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.config.stack_files import S3, lay, look

FILES = (
    "thehive/application.conf",
    "cassandra/cassandra.yaml",
    "elasticsearch/elasticsearch.yml",
    "services/thehive.yaml",
)
PIECES = st.one_of(
    st.sampled_from(
        ["", "{", "}", "[]", "- a", "x: {{ y }}", "backend: lucene", "path: 7", "http.port: []", "network.host: []",
         "data_file_directories: {a: b}", "rpc_address: [1, 2]", "client_encryption_options: true", "http: 5",
         "storage: null", "db.janusgraph.index.search.hostname: [[]]", "environment: 3", "\t", "é: ü", "%"]
    ),
    st.text(max_size=30),
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(FILES), st.integers(0, 25), st.booleans(), PIECES), min_size=1, max_size=3
    ),
    bucket=st.booleans(),
)
def test_no_file_breaks_the_search(
    changes: list[tuple[str, int, bool, str]], bucket: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = lay(tmp_path_factory.getbasetemp() / "any")
    if bucket:
        application = root / "etc/thehive/application.conf"
        application.write_text(application.read_text() + S3)
    for name, number, replace, piece in changes:
        change(root / "etc" / name, number, piece, replace=replace)
    found = look(root)
    assert (found.config is None) == bool(found.problems)
    for line in (*found.problems, *found.warnings):
        assert "s3cret#x" not in line
        assert "very secret" not in line
    assert all("\n" not in problem for problem in found.problems)


def change(file: Path, number: int, piece: str, *, replace: bool) -> None:
    """Put a piece in place of a line, or before it."""
    lines = file.read_text(encoding="utf-8").split("\n")
    position = min(number, len(lines) - 1)
    lines[position : position + replace] = [piece]
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
