"""The backup's own `application.conf`, read in memory: the logins in it are what opens the restored stores.

It never touches a disk, and nothing of this host gets into it: neither a file of the same name nor its environment.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from propolis.config import hocon
from propolis.errors import ConfigError
from propolis.repository import Manifest, Repository
from propolis.repository.read.peek import read_files
from propolis.stack.model import bare, on_host

TREE = "config/thehive"
_MAIN = "application.conf"
_INDEX = "config/index"
_LIMIT = 4 << 20
_DEPTH = 10

_INCLUDE = re.compile(
    r"""
    ^ (?P<before> (?: [^\#"/\n]* [{,] )? [ \t]* ) include \s+
    (?P<required> required \s* \( \s* )? (?: (?P<kind> file | classpath | url ) \s* \( \s* )?
    "(?P<name> [^"\n]* )" [ \t)]*
    """,
    re.VERBOSE | re.MULTILINE,
)


def settings(repository: Repository, manifest: Manifest) -> hocon.Hocon:
    """Read the backup's application.conf with what it includes.

    Raises ConfigError saying why it can't be had, RepositoryError or IntegrityError as reading a backup does.
    """
    header = next((tree for tree in manifest.header.trees if bare(tree.name) == TREE), None)
    if header is None:
        raise ConfigError(f"The backup {manifest.id} holds no {TREE}")
    content = read_files(repository, manifest, header.name, lambda path: path.endswith((b".conf", b".json")), _LIMIT)
    files = {path.decode(errors="replace"): text.decode(errors="replace") for path, text in content.items()}
    return settings_of(files, header.original)


def index_users_file(repository: Repository, manifest: Manifest, host: str | None = None) -> str:
    """Give the backup's file of users of Elasticsearch's file realm, as `host` has it; empty where there is none."""
    name = on_host(_INDEX, host)
    if manifest.header.tree(name) is None:
        return ""
    content = read_files(repository, manifest, name, lambda path: path == b"users", _LIMIT)
    return content.get(b"users", b"").decode(errors="replace")


def settings_of(files: Mapping[str, str], original: str) -> hocon.Hocon:
    """Read application.conf of these files, by their path below the folder `original`. Raises ConfigError."""
    return hocon.parse(_with_includes(files, original, _MAIN, _DEPTH), Path(f"the backup's {TREE}/{_MAIN}"))


def _with_includes(files: Mapping[str, str], original: str, name: str, depth: int) -> str:
    """Give a file's text with the texts of what it includes in their places."""
    text = files.get(name)
    if text is None:
        raise ConfigError(f"The backup holds no {TREE}/{name}")
    if depth == 0:
        raise ConfigError(f"The backup's {TREE}/{name} is included by itself")

    def included(match: re.Match[str]) -> str:
        kind, wanted = match["kind"], match["name"]
        if kind == "classpath":
            return match["before"]  # TheHive's own defaults, which name no login
        found = None if kind == "url" or "://" in wanted else _find(files, original, name, wanted)
        if found is not None:
            return match["before"] + _bare(_with_includes(files, original, found, depth - 1))
        if _is_inside(original, name, wanted) and not match["required"]:
            return match["before"]  # HOCON ignores an include that is not there
        raise ConfigError(f"The backup's {TREE}/{name} includes {wanted}, which the backup does not hold")

    return _INCLUDE.sub(included, text)


def _find(files: Mapping[str, str], original: str, including: str, wanted: str) -> str | None:
    name = posixpath.relpath(wanted, original) if wanted.startswith("/") else _beside(including, wanted)
    return next((found for found in (name, f"{name}.conf", f"{name}.json") if found in files), None)


def _beside(including: str, wanted: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(including), wanted))


def _is_inside(original: str, including: str, wanted: str) -> bool:
    path = wanted if wanted.startswith("/") else posixpath.join(original, posixpath.dirname(including), wanted)
    return "://" not in wanted and not posixpath.relpath(path, original).startswith("..")


def _bare(text: str) -> str:
    """Take the braces around a whole file away: it becomes part of another."""
    stripped = text.strip()
    return stripped[1:-1] if stripped.startswith("{") and stripped.endswith("}") else stripped
