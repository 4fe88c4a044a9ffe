"""The proof: equal when nothing changed, and different for the least change on any side."""

from __future__ import annotations

import obstore
import pytest

from lab_fixtures import MakeLab
from propolis_lab import http
from propolis_lab.lab import Lab, Options
from propolis_lab.proof import compare, snapshot
from propolis_lab.servers import thehive

pytestmark = pytest.mark.lab


def test_nothing_differs_when_nothing_was_written_and_also_after_a_restart(lab: Lab) -> None:
    before = snapshot(lab)
    assert compare(before, snapshot(lab)) == []
    lab.stop_all()
    lab.start_all()
    after = snapshot(lab)
    assert compare(before, after) == []
    assert all(first == second for _, first, second in before.rows(after))
    assert before.logins == {"API key": True, "password": True, "form": True, "wrong API key": False}
    assert before.tables["thehive.edgestore"].count > 1000
    assert before.documents[lab.graph_index].count > 100


def test_one_cell_written_again_with_the_same_value_is_a_difference(lab: Lab) -> None:
    before = snapshot(lab)
    with lab.cql() as session:
        key, column, value = session.execute("SELECT key, column1, value FROM thehive.graphindex LIMIT 1").one()
        session.execute(
            "INSERT INTO thehive.graphindex (key, column1, value) VALUES (%s, %s, %s)", (key, column, value)
        )
    assert [d.what for d in compare(before, snapshot(lab))] == ["table thehive.graphindex"]


def test_a_changed_document_is_a_difference(lab: Lab) -> None:
    before = snapshot(lab)
    url = f"{lab.index_url}/{lab.graph_index}/_doc/not-of-the-graph?refresh=true"
    assert http.request("PUT", url, data={"title": "extra"}).status == 201
    try:
        assert f"index {lab.graph_index}" in [d.what for d in compare(before, snapshot(lab))]
    finally:
        http.request("DELETE", url)
    assert compare(before, snapshot(lab)) == []


def test_one_changed_byte_of_an_attachment_is_a_difference(lab: Lab) -> None:
    before = snapshot(lab)
    path = next(p for p in sorted(lab.layout.attachments.rglob("*")) if p.is_file() and p.stat().st_size)
    content = path.read_bytes()
    try:
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        name = path.relative_to(lab.layout.attachments)
        assert f"attachment {name}" in [d.what for d in compare(before, snapshot(lab))]
        path.unlink()
        assert f"attachment {name}" in [d.what for d in compare(before, snapshot(lab))]
    finally:
        path.write_bytes(content)
    assert compare(before, snapshot(lab)) == []


def test_the_same_seed_makes_the_same_cases_and_attachments(lab: Lab) -> None:
    first = lab.seed(2, 5, 4711)
    files = {p.name for p in lab.layout.attachments.rglob("*") if p.is_file()}
    second = lab.seed(2, 5, 4711)
    assert {p.name for p in lab.layout.attachments.rglob("*") if p.is_file()} == files
    assert first["cases"] == second["cases"] == 2


def test_objects_are_compared_with_their_types_and_a_lab_without_the_stand_in_too(make_lab: MakeLab) -> None:
    lab = make_lab(Options(files="s3", index_version="8.19.21", cases=1))
    assert "thehive" not in lab.services
    before = snapshot(lab)
    assert compare(before, snapshot(lab)) == []
    assert all(first == second for _, first, second in before.rows(before))
    assert before.cases is None
    assert len(before.attachments) == 40
    store = lab.s3.store(thehive.BUCKET)
    changed, retyped, lost, *_ = sorted(before.attachments)
    content = bytes(obstore.get(store, changed).bytes())
    kind = "application/octet-stream"
    obstore.put(store, changed, bytes([content[0] ^ 1]) + content[1:], attributes={"Content-Type": kind})
    content = bytes(obstore.get(store, retyped).bytes())
    obstore.put(store, retyped, content, attributes={"Content-Type": "text/plain"})
    obstore.delete(store, lost)
    found = compare(before, snapshot(lab))
    assert [difference.what for difference in found] == [f"attachment {name}" for name in (changed, retyped, lost)]
    assert found[2].after == "missing"
