"""A coordinator and other hosts of its stack, all of them folders of this machine, reached over real links."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from propolis import cli
from propolis.agent.questions import answer
from propolis.config.hosts import HostConfig
from propolis.config.load import load
from propolis.config.sample import render
from propolis.config.schema import Config
from propolis.hosts.setup import with_host, write_document
from propolis.link.messages import PROTOCOL, Ask
from propolis.repository import Identity, Location, Repository, write_identity
from propolis.repository.maintenance.rekey import list_keys
from propolis.run import SilentObserver
from unit.config.stack_files import found, lay

AGENT = Path(__file__).with_name("answering.py")
COMMENT = "# Mind the gap: this comment is somebody's own."


class Stack:
    """A coordinator that has TheHive and everything else, and a host db2 without a configuration."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.recovery = folder / "recovery.key"
        identity = Identity.generate()
        write_identity(self.recovery, identity)
        config = found(lay(folder / "hive"))
        own = Identity.generate()
        (folder / "keys").mkdir()
        write_identity(folder / "keys/host.key", own)
        section = config.repository.model_copy(
            update={"url": str(folder / "vault"), "host_key": folder / "keys/host.key"}
        )
        Repository.init(Location(str(folder / "vault")), [identity.recipient], own)
        self.file = folder / "propolis.yaml"
        update = {"host": "hive", "repository": section, "state": folder / "state", "silence": 5.0}
        text = render(config.model_copy(update=update), {})
        self.file.write_text(text.replace("\nstate:", f"\n{COMMENT}\nstate:"))
        self.file.chmod(0o640)
        self.db2 = lay(folder / "db2") / "etc/propolis/propolis.yaml"
        (folder / "db2/etc/thehive/application.conf").unlink()

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run `propolis host …`; give all that it said."""
        return self.call("host", *arguments, code=code)

    def call(self, *arguments: object, code: int = 0) -> str:
        """Run any command; give all that it said."""
        assert cli.run([*map(str, arguments), "--config", str(self.file)]) == code, self.capsys.readouterr()
        out, err = self.capsys.readouterr()
        return out + err

    def attach(self, name: str, link: Sequence[str]) -> None:
        """Have the configuration name one more host."""
        host = HostConfig(command=tuple(link))
        config = load(self.file)
        hosts = {**config.hosts, name: host}
        write_document(self.file, with_host(self.file, name, host), config.model_copy(update={"hosts": hosts}))

    def attach_db2(self) -> Config:
        """The same as `add` does, in this process and without a key; give what db2 has then."""
        options = {"repository": {"url": str(load(self.file).repository.url)}}
        asked = Ask(protocol=PROTOCOL, propolis="", host="db2", stack="lab", question="configure", options=options)
        answer(asked, self.db2, SilentObserver())
        self.attach("db2", (sys.executable, str(AGENT), str(self.db2)))
        return load(self.db2)

    def link(self, *more: str) -> list[str]:
        """The options that reach db2."""
        return [f"--command={part}" for part in (sys.executable, str(AGENT), str(self.db2), *more)]

    def key_names(self) -> list[str]:
        return [key.name for key in list_keys(Repository.open(Location(str(self.file.parent / "vault")), []))]


def as_json(text: str) -> Any:
    return json.loads(text[: text.rindex("}") + 1])
