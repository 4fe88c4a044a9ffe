"""Keys and lists of a bucket, held as arrays: millions of attachments are no millions of Python objects."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from propolis.s3.objects import ObjectMeta


class Texts:
    """Texts in the order in which they were added, one after the other in one buffer: their bytes and 8 more each."""

    def __init__(self, texts: Iterable[bytes] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")
        for text in texts:
            self.append(text)

    def append(self, text: bytes) -> None:
        """Add one."""
        self._bytes += text
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> bytes:
        start = self._ends[number - 1] if number else 0
        return bytes(self._bytes[start : self._ends[number]])

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))


class Keys(Texts):
    """Keys by which something is found. Adding them bytewise sorted, as a bucket lists them, costs least."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._sorted: array[int] | None = None
        """The keys' numbers in the keys' order, where that is another one."""
        self._is_sorted = True
        self._last = b""
        self._next = 0
        """Where the next one that is asked for will be, if they are asked for in the order of adding."""
        super().__init__(keys)

    def append(self, text: bytes) -> None:
        """Add a key."""
        self._is_sorted &= self._last <= text
        self._last, self._sorted = text, None
        super().append(text)

    def find(self, key: bytes) -> int | None:
        """The number of a key; None where it isn't one of these."""
        expected = self._next
        number = expected if expected < len(self) and self[expected] == key else self._search(key)
        if number is not None:
            self._next = number + 1
        return number

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.find(key) is not None

    def _search(self, key: bytes) -> int | None:
        if self._is_sorted:
            found = bisect_left(range(len(self)), key, key=self.__getitem__)
            return found if found < len(self) and self[found] == key else None
        if self._sorted is None:
            self._sorted = array("Q", sorted(range(len(self)), key=self.__getitem__))
        found = bisect_left(self._sorted, key, key=self.__getitem__)
        return self._sorted[found] if found < len(self) and self[self._sorted[found]] == key else None


class ObjectList:
    """What a bucket listed: key, size, ETag and time of each object, in the bucket's order.

    An object takes the bytes of its key and its ETag and 32 more. What is told only when it is read (content type,
    metadata) isn't kept.
    """

    def __init__(self, objects: Iterable[ObjectMeta] = ()) -> None:
        self._keys = Keys()
        self._etags = Texts()
        self._sizes = array("Q")
        self._times = array("q")
        for meta in objects:
            self.append(meta)

    def append(self, meta: ObjectMeta) -> None:
        """Add one."""
        self._keys.append(meta.key.encode())
        self._etags.append(meta.etag.encode())
        self._sizes.append(meta.size)
        self._times.append(meta.last_modified_ns)

    def find(self, key: bytes) -> int | None:
        """The number of an object by its key; None where the bucket had none. Fast in the bucket's order."""
        return self._keys.find(key)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, number: int) -> ObjectMeta:
        return ObjectMeta(
            self._keys[number].decode(), self._sizes[number], self._etags[number].decode(), self._times[number]
        )

    def __iter__(self) -> Iterator[ObjectMeta]:
        return (self[number] for number in range(len(self)))
