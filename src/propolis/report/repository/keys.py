"""Keys of a repository, for a person."""

from __future__ import annotations

import io
from collections.abc import Iterable

import segno
from rich.markup import escape
from rich.table import Table

from propolis.report.console import console
from propolis.repository import Identity
from propolis.repository.maintenance.rekey import KeyChange, KeyInfo

_OPENS = {"recovery": "everything", "host": "manifests and indexes"}


def show_keys(keys: Iterable[KeyInfo]) -> None:
    """All keys, and what each opens."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "opens", "kind", "added", "public key"):
        table.add_column(heading, no_wrap=heading != "public key", overflow="fold")
    for key in keys:
        shown = "" if key.kind == "passphrase" else escape(key.recipient)
        table.add_row(escape(key.name), _OPENS[key.role], key.kind, escape(key.added), shown)
    out = console()
    # Where no person looks, keys are whole: they are there to be copied.
    (out if out.is_terminal else console(soft_wrap=False, width=1000)).print(table)


def show_change(change: KeyChange) -> None:
    """What was changed, and what that means."""
    out, key = console(), change.key
    verb = {"add": ("Would add", "Added"), "remove": ("Would remove", "Removed")}[change.what][change.done]
    out.print(f"{verb} the key [bold]{escape(key.name)}[/] ({_OPENS[key.role]}).")
    if change.what == "add":
        out.print("It opens all backups, including those made so far.")
    else:
        out.print("It cannot read anything stored from now on.")
        out.print(
            "[bold]Data stored so far stays readable[/] with the removed key, for anybody who has both. If the key "
            "got into the wrong hands, create a new repository, and delete this one when you no longer need its "
            "backups."
        )
    show_keys(change.keys)


def show_private_key(identity: Identity) -> None:
    """The private part of a new key for paper, with a QR code. It is shown this once."""
    drawn = io.StringIO()
    segno.make(identity.secret(), error="m").terminal(drawn, compact=True)
    out = console()
    out.print(
        "[bold]This is the recovery key. It is shown only once and saved nowhere:[/] print it and keep two copies."
    )
    out.print("Without it nothing can be restored; whoever has it can read every backup.\n")
    out.print(drawn.getvalue(), markup=False)
    out.print(identity.secret(), markup=False)
    out.print(f"\nIts public key: {identity.recipient}")
    out.print("To use it: write the line that begins with AGE-SECRET-KEY-1 into a file of mode 0600.")
