"""Folders as a TheHive deployment has them, for benchmarks: the same bytes on every machine.

`python -m bench.data FOLDER` makes them and says what they hold. Names follow the servers' own, so that the rules on
which files never change apply to them. Sizes are drawn so that most attachments are small and a few are large.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

MIB = 1 << 20
_ALPHABET = bytes(b' aeinorst"{}:,01'[i & 15] for i in range(256))
"""Turns random bytes into text of 4 bits a byte: compressible to about half, like documents and JSON."""


@dataclass(frozen=True)
class Data:
    """Where the parts of one deployment lie."""

    root: Path
    database: Path
    commitlog: Path
    index: Path
    files: Path
    config: Path

    @classmethod
    def at(cls, root: Path) -> Data:
        """Say where the parts lie below a root."""
        names = ("cassandra/data", "cassandra/commitlog", "elasticsearch", "files", "etc/thehive")
        return cls(root, *(root / name for name in names))

    def folders(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.database, self.commitlog, self.index, self.files, self.config)


class Source:
    """An endless, seeded stream of bytes, fast enough not to be the bottleneck."""

    def __init__(self, seed: str) -> None:
        key = hashlib.sha256(seed.encode()).digest()
        self._stream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()

    def random(self, size: int) -> bytes:
        """Bytes that don't compress."""
        return self._stream.update(bytes(size))

    def text(self, size: int) -> bytes:
        """Bytes that compress to about half."""
        return self.random(size).translate(_ALPHABET)


def make(root: Path, *, megabytes: int = 3200, files: int = 20_000, seed: int = 1) -> Data:
    """Make a deployment's folders below a root that doesn't exist yet.

    Of the bytes, 40 % are the database's (one third of them compress), 25 % the index's (half compress) and 35 % the
    attachments' (none compress, like pictures and archives; one in ten is text).
    """
    root.mkdir(parents=True)
    data = Data.at(root)
    for folder in data.folders():
        folder.mkdir(parents=True)
    chance = random.Random(seed)
    source = Source(f"propolis {seed}")
    _database(data, megabytes * 40 // 100 * MIB, chance, source)
    _index(data, megabytes * 25 // 100 * MIB, chance, source)
    attachments(data.files, megabytes * 35 // 100 * MIB, files, chance, source)
    (data.config / "application.conf").write_bytes(b'include "secret.conf"\n' + source.text(4000))
    (data.config / "secret.conf").write_bytes(b'play.http.secret.key = "only for benchmarks"\n')
    return data


def _write(path: Path, size: int, source: Source, *, text: bool) -> None:
    with path.open("wb") as file:
        while size > 0:
            part = min(size, 4 * MIB)
            file.write(source.text(part) if text else source.random(part))
            size -= part


def _database(data: Data, size: int, chance: random.Random, source: Source) -> None:
    tables = ["edgestore", "graphindex", "janusgraph_ids", "system_properties", "systemlog", "txlog"]
    shares = [0.7, 0.27, 0.001, 0.001, 0.014, 0.014]
    for table, share in zip(tables, shares, strict=True):
        folder = data.database / "thehive" / f"{table}-{chance.randbytes(16).hex()}"
        (folder / "backups").mkdir(parents=True)
        left, generation = int(size * share), 0
        while left > 0:
            generation += 1
            part = min(left, int(MIB * chance.lognormvariate(3.5, 1)))
            name = f"nb-{generation}-big"
            _write(folder / f"{name}-Data.db", part, source, text=generation % 3 == 0)
            _write(folder / f"{name}-Index.db", part // 100 + 64, source, text=False)
            _write(folder / f"{name}-Filter.db", part // 1000 + 16, source, text=False)
            _write(folder / f"{name}-Statistics.db", 10_000, source, text=True)
            _write(folder / f"{name}-Summary.db", part // 20_000 + 100, source, text=False)
            _write(folder / f"{name}-CompressionInfo.db", part // 16_384 + 50, source, text=False)
            (folder / f"{name}-Digest.crc32").write_text(str(chance.randrange(1 << 32)))
            (folder / f"{name}-TOC.txt").write_text("Data.db\nIndex.db\nFilter.db\nStatistics.db\nSummary.db\n")
            left -= part
    for number in (1, 2):
        # Cassandra allocates a whole segment (32 MiB) at once, however little is in it.
        with (data.commitlog / f"CommitLog-7-17000000000{number:02}.log").open("wb") as file:
            file.write(source.random(100_000))
            file.write(bytes(32 * MIB - 100_000))


def _index(data: Data, size: int, chance: random.Random, source: Source) -> None:
    shards = [data.index / "nodes" / "0" / "indices" / chance.randbytes(11).hex() / str(i) for i in range(5)]
    for shard in shards:
        for folder in ("index", "translog", "_state"):
            (shard / folder).mkdir(parents=True)
        left, segment = size // len(shards), 0
        while left > 0:
            part = min(left, int(MIB * chance.lognormvariate(2, 1.2)))
            segment += 1
            for ending, share in (("fdt", 50), ("tim", 20), ("doc", 15), ("pos", 10), ("dvd", 5)):
                path = shard / "index" / f"_{segment:x}.{ending}"
                _write(path, part * share // 100, source, text=ending in ("fdt", "dvd"))
            _write(shard / "index" / f"_{segment:x}.si", 400, source, text=False)
            left -= part
        _write(shard / "index" / "segments_9", 2_000, source, text=False)
        (shard / "index" / "write.lock").touch()
        _write(shard / "translog" / "translog-12.tlog", 55, source, text=False)
        _write(shard / "translog" / "translog.ckp", 88, source, text=False)
        _write(shard / "_state" / "state-3.st", 300, source, text=False)
    (data.index / "nodes" / "0" / "node.lock").touch()


def attachments(folder: Path, size: int, number: int, chance: random.Random, source: Source) -> None:
    """Write attachments of `size` bytes in all into a folder, named as by their hash."""
    weights = [chance.lognormvariate(0, 2) for _ in range(number)]
    whole = sum(weights)
    for each, weight in enumerate(weights):
        content = max(20, int(size * weight / whole))
        name = hashlib.sha256(f"{each}".encode()).hexdigest()
        _write(folder / name, content, source, text=each % 10 == 0)


def count(folder: Path) -> tuple[int, int]:
    """Return how many files a folder holds and their bytes."""
    sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def main() -> None:
    """Make a data set from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to make it; must not exist yet")
    parser.add_argument("--megabytes", type=int, default=3200)
    parser.add_argument("--attachments", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    data = make(wanted.folder, megabytes=wanted.megabytes, files=wanted.attachments, seed=wanted.seed)
    for folder in data.folders():
        files, size = count(folder)
        print(f"{folder}: {files} files, {size / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
