"""A served repository and a hostile client; a client and a hostile server: nothing is lost, leaked or believed."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propolis import __version__
from propolis.errors import IntegrityError, PreflightError, PropolisError, RepositoryError
from propolis.link.frames import FRAME_LIMIT, FrameReader, frame, send_frame
from propolis.repository.storage.remote import messages as m
from propolis.repository.storage.remote.client import RemoteStorage
from propolis.repository.storage.remote.errors import RefusedError
from unit.repository.storage.served import HASTY, Far, Serving, remote

HASH = "0" * 64


class Client:
    """Somebody who says what he wants."""

    def __init__(self, folder: Path, *, append_only: bool = False, opens: bool = True) -> None:
        self.far = Serving(folder, append_only=append_only)
        self.reader = FrameReader(self.far.stdout, 30)
        if opens:
            self.say(m.Open(protocol=m.PROTOCOL, propolis=__version__, path=str(folder), place="x"))
            assert isinstance(self.hear(), m.Opened)

    def say(self, message: Any) -> None:
        send_frame(self.far.stdin, m.encode(message))

    def hear(self) -> m.FromServer | None:
        payload = self.reader.next()
        return None if payload is None else m.decode_from_server(payload)

    def refused(self) -> str:
        """What the server says last."""
        last = None
        while (message := self.hear()) is not None:
            last = message
        assert isinstance(last, m.Failed)
        assert last.id is None
        return last.what


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository, and something outside of it."""
    (tmp_path / "vault" / "packs").mkdir(parents=True)
    (tmp_path / "vault" / "config").write_bytes(b"config")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "vault"


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.parent.rglob("*")}


NAMES = [
    "../secret",
    "packs/../../secret",
    "/etc/passwd",
    "packs//x",
    "packs/./x",
    "secret",
    "packs/a\0b",
    "packs/\ud800",
    "",
    "packs/" + "x" * 300,
    "etc/passwd",
    ".ssh/authorized_keys",
]


@pytest.mark.parametrize("append_only", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder(folder: Path, name: str, append_only: bool) -> None:
    before = everything(folder)
    client = Client(folder, append_only=append_only)
    raw = [
        {"is": "put", "id": 1, "name": name, "size": 0},
        {"is": "put", "id": 2, "name": name, "size": 0, "create": True},
        {"is": "read", "id": 3, "name": name, "start": 0, "count": 100},
        {"is": "size", "id": 4, "name": name},
        {"is": "delete", "id": 5, "name": name},
        {"is": "list", "id": 6, "prefix": name or "..", "after": ""},
        {"is": "list", "id": 7, "prefix": "packs", "after": name or ".."},
        {"is": "flush", "id": 8, "folders": [name]},
    ]
    for request in raw:
        try:
            payload = msgspec.msgpack.encode(request)
        except UnicodeEncodeError:
            payload = msgspec.msgpack.encode({**request, "name": "x"}).replace(b"\xa1x", b"\xa3\xed\xa0\x80")
        if name == "packs/\ud800" and "name" not in request:
            continue
        send_frame(client.far.stdin, payload)
        answer = client.hear()
        if request["id"] == 7 and isinstance(answer, m.Page):
            assert answer.objects == ()
            continue
        assert isinstance(answer, m.Failed), (request, answer)
        if answer.id is None:  # not even a request
            break
    client.far.end()
    assert everything(folder) == before


def whole(size: int) -> bytes:
    return m.encode(m.Put(id=1, name=f"packs/00/{HASH}", size=size))


def say_open(client: Client) -> None:
    client.say(m.Open(protocol=m.PROTOCOL, propolis="1", path="/x", place="x"))


BROKEN: dict[str, Callable[[Client], object]] = {
    "a huge frame": lambda client: os.write(client.far.stdin, (FRAME_LIMIT + 1).to_bytes(4, "big")),
    "no msgpack": lambda client: send_frame(client.far.stdin, b"\xc1"),
    "an unknown request": lambda client: send_frame(
        client.far.stdin, msgspec.msgpack.encode({"is": "exec", "id": 1})
    ),
    "what only servers say": lambda client: client.say(m.Done(id=1)),
    "a second opening": say_open,
    "bytes of nothing": lambda client: client.say(m.Piece(id=9, data=memoryview(b"x"))),
    "nesting": lambda client: send_frame(client.far.stdin, b"\x91" * 100_000),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_no_client_says_ends_the_connection(folder: Path, what: str) -> None:
    before = everything(folder)
    client = Client(folder)
    BROKEN[what](client)
    assert "can't be understood" in client.refused()
    assert everything(folder) == before


def test_more_bytes_than_were_said_end_the_connection_and_leave_nothing(folder: Path) -> None:
    client = Client(folder)
    send_frame(client.far.stdin, whole(10))
    client.say(m.Piece(id=1, data=memoryview(b"x" * 11)))
    assert "more than 10 bytes" in client.refused()
    assert not [path for path in (folder / "packs").rglob("*") if path.is_file()]
    assert list((folder / "tmp").iterdir()) == []


def test_no_more_objects_come_at_a_time_than_memory_is_kept_for(folder: Path) -> None:
    client = Client(folder)
    for id in range(m.PUTS + 1):
        client.say(m.Put(id=id, name=f"packs/00/{id:064}", size=60 << 20))
    assert "too many objects" in client.refused()
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "size"), [(f"packs/00/{HASH}", (65 << 20) + 1), (f"indexes/{HASH}", 1 << 40), ("config", -1)]
)
def test_no_object_is_larger_than_its_kind(folder: Path, name: str, size: int) -> None:
    client = Client(folder)
    client.say(m.Put(id=1, name=name, size=size))
    answer = client.hear()
    assert isinstance(answer, m.Failed)
    assert "at most" in answer.what


def test_the_pieces_of_a_refused_object_are_ignored(folder: Path) -> None:
    client = Client(folder, append_only=True)
    client.say(m.Put(id=1, name="config", size=1 << 20))
    client.say(m.Piece(id=1, data=memoryview(b"x" * 1000)))
    assert isinstance(client.hear(), m.Failed)
    client.say(m.Stop(id=1))
    client.say(m.Size(id=2, name="config"))
    assert client.hear() == m.Done(id=2, size=6)


def test_another_folder_than_the_servers_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=f"keeps its repository in {folder}, not in /etc"):
        remote(folder, path="/etc").size("config")
    assert remote(folder, path=f"{folder}/").size("config") == 6


def test_another_version_of_the_protocol_is_refused_by_either_side(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(folder, opens=False)
    client.say(m.Open(protocol=m.PROTOCOL + 1, propolis="9.9", path=str(folder), place="x"))
    answer = client.hear()
    assert isinstance(answer, m.Failed)
    assert answer.kind == "version"
    assert "9.9" in answer.what
    assert __version__ in answer.what
    with pytest.raises(PreflightError, match=rf"Propolis 9\.9.*Propolis {__version__}") as raised:
        hostile(m.Opened(protocol=m.PROTOCOL + 1, propolis="9.9", append_only=False)).size("config")
    assert raised.value.exit_code == 12


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 2**32))
def test_whatever_comes_no_server_breaks_and_nothing_is_changed(folder: Path, frames: list[bytes], seed: int) -> None:
    before = everything(folder)
    chance = random.Random(seed)
    client = Client(folder, append_only=True)
    known = msgspec.msgpack.encode({"is": "read", "id": 1, "name": "config", "start": 0, "count": 3})
    for payload in frames:
        mixed = bytearray(known)
        mixed[chance.randrange(len(mixed))] = chance.randrange(256)
        try:
            for data in (payload, bytes(mixed)):
                send_frame(client.far.stdin, data)
        except OSError:
            break  # it has ended the connection
    client.far.end()
    assert not client.far.thread.is_alive()
    if (folder / "tmp").exists():
        (folder / "tmp").rmdir()
    assert everything(folder) == before


class Lying(Far):
    """A server that answers what it was told to, whatever is asked for."""

    def __init__(self, answers: Iterator[Any]) -> None:
        self.answers = answers
        super().__init__()

    def serve(self) -> None:
        reader = FrameReader(self.source, 30)
        for answer in self.answers:
            payload = reader.next()
            if payload is None:
                return
            asked = m.decode_to_server(payload)
            for one in answer if isinstance(answer, list) else [answer]:
                data = one if isinstance(one, bytes) else frame(m.encode(_with_id(one, asked)))
                try:
                    os.write(self.sink, data)
                except OSError:
                    return


def _with_id(answer: Any, asked: Any) -> Any:
    id = getattr(asked, "id", None)
    return msgspec.structs.replace(answer, id=id) if getattr(answer, "id", 0) == -1 else answer


OPENED = m.Opened(protocol=m.PROTOCOL, propolis=__version__, append_only=False)


def hostile(*answers: Any, forever: Any = None) -> RemoteStorage:
    def all_answers() -> Iterator[Any]:
        yield from answers
        while forever is not None:
            yield forever(1) if callable(forever) else forever

    return RemoteStorage(lambda: Lying(all_answers()), "/x", "ssh://backup.example/x", HASTY)


def done(size: int | None = 3, version: str = "1") -> m.Done:
    return m.Done(id=-1, size=size, version=version)


def piece(data: bytes) -> m.Piece:
    return m.Piece(id=-1, data=memoryview(data))


LIES: dict[str, list[Any]] = {
    "more bytes than were asked for": [[piece(b"x" * 5), done()]],
    "bytes that nobody asked for": [[m.Piece(id=77, data=memoryview(b"x")), done()]],
    "an answer to nothing": [[m.Done(id=77)]],
    "no size": [[piece(b"abc"), done(None)]],
    "a size below nothing": [[piece(b"abc"), done(-5)]],
    "a list instead of bytes": [[m.Page(id=-1, objects=(), more=False)]],
    "a second opening": [[OPENED]],
    "nonsense": [[frame(b"\xc1")]],
    "a huge frame": [[b"\xff\xff\xff\xff"]],
    "text": [[b"Welcome to backup.example!\n"]],
}


@pytest.mark.parametrize("what", LIES)
def test_no_lie_about_bytes_is_believed(what: str) -> None:
    storage = hostile(OPENED, *LIES[what])
    with pytest.raises(RepositoryError):
        storage.get("config", 3)
    storage.close()


def test_an_object_that_is_larger_than_allowed_is_refused_before_it_is_read() -> None:
    storage = hostile(OPENED, [piece(b"x" * 5), done(1 << 40)])
    with pytest.raises(IntegrityError, match="at most 5 are allowed"):
        storage.get("config", 5)
    with pytest.raises(IntegrityError, match="at most 5 are allowed"), hostile(OPENED, [done(6)]).stream("x", 5):
        pass


def test_an_object_that_is_shorter_than_it_says_has_no_bytes_that_never_came() -> None:
    part = [piece(b"x" * (512 << 10)), piece(b"x" * (512 << 10)), done(5 << 20)]
    storage = hostile(OPENED, part, forever=[done(5 << 20)])
    assert len(storage.get("packs/00/x", 8 << 20)) == 1 << 20


def test_an_object_that_changes_while_it_is_read_is_no_object() -> None:
    part = [piece(b"x" * (512 << 10)), piece(b"x" * (512 << 10))]
    storage = hostile(OPENED, [*part, done(2 << 20, "1")], forever=[*part, done(2 << 20, "2")])
    with pytest.raises(IntegrityError, match="replaced while it was read"):
        storage.get("packs/00/x", 8 << 20)


def page(*names: str, more: bool = False, size: int = 1) -> m.Page:
    return m.Page(id=-1, objects=tuple((name, size, 1) for name in names), more=more)


PAGES: dict[str, list[Any]] = {
    "a name of another folder": [page("indexes/x")],
    "a name that leads elsewhere": [page("packs/../../x")],
    "an absolute name": [page("/etc/passwd")],
    "a name twice": [page("packs/x", "packs/x")],
    "names backwards": [page("packs/b", "packs/a")],
    "the same page again": [page("packs/a", more=True), page("packs/a", more=True)],
    "an empty page and more": [page(more=True)],
    "a size below nothing": [page("packs/a", size=-1)],
    "no list": [done()],
}


@pytest.mark.parametrize("what", PAGES)
def test_no_lie_about_names_is_believed(what: str) -> None:
    with pytest.raises(RepositoryError, match="can't be understood"):
        list(hostile(OPENED, *PAGES[what]).list("packs"))


def test_a_listing_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propolis.repository.storage.remote.client._MOST_LISTED", 1000)
    numbers = iter(range(10**9))
    storage = hostile(OPENED, forever=lambda _: page(*(f"packs/{next(numbers):09}" for _ in range(100)), more=True))
    with pytest.raises(RepositoryError, match="doesn't end"):
        list(storage.list("packs"))


def test_what_a_server_says_is_printed_without_its_control_characters() -> None:
    failed = m.Failed(id=-1, kind="strange", what="\x1b[31mred\n\a" + "x" * 5000, next="\x1b]0;title\a")
    with pytest.raises(RepositoryError) as raised:
        hostile(OPENED, failed).size("config")
    error: PropolisError = raised.value
    assert (error.what + error.next).isprintable()
    assert len(error.what) <= m.TEXT


def test_what_nobody_expected_at_the_server_is_an_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("propolis.repository.storage.remote.server.page", broken)
    storage = remote(folder)
    with pytest.raises(RepositoryError, match="Unexpected ZeroDivisionError at the server of ssh://"):
        list(storage.list("packs"))
    assert storage.size("config") == 6
