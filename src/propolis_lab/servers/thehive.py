"""TheHive's configuration, with the keys and in the form of its own documentation, read by the stand-in."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from propolis_lab.layout import Layout, write
from propolis_lab.servers import cortex, cql, index
from propolis_lab.servers.minio import S3Server

PORT = 9000
BUCKET = "thehive"


@dataclass(frozen=True)
class Account:
    """Who logs in to TheHive."""

    password: str
    api_key: str
    login: str = "admin@thehive.local"


def configure(
    layout: Layout,
    address: str,
    nodes: Sequence[str],
    cluster_name: str,
    database: tuple[str, str],
    account: Account,
    s3: S3Server | None,
    analyses: cortex.Account | None,
    load: float,
) -> None:
    """Write `application.conf` and `secret.conf`. `nodes` are the database's and the index's; `load` is in writes per
    second."""
    folder = layout.etc("thehive")
    write(folder / "secret.conf", f'play.http.secret.key = "{secrets.token_hex(32)}"\n', "thehive", 0o400)
    text = _application(layout, address, nodes, cluster_name, database, account, load) + _storage(layout, s3)
    if analyses is not None:
        text += _cortex(analyses)
    write(folder / "application.conf", text, "thehive")


def _application(
    layout: Layout,
    address: str,
    nodes: Sequence[str],
    cluster_name: str,
    database: tuple[str, str],
    account: Account,
    load: float,
) -> str:
    user, password = database
    alone = list(nodes) == [address]
    hosts = "${thp.address}" if alone else ", ".join(f'"{node}"' for node in nodes)
    replicas = f"\n        replication-factor = {len(nodes)}" if len(nodes) > 1 else ""
    return f"""\
# TheHive configuration - application.conf
include "{layout.etc("thehive")}/secret.conf"

{"# All services are on this host." if alone else "# Database and index are clusters on other hosts."}
thp.address = "{address}"

http.address = ${{thp.address}}
http.port = {PORT}
application.baseUrl = "http://"${{thp.address}}":{PORT}"
play.http.context = "/"

db {{
  provider = janusgraph
  janusgraph {{
    storage {{
      backend = cql
      hostname = [{hosts}]
      port = {cql.PORT}
      username = "{user}"
      password = "{password}"
      cql {{
        cluster-name = "{cluster_name}"
        keyspace = thehive{replicas}
      }}
    }}
    index.search {{
      backend = elasticsearch
      hostname = [{hosts}]
      port = {index.PORT}
      index-name = thehive
    }}
  }}
}}

# Known to the stand-in alone: the first account, and a record of every write it acknowledges.
standin {{
  admin-password = "{account.password}"
  api-key = "{account.api_key}"
  acknowledgements = "{layout.acknowledgements}"
  load = {load:g}
}}

"""


def _cortex(account: cortex.Account) -> str:
    return f"""
cortex {{
  servers = [
    {{
      name = "cortex"
      url = "http://"${{thp.address}}":{cortex.PORT}"
      auth {{
        type = "bearer"
        key = "{account.api_key}"
      }}
    }}
  ]
}}
"""


def _storage(layout: Layout, s3: S3Server | None) -> str:
    if s3 is None:
        return f"""\
storage {{
  provider = localfs
  localfs.location = "{layout.attachments}"
}}
"""
    return f"""\
storage {{
  provider = s3
  s3 {{
    bucket = "{BUCKET}"
    endpoint = "{s3.endpoint}"
    access-style = path
    aws.credentials.provider = "static"
    aws.credentials.access-key-id = "{s3.keys.access}"
    aws.credentials.secret-access-key = "{s3.keys.secret}"
    aws.region.provider = "static"
    aws.region.default-region = "{s3.region}"
  }}
}}
"""
