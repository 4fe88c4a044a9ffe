"""The text of manifests and indexes."""

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.errors import IntegrityError
from propolis.repository import Entry, Identity
from propolis.repository.crypto.secret import RepositoryKey
from propolis.repository.format.entries import (
    attributes_of,
    content_of,
    format_attributes,
    format_entry,
    hole,
    order,
    parse_entry,
)
from propolis.repository.format.index import Pack, PackedSegments, index_lines, write_index
from propolis.repository.format.table import SegmentTable
from propolis.repository.format.text import TextWriter, escape, read_header, read_lines, unescape

KEY = RepositoryKey(bytes(range(32)))
ME = Identity.generate()
names = st.text(max_size=20)
numbers = st.integers(0, 2**40)
owners = st.integers(0, 2**32 - 2)
pieces = st.binary(min_size=32, max_size=32).map(lambda id: id.hex().encode()) | st.integers(1, 2**63 - 1).map(hole)
attributes = st.dictionaries(st.binary(min_size=1, max_size=20), st.binary(max_size=20), max_size=3).map(
    lambda found: tuple(sorted(found.items()))
)
entries = st.builds(
    Entry,
    st.sampled_from("dflho"),
    st.integers(0, 0o7777),
    owners,
    owners,
    names,
    names,
    st.integers(-(2**63) * 10**9, 2**63 * 10**9 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**64 - 1),
    names,
    st.binary(min_size=1, max_size=60),
    st.lists(pieces, max_size=3).map(b",".join),
    st.binary(max_size=60),
    st.builds(lambda found: b"" if not found else format_attributes(found), attributes),
)


@given(st.binary(max_size=100))
def test_any_bytes_survive_escaping_as_printable_ascii(data: Any) -> None:
    escaped = escape(data)
    assert all(0x20 <= byte < 0x7F for byte in escaped)
    assert unescape(escaped) == data


@given(st.binary(min_size=1, max_size=50).filter(lambda data: b"\0" not in data))
@settings(max_examples=40, deadline=None)
def test_a_posix_shell_understands_the_escapes(data: Any) -> None:
    shell = subprocess.run(["/bin/sh", "-c", 'printf %b "$1"', "sh", escape(data)], check=True, capture_output=True)
    assert shell.stdout == data


@given(entries)
def test_any_entry_survives_as_one_line_of_fourteen_fields(entry: Any) -> None:
    line = format_entry(entry)
    assert b"\n" not in line
    assert line.count(b"\t") == 13
    assert parse_entry(line, "x") == entry


@given(attributes)
def test_attributes_survive_whatever_they_are_called(found: Any) -> None:
    entry = parse_entry(b"f\t0\t0\t0\t-\t-\t0\t0\t0\t-\tx\t-\t-\t" + format_attributes(found), "x")
    assert attributes_of(entry) == found


def test_an_entry_of_thirteen_fields_has_no_attributes() -> None:
    entry = parse_entry(b"f\t644\t0\t0\troot\troot\t7\t0\t1\ttree\tx\t-\t-", "x")
    assert (entry.path, entry.attributes) == (b"x", b"")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (1, b"0o644"),
        (1, b" 644"),
        (2, b"1_0"),
        (6, b"+5"),
        (6, b"--5"),
        (7, b" 7"),
        (7, b"-1"),
        (9, b"\\"),
        (10, b"a\\b"),
        (10, b"\\0777"),
        (11, b"h"),
        (11, b"x"),
        (13, b"a b"),
    ],
)
def test_an_entry_has_one_spelling_only(field: int, value: bytes) -> None:
    """A shell and Propolis must not read different things in one line."""
    fields = b"f\t644\t0\t0\troot\troot\t7\t0\t1\ttree\tx\t-\t-\t-".split(b"\t")
    parse_entry(b"\t".join(fields), "x")
    fields[field] = value
    with pytest.raises(IntegrityError):
        parsed = parse_entry(b"\t".join(fields), "x")
        content_of(parsed.segments)


@given(st.lists(st.binary(max_size=200).map(escape), max_size=50))
@settings(max_examples=50, deadline=None)
def test_lines_come_back_with_their_header(lines: Any) -> None:
    writer = TextWriter(KEY)
    for line in lines:
        writer.add(line)
    stored = memoryview(writer.finish(b'{"a":1}', [ME.recipient]))
    assert read_header(stored, [ME], "x", whole=True) == b'{"a":1}'
    assert [line for block in read_lines(stored, [ME], KEY, "x") for line in block] == lines


def test_a_text_of_another_writer_is_refused() -> None:
    writer = TextWriter(RepositoryKey(bytes(32)))
    writer.add(b"f")
    stored = memoryview(writer.finish(b"{}", [ME.recipient]))
    with pytest.raises(IntegrityError, match="not written by a holder"):
        list(read_lines(stored, [ME], KEY, "x"))


@pytest.mark.parametrize("body", [b"", b"{}\n", b"{}\na\n", b"{}\na\nend\t2\tx\n", b"{}\na\nend\t1\tx\nb\n", b"a"])
def test_a_text_without_its_proper_end_is_refused(body: Any) -> None:
    import zstandard

    from propolis.repository.crypto import age

    stored = memoryview(age.seal_bytes(zstandard.compress(body), [ME.recipient]))
    with pytest.raises(IntegrityError):
        list(read_lines(stored, [ME], None, "x"))


def test_a_text_that_inflates_to_an_endless_line_is_refused() -> None:
    import zstandard

    from propolis.repository.crypto import age

    stored = memoryview(age.seal_bytes(zstandard.compress(bytes(200 << 20)), [ME.recipient]))
    with pytest.raises(IntegrityError, match="a line of more than"):
        list(read_lines(stored, [ME], None, "x"))


@given(
    st.lists(
        st.lists(
            st.binary(min_size=1, max_size=3).filter(lambda n: n not in (b".", b"..") and not set(n) & {0, 47}),
            min_size=1,
            max_size=4,
        )
    )
)
def test_paths_are_ordered_as_a_walk_meets_them(paths: Any) -> None:
    walked = sorted(paths)
    assert sorted(paths, key=lambda path: order(b"/".join(path))) == walked


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=60), st.binary(min_size=32, max_size=32))
@settings(max_examples=60, deadline=None)
def test_the_table_finds_every_segment_and_no_other(segments: Any, other: Any) -> None:
    known = sorted(segments)
    half = len(known) // 2
    table = SegmentTable()
    for part in (known[:half], known[half:]):
        pack = Pack(bytes(32).hex() if part is known else (part or [bytes(32)])[0].hex(), 100_000, 10_000, "zstd")
        packed = PackedSegments(pack, [(segment, i * 7, 7) for i, segment in enumerate(part)])
        stored = memoryview(write_index([packed], KEY, [ME.recipient]))
        table.add_index(index_lines(stored, [ME], KEY, "x"), "x")
    table.seal()
    assert len(table) == len(known)
    for position, segment in enumerate(known):
        place = table.find(segment)
        assert place is not None
        assert (place.offset, place.length) == ((position if position < half else position - half) * 7, 7)
        assert not table.claim(segment)
    if other not in segments:
        assert table.find(other) is None
        assert table.claim(other)
        assert not table.claim(other)


@pytest.mark.parametrize(
    "line",
    [
        b"s\t" + b"00" * 32 + b"\t0\t5",
        b"p\tshort\t10\t10\tzstd",
        b"p\t" + b"00" * 32 + b"\t10\t99999999999\tzstd",
        b"p\t" + b"00" * 32 + b"\t10\t10\tgzip",
        b"x",
        b"",
    ],
)
def test_a_strange_index_line_is_refused(line: Any) -> None:
    with pytest.raises(IntegrityError, match="can't be understood"):
        SegmentTable().add_index([line], "x")
