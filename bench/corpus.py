"""What the repository's benchmark backs up: the same bytes on every machine, made once and kept.

Of the bytes, 60 % are large files that don't compress, 20 % rows that zstd makes 1.2 to 2 times smaller, as in
Lucene's and Cassandra's files, and the rest attachments of 1 KB to 1 MB. All sizes are drawn in whole numbers, which
no machine rounds in its own way; a digest over names and contents proves it.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.data import MIB, Source

GENERATION = 1
"""Raised when the bytes change, so that data kept from before isn't taken for them."""

GIGABYTES = 6.2
"""With so many (10⁹ bytes) there are 20,000 attachments."""

_ATTACHMENTS = 20_000
_SIZES = ((55, 1_000, 8_000), (28, 8_000, 64_000), (13, 64_000, 256_000), (4, 256_000, 1_000_000))
"""Of attachments: percent, bytes from, bytes to. Most are small, a few are large."""
_NEW = 5
"""Percent of the bytes that a change replaces."""


class Corpus(msgspec.Struct, frozen=True, kw_only=True):
    """Data that was made, and what it holds."""

    folder: Path
    """The data alone."""
    what: str
    files: int
    bytes: int
    digest: str

    @property
    def aside(self) -> Path:
        """Where `changed` keeps what it replaces."""
        return self.folder.with_name(self.folder.name + ".aside")


class Rows:
    """An endless, seeded stream of what databases write: words that return, between values that don't."""

    _STEP = 512

    def __init__(self, source: Source) -> None:
        self._source = source
        self._words = [source.text(4 + length % 17) for length in source.random(256)]

    def read(self, size: int, values: int) -> bytes:
        """`size` bytes, of which `values` sixteenths can't be compressed."""
        words = b"".join(map(self._words.__getitem__, self._source.random(size // 12)))
        noise = self._source.random(size)
        cut = self._STEP * values // 16
        steps = range(0, size, self._STEP)
        mixed = b"".join(noise[at : at + cut] + words[at : at + self._STEP - cut] for at in steps)
        return (mixed + noise)[:size]


class _Maker:
    """Writes files and keeps count of them."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.folder = folder
        self.chance = random.Random(seed)  # its whole numbers are the same everywhere
        self.source = Source(seed)
        self.rows = Rows(self.source)
        self.files = self.bytes = 0
        self._digest = hashlib.sha256()

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        content = hashlib.sha256()
        path = self.folder / name
        with path.open("wb") as file:
            for part in parts:
                file.write(part)
                content.update(part)
                self.bytes += len(part)
        self.files += 1
        self._digest.update(name.encode() + b"\0" + content.digest())

    def incompressible(self, size: int) -> Iterator[bytes]:
        for at in range(0, size, 4 * MIB):
            yield self.source.random(min(4 * MIB, size - at))

    def compressible(self, size: int) -> Iterator[bytes]:
        values = self.chance.randrange(6, 12)
        for at in range(0, size, MIB):
            yield self.rows.read(min(MIB, size - at), values)

    def done(self, what: str) -> Corpus:
        return Corpus(
            folder=self.folder, what=what, files=self.files, bytes=self.bytes, digest=self._digest.hexdigest()[:16]
        )


def make(base: Path, gigabytes: float = GIGABYTES, seed: int = 1) -> Corpus:
    """The data of so many gigabytes (10⁹ bytes) below `base`; what was made before is taken as it is."""
    what = f"{gigabytes:g} GB, generation {GENERATION}, seed {seed}"
    return _kept(base / f"data-{gigabytes:g}", what, lambda maker: _fill(maker, round(gigabytes * 1e9)))


def make_small_files(base: Path, number: int, seed: int = 1) -> Corpus:
    """So many files of 200 bytes to 2 KB below `base`, in folders of 1,000; kept like the other data."""
    what = f"{number} small files, generation {GENERATION}, seed {seed}"
    return _kept(base / f"files-{number}", what, lambda maker: _fill_small(maker, number))


@contextmanager
def changed(corpus: Corpus) -> Iterator[int]:
    """For a block, let 5 % of the bytes be others, as after a compaction: files are gone, new ones are there.

    Yields the new bytes. Afterwards the data is what it was; `put_back` does that after a run that was killed.
    """
    put_back(corpus)
    goal = corpus.bytes * _NEW // 100
    maker = _Maker(corpus.folder, f"change {corpus.what}")
    new = {"database/nb-9001-big-Data.db": goal * 3 // 4, "index/_zz.cfs": goal - goal * 3 // 4}
    corpus.aside.mkdir()
    (corpus.aside / "new.json").write_bytes(msgspec.json.encode(list(new)))
    try:
        for path in _replaced(corpus.folder, maker.chance, goal):
            path.rename(corpus.aside / str(path.relative_to(corpus.folder)).replace("/", "%"))
        for name, size in new.items():
            parts = maker.incompressible(size) if name.startswith("database") else maker.compressible(size)
            maker.write(name, parts)
        yield maker.bytes
    finally:
        put_back(corpus)


def put_back(corpus: Corpus) -> None:
    """Undo a change, if there is one; idempotent."""
    listed = corpus.aside / "new.json"
    if listed.exists():
        for name in msgspec.json.decode(listed.read_bytes(), type=list[str]):
            (corpus.folder / name).unlink(missing_ok=True)
        for path in corpus.aside.iterdir():
            if path != listed:
                path.rename(corpus.folder / path.name.replace("%", "/"))
        listed.unlink()
    shutil.rmtree(corpus.aside, ignore_errors=True)


def _kept(folder: Path, what: str, fill: Callable[[_Maker], None]) -> Corpus:
    described = folder.with_name(folder.name + ".json")
    if described.exists():
        corpus = msgspec.json.decode(described.read_bytes(), type=Corpus, dec_hook=lambda kind, value: kind(value))
        if corpus.what == what and corpus.folder == folder:
            put_back(corpus)
            return corpus
    described.unlink(missing_ok=True)
    for stale in (folder, folder.with_name(folder.name + ".aside")):
        if stale.exists():
            shutil.rmtree(stale)
    folder.mkdir(parents=True)
    maker = _Maker(folder, what)
    fill(maker)
    corpus = maker.done(what)
    described.write_bytes(msgspec.json.format(msgspec.json.encode(corpus, enc_hook=str)))
    return corpus


def _fill(maker: _Maker, size: int) -> None:
    for name in ("database", "index", "files"):
        (maker.folder / name).mkdir()
    large, rows = size * 60 // 100, size * 20 // 100
    for number, part in enumerate(_cut(maker.chance, large, 20_000_000, 300_000_000)):
        maker.write(f"database/nb-{number}-big-Data.db", maker.incompressible(part))
    for number, part in enumerate(_cut(maker.chance, rows, 2_000_000, 80_000_000)):
        maker.write(f"index/_{number}.cfs", maker.compressible(part))
    for number in range(round(_ATTACHMENTS * size / (GIGABYTES * 1e9))):
        _, least, most = maker.chance.choices(_SIZES, [percent for percent, _, _ in _SIZES])[0]
        content = maker.source.text if number % 10 == 0 else maker.source.random
        name = hashlib.sha256(f"{number}".encode()).hexdigest()
        maker.write(f"files/{name}", [content(maker.chance.randrange(least, most))])


def _fill_small(maker: _Maker, number: int) -> None:
    for each in range(number):
        folder = f"{each // 1000:05}"
        if each % 1000 == 0:
            (maker.folder / folder).mkdir()
        maker.write(f"{folder}/{each % 1000:03}.json", [maker.source.text(maker.chance.randrange(200, 2001))])


def _cut(chance: random.Random, size: int, least: int, most: int) -> Iterator[int]:
    """Sizes that add up to `size`: several even where there is little."""
    most = max(2, min(most, size // 8))
    least = min(least, most // 2)
    while size > 0:
        part = min(size, chance.randrange(least, most))
        yield part
        size -= part


def _replaced(folder: Path, chance: random.Random, goal: int) -> Iterator[Path]:
    """Files of the database and the index, together as near below `goal` bytes as one comes by chance."""
    found = sorted(path for name in ("database", "index") for path in (folder / name).iterdir())
    chance.shuffle(found)
    for path in found:
        size = path.stat().st_size
        if size <= goal:
            goal -= size
            yield path
