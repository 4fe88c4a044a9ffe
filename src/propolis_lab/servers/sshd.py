"""A real sshd on a loopback address: with a host key of its own, and for each login a key with one command.

Nothing of the machine's own SSH is read or changed: neither ~/.ssh nor /etc/ssh. A client reaches it by
`ssh -F <folder>/config NAME`, whatever NAME is; whatever command it asks for, the forced one runs.
"""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from propolis_lab.programs import artefacts
from propolis_lab.servers import answers, ports

PORT = 2222
_SEPARATION = Path("/run/sshd")
"""An empty folder into which sshd locks its unprivileged half when root starts it; made by Debian's service unit."""


@dataclass(frozen=True)
class Sshd:
    """The files of one server and of its clients."""

    folder: Path
    address: str
    port: int = PORT

    @property
    def config(self) -> Path:
        """What a client needs: `ssh -F` takes it."""
        return self.folder / "config"

    @property
    def command(self) -> list[str]:
        """How the server is started: it stays in the foreground and logs to standard error."""
        # sshd wants to be called by its whole path, since it executes itself again.
        return [artefacts.program("sshd", "openssh-server"), "-D", "-e", "-f", str(self.folder / "sshd_config")]

    def configure(self, logins: Mapping[str, Sequence[str]]) -> None:
        """Make keys and configurations: for each name by which clients call it, the command that is all they get."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            _SEPARATION.mkdir(mode=0o755, exist_ok=True)
        host_key = self._new_key("host_key")
        authorized, clients = [], []
        for name, command in logins.items():
            public = self._new_key(f"{name}.key")
            quoted = shlex.join(command).replace('"', '\\"')  # only this is undone there
            authorized.append(f'restrict,command="{quoted}" {public}')
            clients.append(self._client(name))
        self._write("authorized_keys", "\n".join(authorized) + "\n")
        self._write("known_hosts", f"[{self.address}]:{self.port} {host_key}\n")
        self._write("config", "\n".join(clients))
        self._write("sshd_config", self._server())

    def ssh(self, name: str) -> list[str]:
        """How a client is called: its standard input and output are the forced command's."""
        return [artefacts.program("ssh", "openssh-client"), "-F", str(self.config), "-T", name]

    def answers(self) -> bool:
        """Whether it listens."""
        return not ports.is_free(self.address, self.port)

    def _new_key(self, name: str) -> str:
        """Returns the public half, without its comment."""
        path = self.folder / name
        for old in (path, path.with_name(f"{name}.pub")):
            old.unlink(missing_ok=True)
        keygen = artefacts.program("ssh-keygen", "openssh-client")
        artefacts.run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], "Making an SSH key")
        kind, key = path.with_name(f"{name}.pub").read_text().split()[:2]
        return f"{kind} {key}"

    def _server(self) -> str:
        return f"""\
ListenAddress {self.address}:{self.port}
HostKey {self.folder}/host_key
AuthorizedKeysFile {self.folder}/authorized_keys
PidFile none
# Folders above may be open to all, as /tmp is.
StrictModes no
UsePAM no
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin forced-commands-only
UseDNS no
PrintMotd no
PrintLastLog no
"""

    def _client(self, name: str) -> str:
        return f"""\
Host {name}
  HostName {self.address}
  Port {self.port}
  User {getpass.getuser()}
  IdentityFile {self.folder}/{name}.key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {self.folder}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
  ControlPath none
"""

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)


@contextmanager
def run(folder: Path, logins: Mapping[str, Sequence[str]]) -> Iterator[Sshd]:
    """A server alone, on an address of its own, ended with the block. The log is `<folder>/log`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = Sshd(folder, ports.claim_address(folder, (PORT,)))
    try:
        server.configure(logins)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(server.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            answers.until(server.answers, "sshd", 30, lambda: process.poll() is None)
            yield server
        finally:
            process.terminate()
            process.wait()
    finally:
        ports.release_all(folder)
