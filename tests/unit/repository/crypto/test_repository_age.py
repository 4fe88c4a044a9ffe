"""The age format: read and written as the original programs do."""

import subprocess
from pathlib import Path
from typing import Any

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propolis.errors import IntegrityError, RepositoryError
from propolis.repository import Identity, read_identities, write_identity
from propolis.repository.crypto import age
from propolis.repository.io.stream import Stream

ONE, TWO = Identity.generate(), Identity.generate()
SIZES = [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000]


def theirs(identity: Any) -> Any:
    return pyrage.x25519.Identity.from_str(identity.secret())


@pytest.mark.parametrize("size", SIZES)
def test_what_is_sealed_here_opens_in_pyrage_with_either_key(size: Any) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    sealed = age.seal_bytes(data[:size], [ONE.recipient, TWO.recipient])
    assert len(sealed) == age.sealed_size(size, 2)
    for identity in (ONE, TWO):
        assert pyrage.decrypt(bytes(sealed), [theirs(identity)]) == data[:size]


@pytest.mark.parametrize("size", SIZES)
def test_what_pyrage_seals_opens_here(size: Any) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    recipients = [pyrage.x25519.Recipient.from_str(str(key.recipient)) for key in (ONE, TWO)]
    sealed = pyrage.encrypt(data[:size], recipients)
    assert age.open_bytes(sealed, [TWO], "x", 1 << 20) == data[:size]
    assert (
        b"".join(bytes(piece) for piece in age.open_pieces(Stream.of(memoryview(sealed)), [ONE], "x")) == data[:size]
    )


@given(st.binary(max_size=300_000))
@settings(max_examples=30, deadline=None)
def test_any_bytes_come_back(data: Any) -> None:
    assert age.open_bytes(age.seal_bytes(data, [ONE.recipient]), [ONE], "x", 1 << 20) == data


@given(st.integers(0, age.sealed_size(150_000, 1) - 1), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_anywhere_is_refused(position: Any, change: Any) -> None:
    sealed = SEALED.copy()
    sealed[position] ^= change
    with pytest.raises((IntegrityError, age.WrongKeyError)):
        age.open_bytes(sealed, [ONE], "x", 1 << 20)
    with pytest.raises((IntegrityError, age.WrongKeyError)):
        list(age.open_pieces(Stream.of(memoryview(sealed)), [ONE], "x"))


@given(st.integers(0, age.sealed_size(150_000, 1) - 1))
@settings(max_examples=100, deadline=None)
def test_a_beginning_alone_is_refused(size: Any) -> None:
    with pytest.raises((IntegrityError, age.WrongKeyError)):
        age.open_bytes(SEALED[:size], [ONE], "x", 1 << 20)


def test_a_beginning_gives_its_whole_chunks_when_asked_to() -> None:
    pieces = b"".join(
        bytes(p) for p in age.open_pieces(Stream.of(memoryview(SEALED)[:140_000]), [ONE], "x", whole=False)
    )
    assert pieces == bytes(131_072)


def test_chunks_in_another_order_or_left_out_are_refused() -> None:
    head = age.sealed_size(0, 1) - 16
    chunk = age.CHUNK + age.TAG
    first, second, rest = (SEALED[head + i * chunk : head + (i + 1) * chunk] for i in range(3))
    for body in (second + first + rest, first + rest, first + second, first + second + rest + rest):
        with pytest.raises(IntegrityError):
            age.open_bytes(SEALED[:head] + body, [ONE], "x", 1 << 20)


def test_another_key_is_told_apart_from_damage() -> None:
    with pytest.raises(age.WrongKeyError, match="None of the given keys opens x"):
        age.open_bytes(SEALED, [TWO], "x", 1 << 20)


def test_more_than_the_limit_is_refused() -> None:
    with pytest.raises(IntegrityError, match="at most 1000"):
        age.open_bytes(SEALED, [ONE], "x", 1000)


def test_the_age_program_reads_and_writes_the_same(tmp_path: Path) -> None:
    key = tmp_path / "key"
    write_identity(key, ONE)
    (tmp_path / "sealed").write_bytes(SEALED)
    command = ["age", "-d", "-i", str(key), str(tmp_path / "sealed")]
    assert subprocess.run(command, check=True, capture_output=True).stdout == bytes(150_000)
    command = ["age", "-r", str(ONE.recipient)]
    sealed = subprocess.run(command, check=True, capture_output=True, input=bytes(70_000)).stdout
    assert age.open_bytes(sealed, [ONE], "x", 1 << 20) == bytes(70_000)


def test_a_key_file_comes_back_and_is_private(tmp_path: Path) -> None:
    key = tmp_path / "key"
    write_identity(key, ONE, "made by a test")
    assert key.stat().st_mode & 0o777 == 0o600
    assert [identity.recipient for identity in read_identities(key)] == [ONE.recipient]
    with pytest.raises(RepositoryError, match="exists already"):
        write_identity(key, TWO)
    key.chmod(0o640)
    with pytest.raises(RepositoryError, match="can be read by others"):
        read_identities(key)


def test_a_private_key_shows_in_no_message(tmp_path: Path) -> None:
    assert ONE.secret() not in repr(ONE)
    secret = ONE.secret()
    broken = secret[:-1] + ("P" if secret.endswith("Q") else "Q")
    with pytest.raises(RepositoryError) as caught:
        Identity(broken)
    assert broken not in str(caught.value)
    with pytest.raises(RepositoryError, match="no key file"):
        read_identities(tmp_path / "missing")


SEALED = age.seal_bytes(bytes(150_000), [ONE.recipient])
