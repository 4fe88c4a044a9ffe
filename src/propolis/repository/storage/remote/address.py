"""`ssh://[user@]host[:port]/folder`: the arguments that reach it, and what it means when they don't."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from propolis.config.places import SSH_URL
from propolis.errors import ConfigError

_OPTIONS = (
    "-T",
    "-a",
    "-x",
    "-oBatchMode=yes",
    "-oServerAliveInterval=5",
    "-oConnectTimeout=30",
    "-oClearAllForwardings=yes",
    "-oCompression=no",  # what is encrypted doesn't shrink
)


@dataclass(frozen=True)
class Address:
    """A folder on another host."""

    host: str
    path: str
    user: str = ""
    port: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises `ConfigError`."""
        match = SSH_URL.fullmatch(url)
        if match is None or not url.isprintable():
            raise ConfigError(f"repository.url: {url!r} is not ssh://host/folder or ssh://user@host:port/folder")
        found = match.groupdict(default="")
        return cls(found["host"].strip("[]"), found["path"], found["user"], found["port"])

    def command(self) -> tuple[str, ...]:
        """The arguments that start the server there.

        A forced command on that host replaces the last ones. Without one, the login may do anything there anyway.
        """
        where = (*(("-p", self.port) if self.port else ()), *(("-l", self.user) if self.user else ()))
        # ssh joins what follows the host by blanks, and a shell there reads it.
        program = f"propolis repository serve --maintenance {shlex.quote(self.path)}"
        return ("ssh", *_OPTIONS, *where, "--", self.host, program)
