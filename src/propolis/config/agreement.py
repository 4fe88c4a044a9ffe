"""Whether propolis.yaml still says what TheHive's own file says: a stack that was moved since is not the one here.

A backup of the servers that TheHive used before its move would look complete, and hold none of what was done since.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from propolis.config.discovery.finding import Findings, source
from propolis.config.discovery.this_host import is_this_host
from propolis.config.environment import described
from propolis.config.hocon import Hocon, read
from propolis.config.schema import BerkeleyConfig, Config, FolderFiles, LuceneConfig, S3Files
from propolis.errors import ConfigError

_STORAGE = "db.janusgraph.storage"
_SEARCH = "db.janusgraph.index.search"
_KINDS = {"cql": "cassandra", "es": "elasticsearch", "localfs": "folder"}


def elsewhere(config: Config) -> list[str]:
    """Say which servers propolis.yaml has on other hosts, one line each: nothing here can stop or clone them."""
    named: list[tuple[str, str]] = []
    if config.cassandra is not None:
        named.append(("database.host", config.cassandra.host))
    if config.elasticsearch is not None:
        named.append(("index.url", urlsplit(config.elasticsearch.url).hostname or ""))
    for key, section in (("minio", config.minio), ("cortex", config.cortex)):
        if section is not None:
            named.append((f"{key}.url", urlsplit(section.url).hostname or ""))
    if config.cortex is not None and config.cortex.index is not None:
        named.append(("cortex.index.url", urlsplit(config.cortex.index.url).hostname or ""))
    return [
        f"{key} in propolis.yaml names {host}, which is not this host: a server elsewhere needs `propolis host add`"
        for key, host in named
        if is_this_host(host) is False
    ]


def disagreements(config: Config) -> list[str]:
    """Say where application.conf has another store, host, folder or bucket than propolis.yaml, one line each.

    What it doesn't set is not compared, nor what another host has. Raises ConfigError where it can't be read.
    """
    if config.thehive is None:
        return _of_cortex(config)
    file = config.thehive.config / "application.conf"
    service = config.platform.services / "thehive.yaml"
    found = _Comparison(read(file, environment={**os.environ, **(described(service) or {})}))
    if config.database is not None:
        found.kind("database", f"{_STORAGE}.backend", config.database.kind)
    if isinstance(config.database, BerkeleyConfig):
        found.folder("database.folder", f"{_STORAGE}.directory", config.database.folder)
    elif config.database is not None:
        if config.host is None:
            found.hosts(f"{_STORAGE}.hostname", "a database")
        found.text("database.keyspace", f"{_STORAGE}.cql.keyspace", config.database.keyspace)
    if config.index is not None:
        found.kind("index", f"{_SEARCH}.backend", config.index.kind)
    if isinstance(config.index, LuceneConfig):
        found.folder("index.folder", f"{_SEARCH}.directory", config.index.folder)
    elif config.index is not None:
        if config.host is None:
            found.hosts(f"{_SEARCH}.hostname", "an index")
        found.text("index.prefix", f"{_SEARCH}.index-name", config.index.prefix)
    if config.files is not None:
        found.kind("files", "storage.provider", config.files.kind)
    if isinstance(config.files, FolderFiles):
        found.folder("files.folder", "storage.localfs.location", config.files.folder)
    elif isinstance(config.files, S3Files):
        found.text("files.bucket", "storage.s3.bucket", config.files.bucket)
    return [*found.problems, *_of_cortex(config)]


def _of_cortex(config: Config) -> list[str]:
    """Say where Cortex's own file has another index or folder of jobs; without that file, it is another folder."""
    section = config.cortex
    if section is None:
        return []
    service = config.platform.services / "cortex.yaml"
    file = section.config / "application.conf"
    try:
        found = _Comparison(read(file, environment={**os.environ, **(described(service) or {})}))
        found.text("cortex.prefix", "search.index", section.prefix)
        if section.jobs is not None:
            found.folder("cortex.jobs", "job.directory", section.jobs)
        if section.index is not None:
            found.server("cortex.index.url", "search.uri", section.index.url)
        elif config.elasticsearch is not None:
            found.server("index.url", "search.uri", config.elasticsearch.url)
    except ConfigError as error:
        return [error.what]
    return found.problems


class _Comparison:
    """Collects what differs. Once a store is of another kind, nothing else is said of it."""

    def __init__(self, hocon: Hocon) -> None:
        self._hocon = hocon
        self._found = Findings()
        self._other = ""

    @property
    def problems(self) -> list[str]:
        return self._found.problems

    def kind(self, section: str, setting: str, here: str) -> None:
        value = self._hocon.text(setting)
        self._other = ""
        if value is not None and _KINDS.get(value, value) != here:
            self._other = section
            self._say(setting, value, f"{section}.kind", here)

    def text(self, key: str, setting: str, here: str) -> None:
        value = self._hocon.text(setting)
        if not self._other and value is not None and value != here:
            self._say(setting, value, key, here)

    def folder(self, key: str, setting: str, here: Path) -> None:
        value = self._hocon.text(setting)
        if not self._other and value is not None and Path(value).resolve() != here.resolve():
            self._say(setting, value, key, str(here))

    def server(self, key: str, setting: str, here: str) -> None:
        """Compare hosts and ports of two URLs; one of several servers is compared with nothing."""
        value = self._hocon.text(setting)
        if value is None or "," in value:
            return
        used, known = urlsplit(value), urlsplit(here)
        ports = [url.port or (443 if url.scheme == "https" else 9200) for url in (used, known)]
        if ports[0] != ports[1] or is_this_host(used.hostname or "") is False:
            self._say(setting, value, key, here)

    def hosts(self, setting: str, what: str) -> None:
        if not self._other:
            self._found.all_here(self._hocon, setting, what)

    def _say(self, setting: str, value: str, key: str, here: str) -> None:
        self._found.problem(f"{source(self._hocon, setting)} is {value}, but {key} in propolis.yaml is {here}")
