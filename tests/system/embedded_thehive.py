"""A little program that keeps database and index in folders as a TheHive with Berkeley DB and Lucene does.

It appends to the database's newest log file, at every start already, and gives the index a new commit and a new
segment for each record; both are read when it starts. Usage: embedded_thehive.py ADDRESS PORT DATABASE INDEX
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Stores:
    """Records, in both stores."""

    def __init__(self, database: Path, index: Path) -> None:
        self._log = database / "00000000.jdb"
        self._index = index / "global"
        database.mkdir(exist_ok=True)
        self._index.mkdir(parents=True, exist_ok=True)
        (database / "je.lck").touch()
        (self._index / "write.lock").touch()
        self._append("# started")
        self._commit()

    def records(self) -> list[str]:
        """What the database holds."""
        return [line for line in self._log.read_text().splitlines() if not line.startswith("#")]

    def found(self) -> list[str]:
        """What the index holds."""
        return [path.read_text() for path in sorted(self._index.glob("_*.cfs"))]

    def add(self, record: str) -> None:
        """Keep one more."""
        self._append(record)
        (self._index / f"_{len(self.records())}.cfs").write_text(record)
        self._commit()

    def _append(self, line: str) -> None:
        with self._log.open("a") as file:
            file.write(f"{line}\n")

    def _commit(self) -> None:
        old = list(self._index.glob("segments_*"))
        number = 1 + max((int(path.name.removeprefix("segments_")) for path in old), default=0)
        (self._index / f"segments_{number}").touch()
        for path in old:
            path.unlink()


def main(address: str, port: str, database: str, index: str) -> None:
    """Serve until killed."""
    stores = Stores(Path(database), Path(index))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/api/health":
                self._answer(b"Ok", "text/plain")
            elif self.path == "/records":
                self._answer(json.dumps([stores.records(), stores.found()]).encode(), "application/json")
            else:
                self._answer(b'{"versions": {"TheHive": "4.1.24"}}', "application/json")

        def do_POST(self) -> None:
            stores.add(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer(b"{}", "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    HTTPServer((address, int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
