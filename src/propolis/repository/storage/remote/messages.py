"""What a client and a served repository say to each other, in frames of `propolis.link.frames`.

The client opens, and then asks: each request has an ID and one answer. Many may be under way at a time, and their
answers come in any order. Bytes are in pieces: those of `Put` follow it, those of `Read` come before its `Done`.
Every request can be made again, over another connection: none changes anything when it is done a second time.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from propolis.link.frames import FRAME_LIMIT
from propolis.link.messages import Beat, Message

PROTOCOL = 1
BULK = 512 << 10
"""Most bytes of a piece."""
READ_MOST = 1 << 20
"""Most bytes of one `Read`."""
PUTS = 16
"""Most objects that may be coming at a time."""
REQUESTS = 256
"""Most requests that may be waiting for their answers."""
BEAT = 5.0
"""Seconds: whoever has said nothing for so long says `Beat`."""
SILENCE = 60.0
"""Seconds without a frame after which the other side counts as gone."""
PAGE_BYTES = FRAME_LIMIT - (64 << 10)
TEXT = 2000
"""Most characters of a text for people."""


class Open(Message, frozen=True, kw_only=True, tag="open"):
    """Begins a connection; the answer is `Opened` or `Failed`."""

    protocol: int
    propolis: str
    path: str
    """The folder that the client means: the server has its own, and refuses another."""
    place: str
    """What the client calls the repository, for messages."""


class Request(Message, frozen=True, kw_only=True):
    """Something asked for. The answer has the same ID."""

    id: int


class Put(Request, frozen=True, kw_only=True, tag="put"):
    """Stores an object, durably when `Done` comes. Its bytes follow as `Piece`s."""

    name: str
    size: int
    create: bool = False


class Piece(Request, frozen=True, kw_only=True, tag="piece"):
    """Bytes of a `Put`, or for a `Read`. Nothing comes after them in a frame."""

    data: memoryview


class Stop(Request, frozen=True, kw_only=True, tag="stop"):
    """No more pieces of a `Put` come: it failed, or was given up. There is no answer."""


class Read(Request, frozen=True, kw_only=True, tag="read"):
    """Bytes of an object, fewer where it ends; `Done` has its size and which object it was."""

    name: str
    start: int
    count: int


class Size(Request, frozen=True, kw_only=True, tag="size"):
    """Asks how large an object is: `Done.size`, None when there is none."""

    name: str


class List(Request, frozen=True, kw_only=True, tag="list"):
    """Objects below a folder, in order, from the first after that name on; the answer is `Page`."""

    prefix: str
    after: str = ""


class Delete(Request, frozen=True, kw_only=True, tag="delete"):
    """Removes an object, if there is one. Durable after `Flush`."""

    name: str


class Flush(Request, frozen=True, kw_only=True, tag="flush"):
    """Makes durable what was deleted in these folders."""

    folders: tuple[str, ...]


class Prepare(Request, frozen=True, kw_only=True, tag="prepare"):
    """Creates the folder of a new repository."""


class Allocate(Request, frozen=True, kw_only=True, tag="allocate"):
    """Has the reserve take up so many bytes."""

    size: int


class Room(Request, frozen=True, kw_only=True, tag="room"):
    """Asks whether the disk would take so many bytes: `Done.yes`."""

    size: int


class Opened(Message, frozen=True, kw_only=True, tag="opened"):
    """The connection serves the repository."""

    protocol: int
    propolis: str
    append_only: bool


class Done(Request, frozen=True, kw_only=True, tag="done"):
    """A request was done."""

    size: int | None = None
    version: str = ""
    """Which object was read: another one of the same name has another version."""
    yes: bool = False


class Page(Request, frozen=True, kw_only=True, tag="page"):
    """Objects: their names, sizes, and times by the server's clock. `more`: there are more after them."""

    objects: tuple[tuple[str, int, int], ...]
    more: bool


class Failed(Message, frozen=True, kw_only=True, tag="failed"):
    """A request failed. Without an ID: the whole connection did, and ends."""

    kind: str
    what: str
    left: str = ""
    next: str = ""
    id: int | None = None


ToServer = Open | Put | Piece | Stop | Read | Size | List | Delete | Flush | Prepare | Allocate | Room | Beat
FromServer = Opened | Piece | Done | Page | Failed | Beat

encode = msgspec.msgpack.Encoder().encode
decode_to_server: Callable[[memoryview], ToServer] = msgspec.msgpack.Decoder(ToServer).decode
decode_from_server: Callable[[memoryview], FromServer] = msgspec.msgpack.Decoder(FromServer).decode


def piece_head(id: int, size: int) -> bytes:
    """The encoded `Piece` up to its `size` bytes, so that those needn't be copied."""
    empty = encode(Piece(id=id, data=memoryview(b"")))
    return empty[:-2] + b"\xc6" + size.to_bytes(4, "big")
