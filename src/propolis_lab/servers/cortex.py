"""Cortex's configuration, with the keys and in the form of its own sample, read by its stand-in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from propolis_lab.layout import Layout, write

PORT = 9001
INDEX = "cortex"
"""`search.index`: its version 6 is `cortex_6`."""


@dataclass(frozen=True)
class Account:
    """Who logs in to Cortex."""

    password: str
    api_key: str
    login: str = "admin"


def configure(layout: Layout, address: str, index_url: str, account: Account) -> None:
    """Write `application.conf` and `secret.conf`."""
    folder = layout.etc("cortex")
    write(folder / "secret.conf", f'play.http.secret.key = "{secrets.token_hex(32)}"\n', "cortex", 0o400)
    text = f"""\
# Cortex configuration - application.conf
include "{folder}/secret.conf"

http.address = "{address}"
http.port = {PORT}

search {{
  index = {INDEX}
  uri = "{index_url}"
  nbshards = 1
}}

job {{
  directory = "{layout.jobs}"
  # What an analyzer was given and what it left: kept for inspection.
  keepJobFolder = true
  runners = [process]
}}

auth.provider = [local]
analyzer.urls = []

# Known to the stand-in alone: the first account.
standin {{
  admin-password = "{account.password}"
  api-key = "{account.api_key}"
}}
"""
    write(folder / "application.conf", text, "cortex", 0o440)
