"""One fake service: `service.py ROLE ROOT`, a real process that speaks just enough of a real one's protocol.

It is run by a bare interpreter and imports little, so that it starts in some hundredths of a second. What it answers
comes from its data folder; so a restore that lost or mixed up data is noticed as with a real one. See `fakes.stack`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
import threading
import time
import uuid

PORTS = {
    "thehive": 9000,
    "database": 9042,
    "index": 9200,
    "cortex": 9001,
    "cortex-index": 9201,
    "minio": 9002,
}
HOST_ID = "5f1f3d2e-0000-4000-8000-{:012}"
SCHEMA = uuid.UUID("5f1f3d2e-0000-4000-8000-000000000002")


class Service:
    def __init__(self, role: str, root: str) -> None:
        self.role = role
        self.root = root
        with open(f"{root}/fakes.json") as file:
            self.settings = json.load(file)

    def told(self, what: str) -> str | None:
        """A file `ROLE.what` below `control` tells this service how to misbehave; its content is a parameter."""
        try:
            with open(f"{self.root}/control/{self.role}.{what}") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def run(self) -> None:
        if self.told("breaks") is not None:
            print("told to break")
            sys.exit(1)
        time.sleep(float(self.told("slow") or 0))
        self.start()
        address = self.settings["address"]
        listening = socket.create_server((address, PORTS[self.role]), backlog=64)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def start(self) -> None:
        """What it does before it listens."""

    def require(self) -> None:
        """Go on only while the services that this one needs answer: else live on and never listen."""
        for needed in self.settings["needs"].get(self.role, []):
            for address in self.settings.get("where", {}).get(needed, [self.settings["address"]]):
                if not is_up(address, needed):
                    print(f"started before {needed}")
                    while True:
                        time.sleep(60)

    def nodes(self) -> list[str]:
        """Addresses of all nodes of its cluster."""
        return list(self.settings.get("where", {}).get(self.role, [self.settings["address"]]))

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                while self.told("hangs") is not None:
                    time.sleep(0.05)
                if not self.answer(connection):
                    return
        except (ConnectionError, EOFError):
            return
        finally:
            connection.close()

    def answer(self, connection: socket.socket) -> bool:
        raise NotImplementedError


class Http(Service):
    def answer(self, connection: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65536)
            if not part:
                return False
            head += part
        line = head.split(b"\r\n", 1)[0].decode()
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = head.split(b"\r\n\r\n", 1)[1]
        while length and len(body) < int(length.group(1)):
            body += connection.recv(65536)
        method, target, _ = line.split(" ")
        status, document = self.respond(method, target.split("?")[0])
        if (forced := self.told("status")) is not None:
            status = int(forced)
        if isinstance(document, str) and document.startswith("<?xml"):
            content, kind = document.encode(), "application/xml"
        else:
            content, kind = json.dumps(document).encode(), "application/json"
        reply = f"HTTP/1.1 {status} Fake\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        connection.sendall(reply.encode() + b"X-Elastic-Product: Elasticsearch\r\n\r\n" + content)
        return True

    def respond(self, method: str, path: str) -> tuple[int, object]:
        raise NotImplementedError


class TheHive(Http):
    """Starts only while its stores answer: else it lives on and never listens, as the real one does."""

    def start(self) -> None:
        self.require()

    def respond(self, method: str, path: str) -> tuple[int, object]:
        if path == "/api/health":
            return 200, self.told("health") or "Ok"
        if path == "/api/status":
            return 200, {"versions": {"TheHive": "4.1.24-1"}}
        return 404, {}


class Index(Http):
    """An Elasticsearch with one index for each folder below its data's `indices`; a document is a file in it."""

    def start(self) -> None:
        os.makedirs(f"{self.settings[self.role]}/indices", exist_ok=True)

    def indices(self) -> dict[str, int]:
        folder = f"{self.settings[self.role]}/indices"
        return {name: len(os.listdir(f"{folder}/{name}")) for name in sorted(os.listdir(folder))}

    def named(self, what: str) -> list[str]:
        """Indices that this control file names, between commas."""
        return [name for name in (self.told(what) or "").split(",") if name]

    def lift(self, name: str) -> None:
        """Take writes again."""
        left = [other for other in self.named("blocked") if other != name]
        with open(f"{self.root}/control/{self.role}.blocked", "w") as file:
            file.write(",".join(left))

    def statistics(self, name: str, count: int) -> dict[str, object]:
        shard = {"routing": {"primary": True}, "seq_no": {"max_seq_no": count - 1}}
        return {"primaries": {"docs": {"count": count}}, "shards": {"0": [shard]}}

    def respond(self, method: str, path: str) -> tuple[int, object]:
        counts = self.indices()
        closed, blocked = self.named("closed"), self.named("blocked")
        if path.startswith("/_cluster/health"):
            health = {name: {"status": "green"} for name in counts}
            seen = sum(node == self.settings["address"] or is_up(node, self.role) for node in self.nodes())
            return 200, {"cluster_name": "fake", "status": "green", "number_of_nodes": seen, "indices": health}
        if path.startswith("/_cluster/state/nodes"):
            return 200, {"cluster_uuid": "fake", "nodes": {node: {"name": node} for node in self.nodes()}}
        if path.startswith("/_cluster/settings"):
            return 200, {"persistent": {}, "transient": {}, "defaults": {}}
        if path.startswith(("/_nodes/_local/stats", "/_nodes/_all/stats")):
            total = {"total_in_bytes": 1000, "available_in_bytes": int(self.told("free") or 900)}
            return 200, {"nodes": {"n1": {"fs": {"total": total}}}}
        if method == "PUT" and path.endswith("/_settings"):
            self.lift(path.split("/")[1])
            return 200, {"acknowledged": True}
        if path.startswith("/_nodes"):
            own = self.settings["address"]
            return 200, {"nodes": {own: {"name": own, "version": "7.17.29"}}}
        if path == "/":
            return 200, {"version": {"number": "7.17.29"}, "tagline": "You Know, for Search"}
        if path.endswith("/_refresh"):
            return 200, {"_shards": {"failed": 0}}
        if "/_count" in path:
            name = path.split("/")[1]
            found = counts.get(name, sum(counts.values()) if "*" in name else 0)
            return 200, {"count": found, "_shards": {"failed": 0}}
        if "/_stats" in path:
            shown = counts if path.startswith("/_stats") else {n: c for n, c in counts.items() if n not in closed}
            return 200, {"indices": {name: self.statistics(name, count) for name, count in shown.items()}}
        if path.startswith("/_cat/indices"):
            rows = [
                {
                    "index": n,
                    "status": "close" if n in closed else "open",
                    "health": "green",
                    "docs.count": str(c),
                    "creation.date": "1700000000000",
                }
                for n, c in counts.items()
            ]
            return 200, rows
        if path.startswith("/_settings"):
            flat = {name: {"index.uuid": name, "index.creation_date": "1700000000000"} for name in counts}
            for name in blocked:
                flat[name]["index.blocks.read_only_allow_delete"] = "true"
            return 200, {name: {"settings": settings} for name, settings in flat.items()}
        return 404, {"error": f"the fake doesn't know {method} {path}"}


class Cortex(Http):
    """Starts only while its index answers; its version is all that it tells."""

    def start(self) -> None:
        self.require()

    def respond(self, method: str, path: str) -> tuple[int, object]:
        if path == "/api/status":
            return 200, {"versions": {"Cortex": self.told("version") or "3.1.8-1"}}
        return 404, {}


class Minio(Http):
    """A bucket for each folder in its data, an object for each file; `.minio.sys` has to be there."""

    def start(self) -> None:
        if not os.path.exists(f"{self.settings['minio']}/.minio.sys/format.json"):
            print("not formatted")
            sys.exit(1)

    def respond(self, method: str, path: str) -> tuple[int, object]:
        if path == "/minio/health/ready":
            return 200, {}
        if path == "/minio/admin/v3/info":
            return 200, {"servers": [{"version": "2025-04-22T22:12:26Z"}]}
        bucket = path.strip("/")
        folder = f"{self.settings['minio']}/{bucket}"
        if not bucket or not os.path.isdir(folder):
            return 404, '<?xml version="1.0"?><Error><Code>NoSuchBucket</Code></Error>'
        names = sorted(os.listdir(folder))
        objects = "".join(
            f"<Contents><Key>{name}</Key><Size>1</Size><ETag>&quot;e&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name in names
        )
        return 200, (
            f'<?xml version="1.0"?><ListBucketResult><Name>{bucket}</Name><KeyCount>{len(names)}</KeyCount>'
            f"<IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"
        )


TEXT, UUID, INET, STAMP, BLOB, INT, SET, MAP = 13, 12, 16, 11, 3, 9, 34, 33
ALL = 5
"""A consistency: every replica has to answer."""


class Database(Service):
    """A Cassandra with one table for each folder below its data's keyspaces; a row is a file in it."""

    def start(self) -> None:
        os.makedirs(f"{self.settings['data']}/system", exist_ok=True)

    def answer(self, connection: socket.socket) -> bool:
        header = receive(connection, 9)
        if not header:
            return False
        _, _, stream, kind, length = struct.unpack(">BBhBi", header)
        body = receive(connection, length)
        reply, content = self.reply(kind, body)
        connection.sendall(struct.pack(">BBhBi", 0x84, 0, stream, reply, len(content)) + content)
        return True

    def reply(self, kind: int, body: bytes) -> tuple[int, bytes]:
        if kind == 5:  # OPTIONS
            options = {"CQL_VERSION": ["3.4.5"], "COMPRESSION": []}
            parts = [text(key) + short(len(values)) + b"".join(map(text, values)) for key, values in options.items()]
            return 6, short(len(options)) + b"".join(parts)
        if kind == 7:  # QUERY
            (size,) = struct.unpack(">i", body[:4])
            (consistency,) = struct.unpack(">H", body[4 + size : 6 + size])
            if consistency == ALL and (down := [node for node in self.nodes() if not is_up(node, self.role)]):
                return 0, struct.pack(">i", 0x1000) + text(f"{down} is down") + struct.pack(">Hii", ALL, 2, 1)
            return self.query(body[4 : 4 + size].decode())
        return 2, b""  # READY

    def query(self, query: str) -> tuple[int, bytes]:
        asked = re.match(r"(?is)\s*select\s+(.*?)\s+from\s+([\w.\"]+)", query)
        if not asked:
            return 8, struct.pack(">i", 1)  # anything else is done, and gives nothing
        columns, table = asked.group(1), asked.group(2).replace('"', "")
        keyspace, _, name = table.partition(".")
        if table == "system.local":
            return 8, rows(columns, [self.local()])
        if table in ("system.peers", "system.peers_v2"):
            return 8, rows(columns, [self.node(node) for node in self.nodes() if node != self.settings["address"]])
        if table == "system_schema.keyspaces":
            copies = {"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "1"}
            return 8, rows(
                columns,
                [{"keyspace_name": (TEXT, found), "replication": (MAP, copies)} for found in self.folders("")],
            )
        if table == "system_schema.tables":
            wanted = re.findall(r"(keyspace_name|table_name)\s*=\s*'([^']*)'", query)
            within = dict(wanted)
            found = [
                {"keyspace_name": (TEXT, within["keyspace_name"]), "table_name": (TEXT, table)}
                for table in self.folders(within.get("keyspace_name", ""))
                if table == within.get("table_name", table)
            ]
            return 8, rows(columns, found)
        if name in self.folders(keyspace):
            files = sorted(os.listdir(f"{self.settings['data']}/{keyspace}/{name}"))
            return 8, rows(columns, [{"key": (BLOB, file)} for file in files])
        return 0, struct.pack(">i", 0x2200) + text(f"the fake has no table {table}")

    def folders(self, keyspace: str) -> list[str]:
        folder = f"{self.settings['data']}/{keyspace}"
        return sorted(name for name in os.listdir(folder) if name[0] != ".") if os.path.isdir(folder) else []

    def local(self) -> dict[str, tuple[int, object]]:
        address = self.settings["address"]
        node = self.node(address)
        return {
            **{name: value for name, value in node.items() if name not in ("peer", "native_address")},
            "key": (TEXT, "local"),
            "cluster_name": (TEXT, "fake"),
            "partitioner": (TEXT, "org.apache.cassandra.dht.Murmur3Partitioner"),
            "bootstrapped": (TEXT, "COMPLETED"),
            "broadcast_address": (INET, address),
            "listen_address": (INET, address),
            "time": (STAMP, int(time.time() * 1000)),
        }

    def node(self, address: str) -> dict[str, tuple[int, object]]:
        """A node of the cluster as the others see it."""
        number = self.nodes().index(address)
        return {
            "peer": (INET, address),
            "native_address": (INET, address),
            "native_port": (INT, PORTS["database"]),
            "rpc_address": (INET, address),
            "host_id": (UUID, uuid.UUID(HOST_ID.format(number + 1))),
            "release_version": (TEXT, "4.0.17"),
            "data_center": (TEXT, "datacenter1"),
            "rack": (TEXT, "rack1"),
            "schema_version": (UUID, SCHEMA),
            "tokens": (SET, str(number)),
        }


def is_up(address: str, role: str) -> bool:
    try:
        socket.create_connection((address, PORTS[role]), timeout=5).close()
    except OSError:
        return False
    return True


def rows(columns: str, found: list[dict[str, tuple[int, object]]]) -> bytes:
    """The result of a query: those columns of the rows that were asked for, all of text if there are no rows."""
    if columns.strip() == "*":
        names = list(found[0]) if found else ["peer"]
    else:
        names = [re.split(r"(?i)\s+as\s+", column.strip())[-1] for column in re.split(r",(?![^(]*\))", columns)]
    kinds = {name: found[0][name][0] if found and name in found[0] else TEXT for name in names}
    head = struct.pack(">iii", 2, 1, len(names)) + text("fake") + text("fake")
    for name in names:
        head += text(name) + short(kinds[name]) + short(TEXT) * {SET: 1, MAP: 2}.get(kinds[name], 0)
    content = b"".join(cell(*row.get(name, (TEXT, None))) for row in found for name in names)
    return head + struct.pack(">i", len(found)) + content


def cell(kind: int, value: object) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    if isinstance(value, uuid.UUID):
        content = value.bytes
    elif kind == INET:
        content = socket.inet_aton(str(value))
    elif kind == STAMP:
        content = struct.pack(">q", value)
    elif kind == SET:
        one = str(value).encode()
        content = struct.pack(">ii", 1, len(one)) + one
    elif isinstance(value, dict):
        content = struct.pack(">i", len(value))
        for part in (part for pair in value.items() for part in pair):
            content += struct.pack(">i", len(part.encode())) + part.encode()
    elif kind == INT:
        content = struct.pack(">i", value)
    else:
        content = str(value).encode()
    return struct.pack(">i", len(content)) + content


def text(value: str) -> bytes:
    return short(len(value.encode())) + value.encode()


def short(value: int) -> bytes:
    return struct.pack(">H", value)


def receive(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            return b""
        content += part
    return content


if __name__ == "__main__":
    kinds = {"thehive": TheHive, "index": Index, "database": Database}
    kinds |= {"cortex": Cortex, "cortex-index": Index, "minio": Minio}
    kinds[sys.argv[1]](sys.argv[1], sys.argv[2]).run()
