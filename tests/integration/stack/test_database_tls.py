"""A real Cassandra that speaks nothing but TLS, and asks its clients for a certificate."""

from pathlib import Path

import pytest

from certificates import Authority
from lab_fixtures import MakeLab
from propolis.config.discovery.stack import discover
from propolis.config.fields import SecretRef, TlsConfig
from propolis.config.schema import CassandraConfig
from propolis.errors import PreflightError
from propolis.stack.database import server as database
from propolis_lab.lab import Lab, Options
from propolis_lab.layout import own
from sections import cassandra

pytestmark = pytest.mark.lab

_SERVER = """
client_encryption_options:
    enabled: true
    optional: false
    keystore: {server}
    keystore_password: changeit
    require_client_auth: true
    truststore: {store}
    truststore_password: changeit
    store_type: PKCS12
"""
_CLIENT = """
db.janusgraph.storage.cql.ssl {{
  enabled = true
  hostname-validation = true
  truststore {{ location = "{store}", password = changeit }}
  client-authentication-enabled = true
  keystore {{ location = "{client}", storepassword = changeit }}
}}
"""


def set_up(lab: Lab) -> Authority:
    """Have the lab's Cassandra ask for TLS, and its TheHive speak it."""
    folder = lab.root / "tls"
    folder.mkdir()
    authority = Authority(folder)
    server, client = authority.sign("server", lab.address), authority.sign("client")
    own(folder, "database")
    for file in folder.iterdir():
        own(file, "database")
    yaml = lab.layout.etc("cassandra") / "cassandra.yaml"
    yaml.write_text(yaml.read_text() + _SERVER.format(server=server, store=authority.store))
    application = lab.layout.etc("thehive") / "application.conf"
    application.write_text(application.read_text() + _CLIENT.format(client=client, store=authority.store))
    return authority


def test_a_cassandra_that_speaks_tls_alone_is_found_and_asked(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(Options(empty=True))
    authority = set_up(lab)
    discovery = discover(lab.root, repository={"url": "/backup"}, name="lab")
    assert discovery.config is not None, discovery.problems
    config = as_superuser(cassandra(discovery.config), tmp_path)
    assert config.tls is not None
    lab.platform.start("database")

    database.answers(config, 120, lambda: lab.running("database"))
    assert database.facts(config).cluster_name == lab.options.cluster_name

    with pytest.raises(PreflightError, match=f"Cassandra at {lab.address}:9042"):
        database.facts(with_tls(config, None))
    with pytest.raises(PreflightError, match=r"no (secure )?connection"):
        database.facts(with_tls(config, config.tls.model_copy(update={"certificate": None, "key_password": None})))
    with pytest.raises(PreflightError, match="a certificate that isn't trusted: "):
        database.answers(with_tls(config, config.tls.model_copy(update={"ca": None, "ca_password": None})), 600)
    plain = TlsConfig(ca=authority.pem, certificate=lab.root / "tls/client.pem", key=lab.root / "tls/client.key")
    assert database.facts(with_tls(config, plain)).cluster_name == lab.options.cluster_name


def as_superuser(config: CassandraConfig, folder: Path) -> CassandraConfig:
    """Log in as a new Cassandra's only role."""
    password = folder / "password"
    password.write_text("cassandra")
    password.chmod(0o600)
    return config.model_copy(update={"username": "cassandra", "password": SecretRef(file=password)})


def with_tls(config: CassandraConfig, tls: TlsConfig | None) -> CassandraConfig:
    """The same server, spoken to in another way."""
    return config.model_copy(update={"tls": tls})
