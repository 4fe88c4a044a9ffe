"""Reads and writes past the page cache give and take the same bytes as any others, wherever they lie."""

import ctypes
import errno
import fcntl
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.repository.io import direct

_SIZES = st.one_of(
    st.integers(0, 5000),
    st.builds(lambda pages, rest: direct.LEAST + pages * 4096 + rest, st.integers(-2, 40), st.integers(-1, 1)),
)
_SHIFTS = st.sampled_from([0, 0, 0, 1, 512, 4095, 4096])


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def room(size: int, shift: int) -> memoryview:
    return direct.buffer(shift + size)[shift : shift + size]


@pytest.fixture(scope="module", params=["direct", "refused when opened", "refused when used"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, on a file system that allows direct access and on one that doesn't, or says so late."""
    patch = pytest.MonkeyPatch()
    request.addfinalizer(patch.undo)
    if request.param == "refused when opened":
        original = fcntl.fcntl

        def refuse(file: int, command: int, argument: int = 0) -> int:
            if command == fcntl.F_SETFL and argument & os.O_DIRECT:
                raise OSError(errno.EINVAL, "no direct access here")
            return original(file, command, argument)

        patch.setattr(fcntl, "fcntl", refuse)
    elif request.param == "refused when used":
        preadv, pwrite = os.preadv, os.pwrite

        def is_direct(file: int) -> bool:
            return bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT)

        def no_read(file: int, buffers: list[memoryview], offset: int) -> int:
            if is_direct(file):
                raise OSError(errno.EINVAL, "not aligned as this disk wants it")
            return preadv(file, buffers, offset)

        def no_write(file: int, data: memoryview, offset: int) -> int:
            if is_direct(file):
                raise OSError(errno.EINVAL, "not aligned as this disk wants it")
            return pwrite(file, data, offset)

        patch.setattr(os, "preadv", no_read)
        patch.setattr(os, "pwrite", no_write)
    return tmp_path_factory.mktemp("place")


@given(size=_SIZES, wanted=_SIZES, offset=_SHIFTS, shift=_SHIFTS, spare=st.sampled_from([0, 1, 4096]))
def test_a_read_gives_the_files_bytes(
    place: Path, size: int, wanted: int, offset: int, shift: int, spare: int
) -> None:
    path = place / "file"
    path.write_bytes(content(size))
    target = room(wanted + spare, shift)
    file = os.open(path, os.O_RDONLY)
    try:
        count = direct.read(file, target, wanted, offset)
        assert not fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT
    finally:
        os.close(file)
    expected = content(size)[offset : offset + wanted]
    assert count == len(expected)
    assert target[:count] == expected


@given(size=_SIZES, step=st.sampled_from([1 << 20, 4096 * 5]))
def test_a_file_read_part_by_part_comes_whole(place: Path, size: int, step: int) -> None:
    path = place / "file"
    path.write_bytes(content(size))
    target = direct.buffer(step)
    found = bytearray()
    file = os.open(path, os.O_RDONLY)
    try:
        for offset in range(0, size, step):
            count = direct.read(file, target, min(step, size - offset), offset, whole=size)
            found += target[:count]
    finally:
        os.close(file)
    assert found == content(size)


@given(size=st.integers(0, 5 << 20))
def test_a_buffer_begins_a_huge_page_and_has_its_size(size: int) -> None:
    found = direct.buffer(size)
    assert len(found) == max(size, 1)
    assert ctypes.addressof(ctypes.c_char.from_buffer(found)) % (2 << 20) == 0
    assert found.tobytes() == bytes(len(found))


@given(size=_SIZES, offset=_SHIFTS, shift=_SHIFTS)
def test_a_write_leaves_the_files_bytes(place: Path, size: int, offset: int, shift: int) -> None:
    path = place / "file"
    before = b"before" * (direct.LEAST // 4)
    path.write_bytes(before)
    data = room(size, shift)
    data[:] = content(size)
    file = os.open(path, os.O_WRONLY)
    try:
        direct.write(file, data, offset)
    finally:
        os.close(file)
    assert path.read_bytes() == before[:offset] + content(size) + before[offset + size :]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    file = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left"):
            direct.write(file, room(direct.LEAST, 0))
    finally:
        os.close(file)
