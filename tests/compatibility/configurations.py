"""Configurations as people write them, and hosts on which `propolis init` writes one."""

from __future__ import annotations

from pathlib import Path

_STACK = """
name: hive
platform: {services: /etc/propolis/services}
thehive: {url: "http://127.0.0.1:9000/", config: /etc/thehive}
"""
_CASSANDRA = """
database:
  host: 127.0.0.1
  cluster_name: thp
  config: /etc/cassandra
  data: [/var/lib/cassandra/data]
  commitlog: /var/lib/cassandra/commitlog
  hints: /var/lib/cassandra/hints
  saved_caches: /var/lib/cassandra/saved_caches
"""
_ELASTICSEARCH = """
index: {url: "http://127.0.0.1:9200", config: /etc/elasticsearch, data: /var/lib/elasticsearch}
"""
_FOLDER = "files: {kind: folder, folder: /opt/thp/thehive/files}\n"
_REPOSITORY = "repository: {url: /backup/thehive, host_key: /etc/propolis/host.key}\n"

WRITTEN = {
    "least": _STACK + _CASSANDRA + _ELASTICSEARCH + _FOLDER + _REPOSITORY,
    "embedded": _STACK
    + """
database: {kind: berkeleyje, folder: /opt/thp/thehive/database}
index: {kind: lucene, folder: /opt/thp/thehive/index}
"""
    + _FOLDER
    + _REPOSITORY,
    "embedded-index": _STACK
    + _CASSANDRA
    + "index:\n  kind: lucene\n  folder: /opt/thp/thehive/index\n"
    + _FOLDER
    + _REPOSITORY,
    "bucket": _STACK
    + _CASSANDRA
    + _ELASTICSEARCH
    + """
files: {kind: s3, bucket: thehive}
repository: {url: "s3://backups", host_key: /etc/propolis/host.key}
""",
    "locked-bucket": _STACK
    + _CASSANDRA
    + _ELASTICSEARCH
    + """
files:
  kind: s3
  endpoint: https://minio.example:9000
  region: eu-west-3
  bucket: thehive
  prefix: sub/folder
  access_key: {hocon: "/etc/thehive/application.conf#storage.s3.accessKey"}
  secret_key: {file: /etc/propolis/secret-key}
  ca: /etc/ssl/minio.pem
repository:
  url: s3://backups/of/thehive
  endpoint: https://minio.example:9000
  region: eu-west-3
  access_key: {env: ACCESS}
  secret_key: {credential: secret}
  ca: /etc/ssl/minio.pem
  object_lock: {mode: compliance, days: 30}
  host_key: /etc/propolis/host.key
  copies:
    - {url: /mnt/copy}
    - url: s3://elsewhere/copy
      access_key: {file: /etc/propolis/copy-access}
      secret_key: {file: /etc/propolis/copy-secret}
      object_lock: {mode: governance, days: 7}
""",
    "everything": """
name: hive.example_1
state: /srv/propolis
platform: {kind: process, services: /etc/propolis/services}
thehive:
  url: https://hive.example:9443
  config: /etc/thehive
  username: watcher@thehive.local
  password: {file: /etc/propolis/thehive-password}
database:
  kind: cassandra
  host: 10.0.0.1
  port: 9142
  username: thehive
  password: {hocon: "/etc/thehive/secret.conf#db.janusgraph.storage.password"}
  tls:
    ca: /etc/ssl/cassandra.p12
    ca_password: {env: CASSANDRA_CA_PASSWORD}
    certificate: /etc/ssl/client.pem
    key: /etc/ssl/client.key
    key_password: {credential: client-key}
    verify_host: false
  keyspace: hive
  cluster_name: "two words: and a colon"
  config: /etc/cassandra/conf
  data: [/data1, /data2]
  commitlog: /commitlog
  hints: /hints
  saved_caches: /saved_caches
  cdc_raw: /cdc_raw
  keep_snapshots: true
index:
  kind: elasticsearch
  url: https://10.0.0.1:9200
  username: thehive
  password: {env: INDEX_PASSWORD}
  ca: /etc/ssl/index.p12
  ca_password: {file: /etc/propolis/index-ca-password}
  verify_host: false
  prefix: myhive
  audit: myaudit
  config: /etc/opensearch
  data: /var/lib/opensearch
files: {kind: folder, folder: /opt/thp/thehive/files}
repository: {url: /backup/thehive, host_key: /etc/propolis/host.key, copies: [{url: /mnt/usb}]}
retention:
  keep: {last: 3, hourly: 24, daily: 7, weekly: 4, monthly: 12, yearly: 10}
  min_verified: 2
  min_fill: 70
  grace_hours: 0.5
reread: {every: 30d}
timeouts: {stop: 60, start: 900.5, listen: 90}
""",
    "api-key": _STACK.replace("config: /etc/thehive}", "config: /etc/thehive, api_key: {env: KEY}}")
    + _CASSANDRA
    + _ELASTICSEARCH
    + _FOLDER
    + _REPOSITORY
    + "retention: {keep: {daily: 14}}\nreread: {}\n",
}
"""By name, what a person may write: each section, each kind, each key at least once."""

_APPLICATION = """
play.server.http { address = 127.0.0.1, port = 9123 }
db.janusgraph {
  storage { backend: cql, hostname: [127.0.0.1], username: thehive, password: secret,
    cql { cluster-name: thp, keyspace: hive } }
  index.search { backend: elasticsearch, hostname: [127.0.0.1], index-name: myhive }
}
storage { provider: localfs, localfs.location: /opt/thp/thehive/files }
"""
_FILES = {
    "thehive/application.conf": _APPLICATION,
    "cassandra/cassandra.yaml": """
cluster_name: 'thp'
data_file_directories: [ /var/lib/cassandra/data, /data2 ]
commitlog_directory: /var/lib/cassandra/commitlog
hints_directory: /var/lib/cassandra/hints
saved_caches_directory: /var/lib/cassandra/saved_caches
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
""",
    "elasticsearch/elasticsearch.yml": "path:\n  data: /var/lib/elasticsearch\nnetwork.host: 127.0.0.1\n",
    "services/thehive.yaml": "command: [java]\n",
}
_BUCKET = """
storage { provider: s3, s3 { bucket: b, endpoint: "http://127.0.0.1:9100", accessKey: AK, folder: sub
  aws.credentials.secret-access-key: secret, aws.region.default-region: eu-west-3 } }
"""

HOSTS = {
    "init": _FILES,
    "init-bucket": _FILES | {"thehive/application.conf": _APPLICATION + _BUCKET},
    "init-embedded": {
        "thehive/application.conf": """
play.server.http { address = 127.0.0.1, port = 9000 }
db.janusgraph {
  storage { backend: berkeleyje, directory: /opt/thp/database }
  index.search { backend: lucene, directory: /opt/thp/index }
}
storage { provider: localfs, localfs.location: /opt/thp/thehive/files }
""",
        "services/thehive.yaml": "command: [java]\n",
    },
}
"""By name, the files of a host below its `etc`."""


def lay(name: str, root: Path) -> None:
    """Lay the files of one of these hosts."""
    for path, text in HOSTS[name].items():
        file = root / "etc" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
