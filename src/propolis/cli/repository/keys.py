"""`repository key …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from propolis.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, IdentityFile, PlanOnly, config_of
from propolis.command.host_key import host_identity
from propolis.command.known import remember
from propolis.command.stores import open_repository
from propolis.config.schema import Config
from propolis.errors import UsageError
from propolis.report.json import print_json
from propolis.report.repository import keys as report
from propolis.repository import Identity, Repository, write_identity
from propolis.repository.access.keyring import KeyHolder, host_holder
from propolis.repository.crypto.identities import is_there
from propolis.repository.crypto.recipients import ask_passphrase, parse_recipient, read_recipient
from propolis.repository.maintenance.rekey import KeyChange, Role, add_key, list_keys, remove_key

app = typer.Typer(name="key", help="List, add and remove the keys that open the repository.", no_args_is_help=True)


@app.command("list")
def list_all(identity: IdentityFile = None, config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the keys that open the repository."""
    keys = list_keys(open_repository(config_of(config), identity))
    if as_json:
        print_json(keys)
    else:
        report.show_keys(keys)


@app.command("add")
def add(
    name: Annotated[
        str, typer.Argument(help="Name of the new key [default with --host: the host's name]", metavar="NAME")
    ] = "",
    identity: IdentityFile = None,
    recipient: Annotated[
        str, typer.Option("--recipient", help="Public key to add: age1…, ssh-ed25519 … or ssh-rsa …", metavar="KEY")
    ] = "",
    recipient_file: Annotated[
        Path | None,
        typer.Option("--recipient-file", help="File with the public key to add, e.g. id_ed25519.pub", readable=False),
    ] = None,
    new: Annotated[
        Path | None,
        typer.Option("--new", help="Create an age key and write it to this new file", metavar="FILE", readable=False),
    ] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Add a passphrase: ask for it, or read it from standard input")
    ] = False,
    host: Annotated[
        bool,
        typer.Option(
            "--host", help="Add this host's own key, which reads manifests but no data; it is created if missing"
        ),
    ] = False,
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give another key access to all backups, past and future.

    No data is rewritten. Needs a recovery key (--identity), since only its holder can pass on what it opens.
    """
    if [bool(recipient), recipient_file is not None, new is not None, passphrase, host].count(True) != 1:
        raise UsageError("Give one of --recipient, --recipient-file, --new, --passphrase and --host")
    settings = config_of(config)
    repository = open_repository(settings, identity)
    repository.require_pack_key()
    role: Role = "host" if host else "recovery"
    if host:
        change = add_key(repository, _host(settings, repository, name, plan=plan), role, plan=plan)
    elif new is not None:
        change = _add_new(repository, _named(name), new, plan=plan)
    elif passphrase:
        asked = ask_passphrase("Passphrase to add: ", twice=True)
        change = add_key(repository, KeyHolder.of_passphrase(_named(name), asked), plan=plan)
    elif recipient_file is not None:
        key, comment = read_recipient(recipient_file)
        change = add_key(repository, KeyHolder.of(_named(name or comment), key), plan=plan)
    else:
        change = add_key(repository, KeyHolder.of(_named(name), parse_recipient(recipient)), plan=plan)
    _remember_and_show(settings, change, repository, as_json=as_json)


@app.command("remove")
def remove(
    key: Annotated[str, typer.Argument(help="The key's name, or its public key", metavar="KEY")],
    identity: IdentityFile = None,
    plan: PlanOnly = False,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Remove a key. Data stored so far stays readable with it; new data does not.

    Needs a recovery key (--identity) other than the one to be removed.
    """
    settings = config_of(config)
    repository = open_repository(settings, identity)
    _remember_and_show(settings, remove_key(repository, key, plan=plan), repository, as_json=as_json)


def _add_new(repository: Repository, name: str, file: Path, *, plan: bool) -> KeyChange:
    identity = Identity.generate()
    holder = KeyHolder.of(name, identity.recipient)
    if plan:
        return add_key(repository, holder, plan=True)
    write_identity(file, identity, f"recovery key {name}")
    try:
        return add_key(repository, holder)
    except BaseException:
        file.unlink()
        raise


def _host(settings: Config, repository: Repository, name: str, *, plan: bool) -> KeyHolder:
    path = settings.repository.host_key
    recipient = Identity.generate().recipient if plan and not is_there(path) else host_identity(path).recipient
    if name:
        return KeyHolder.of(name, recipient)
    return host_holder(recipient, repository.ring.recovery + repository.ring.host)


def _named(name: str) -> str:
    if not name:
        raise UsageError("Give the key a NAME")
    return name


def _remember_and_show(settings: Config, change: KeyChange, repository: Repository, *, as_json: bool) -> None:
    if change.done:
        remember(settings, Repository(repository.storage, repository.keys))
    if as_json:
        print_json(change)
    else:
        report.show_change(change)
