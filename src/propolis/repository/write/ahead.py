"""Objects of a bucket that were stored before the list that counts was taken, held as arrays."""

from __future__ import annotations

from array import array
from collections import deque

from propolis.repository.write.intake import Pending
from propolis.s3.listing import ObjectList, Texts
from propolis.s3.objects import ObjectMeta


class StoredAhead:
    """What became of the objects of one tree, in the order in which they were listed."""

    def __init__(self) -> None:
        self._reading: deque[tuple[ObjectMeta, Pending]] = deque()
        self._objects = ObjectList()
        self._contents = Texts()
        self._lost = array("b")

    def begin(self, meta: ObjectMeta, pending: Pending) -> None:
        """An object is being read; `pending` gets its segments."""
        self._reading.append((meta, pending))
        self.settle()

    def settle(self) -> Pending | None:
        """Take in those that were read; give the first that wasn't yet, None if all were."""
        while self._reading:
            meta, pending = self._reading[0]
            if not pending.ready:
                return pending
            self._objects.append(meta)
            self._contents.append(pending.line())
            self._lost.append(pending.lost)
            self._reading.popleft()
        return None

    def line(self, before: bytes, key: bytes, meta: ObjectMeta) -> Pending | None:
        """The manifest's line of an object, which begins with `before`; None if it wasn't read, or changed since."""
        number = self._objects.find(key)
        if number is None or self._lost[number] or self._objects[number] != meta:
            return None
        segments, tab, after = self._contents[number].partition(b"\t")
        line = Pending(before, tab + after, 0)
        line.segments = [segments]
        return line
