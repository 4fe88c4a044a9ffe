"""The configuration files of a stack, and looking at them as `propolis init` does."""

from collections.abc import Mapping
from pathlib import Path

from propolis.config.discovery.stack import Discovery, discover
from propolis.config.schema import Config

APPLICATION = """
include "secret.conf"
lab.address = "127.7.0.1"
lab.address = ${?LAB_ADDRESS}
play.server.http { address = ${lab.address}, port = 9123 }
db {
  provider: janusgraph
  janusgraph {
    storage {
      backend: cql
      hostname: [${lab.address}]
      username: thehive
      password: ${lab.password}
      cql { cluster-name: thp, keyspace: hive }
    }
    index.search { backend: elasticsearch, hostname: [${lab.address}], port: 9201,
      index-name: myhive }
  }
}
storage {
  provider: localfs
  localfs.location: /opt/thp/thehive/files
}
scalligraph.modules += org.thp.thehive.connector.cortex.CortexModule
scalligraph.modules += org.thp.thehive.connector.misp.MispModule
"""
S3 = """
storage {
  provider: s3
  s3 { bucket = "b", endpoint = "http://127.7.0.1:9100", accessKey = "AK",
       aws.credentials.secret-access-key = "very secret", aws.region.default-region = "eu-west-3",
       folder = "sub" }
}
"""
SECRET = 'play.http.secret.key = "k"\nlab.password = "s3cret#x"\n'
CASSANDRA = """
cluster_name: 'thp'
data_file_directories: [ /var/lib/cassandra/data, /data2 ]
commitlog_directory: /var/lib/cassandra/commitlog
hints_directory: /var/lib/cassandra/hints
saved_caches_directory: /var/lib/cassandra/saved_caches
listen_address: 10.0.0.1
rpc_address: 127.7.0.1
"""
INDEX = "path:\n  data: /var/lib/elasticsearch\nnetwork.host: 127.7.0.1\nhttp.port: 9201\n"


def lay(root: Path) -> Path:
    """Lay a stack's configuration below `root` as on a real host."""
    for name, text in {
        "thehive/application.conf": APPLICATION,
        "thehive/secret.conf": SECRET,
        "cassandra/cassandra.yaml": CASSANDRA,
        "elasticsearch/elasticsearch.yml": INDEX,
        "services/thehive.yaml": "command: [java]\n",
    }.items():
        file = root / "etc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def found(root: Path) -> Config:
    discovery = look(root)
    assert discovery.problems == ()
    assert discovery.config is not None
    return discovery.config


def look(root: Path, folders: Mapping[str, Path] | None = None) -> Discovery:
    discovery = discover(root, repository={"url": "/backup"}, name="lab", folders=folders)
    assert (discovery.config is None) == bool(discovery.problems)
    return discovery


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
