"""What people have written in their files is read as their programs read it, or named with file and line."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates import Authority
from propolis.config import secrets
from propolis.config.discovery.this_host import in_url, site_address, split_port
from propolis.config.fields import TlsConfig
from propolis.config.load import load
from propolis.config.sample import render
from propolis.config.schema import S3Files
from propolis.errors import ConfigError
from sections import cassandra, elasticsearch
from unit.config.stack_files import APPLICATION, CASSANDRA, INDEX, edit, found, look

PORT = "http.port: 9201\n"


@pytest.fixture
def application(root: Path) -> Path:
    return root / "etc/thehive/application.conf"


@pytest.fixture
def index(root: Path) -> Path:
    return root / "etc/elasticsearch/elasticsearch.yml"


@pytest.fixture
def database(root: Path) -> Path:
    return root / "etc/cassandra/cassandra.yaml"


# Addresses and ports


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ("network.host: [_local_, 10.0.0.1]", "127.0.0.1"),
        ("network.host: '_local_, 10.0.0.1'", "127.0.0.1"),
        ("network.host: [10.0.0.1, _local_]", "10.0.0.1"),
        ("network.host: 0.0.0.0", "127.0.0.1"),
        ("network.host: 0", "127.0.0.1"),
        ("network.host: ['_local:ipv4_', 10.0.0.1]", "10.0.0.1"),
        ("network.host: '::1'", "[::1]"),
        ("network.bind_host: 127.7.0.9\nnetwork.host: 10.0.0.1", "127.7.0.9"),
        ("network.host: _lo_", "127.0.0.1"),
        ("http.publish_host: 10.0.0.1\nhttp.host: 127.0.0.1", "127.0.0.1"),
        ("network.host: ${HOSTNAME}", socket.gethostname()),
        ("network.host: _nosuchcard_", "127.7.0.1"),  # then where TheHive looks for it
    ],
)
def test_the_address_of_the_index_is_found_as_it_is_bound(root: Path, index: Path, settings: str, host: str) -> None:
    index.write_text(f"path.data: /es\n{settings}\n{PORT}")
    assert elasticsearch(found(root)).url == f"http://{host}:9201"


def test_a_site_address_is_this_hosts_own(root: Path, index: Path) -> None:
    index.write_text(f"path.data: /es\nnetwork.host: _site_\n{PORT}")
    assert elasticsearch(found(root)).url == f"http://{site_address() or '127.7.0.1'}:9201"


@pytest.mark.parametrize("port", ["[9201]", "9201-9300", "'9200-9300'", "9201"])
def test_the_port_of_the_index_may_be_a_list_or_a_range(root: Path, index: Path, port: str) -> None:
    index.write_text(f"path.data: /es\nhttp.port: {port}\n")
    assert elasticsearch(found(root)).url == "http://127.0.0.1:9201"


def test_what_is_no_port_is_named(root: Path, index: Path) -> None:
    index.write_text("path.data: /es\nhttp.port: nine\n")
    (problem,) = look(root).problems
    assert problem == f"{index}:2 (http.port): nine is neither a port nor a range of ports"


@pytest.mark.parametrize(
    ("address", "url"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "127.0.0.1"), ("127.0.0.3", "127.0.0.3")]
)
def test_thehives_address_may_be_ipv6(root: Path, application: Path, address: str, url: str) -> None:
    edit(application, "address = ${lab.address}", f'address = "{address}"')
    assert found(root).require_thehive().url == f"http://{url}:9123"


@given(host=st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), port=st.integers(1, 65535))
def test_host_and_port_come_apart(host: str, port: int) -> None:
    assert split_port(host) == (host, "")
    assert split_port(f"{host}:{port}") == (host, str(port))
    assert split_port(f"[fe80::1]:{port}") == ("fe80::1", str(port))
    assert split_port("fe80::1") == ("fe80::1", "")
    assert in_url("fe80::1") == "[fe80::1]"


def test_an_interface_of_cassandra_is_its_address(root: Path, database: Path) -> None:
    edit(database, "rpc_address: 127.7.0.1", "rpc_interface: lo")
    assert cassandra(found(root)).host == "127.0.0.1"
    edit(database, "rpc_interface: lo", "rpc_interface: nosuchcard")
    (problem,) = look(root).problems
    assert "there is no interface nosuchcard" in problem


# Variables, placeholders, repeated keys


def test_variables_come_from_what_the_package_and_the_unit_set(root: Path, index: Path) -> None:
    index.write_text(f"path.data: ${{ES_DATA}}\nhttp.host: ${{ES_HOST}}\nnode.name: ${{NOT_ASKED_FOR}}\n{PORT}")
    for name, text in {
        "etc/default/elasticsearch": "# ES_DATA=/no\nES_DATA=/from/default\nES_HOST='127.0.0.8'\n",
        "usr/lib/systemd/system/elasticsearch.service": '[Service]\nEnvironment=ES_DATA=/from/unit "X=a b"\n',
        "etc/systemd/system/elasticsearch.service.d/a.conf": "[Service]\nEnvironmentFile=-/etc/es.env\n",
        "etc/es.env": "export ES_DATA=/from/file\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    section = elasticsearch(found(root))
    assert (section.data, section.url) == (Path("/from/file"), "http://127.0.0.8:9201")


def test_a_variable_that_isnt_set_is_one_problem_with_its_line(root: Path, index: Path) -> None:
    index.write_text(f"path.data: ${{ES_DATA}}\n{PORT}")
    (problem,) = look(root).problems
    assert problem == f"{index}:1 (path.data): ${{ES_DATA}} is not set in the environment of the index's service"


def test_one_variable_that_isnt_set_is_one_problem_wherever_it_is_used(root: Path, application: Path) -> None:
    edit(application, 'lab.address = "127.7.0.1"\n', "")
    edit(application, "${?LAB_ADDRESS}", "${LAB_ADDRESS}")
    (problem,) = look(root).problems
    assert problem.startswith(f"{application}:3: ${{LAB_ADDRESS}} is neither a key")


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "piece"),
    [
        ("thehive/application.conf", "keyspace: hive", 'keyspace: "{{ keyspace }}"', 14, "{{ keyspace }}"),
        ("thehive/application.conf", "hostname: [${lab.address}]\n", "hostname: [{{ hosts }}]\n", 11, "{{ hosts }}"),
        ("thehive/application.conf", "hostname: [${lab.address}]\n", 'hostname: ["{{ h }}"]\n', 11, "{{ h }}"),
        ("thehive/application.conf", "/opt/thp/thehive/files", '"/opt/{tenant}/files"', 22, "{tenant}"),
        ("thehive/application.conf", "${lab.password}", '"{{ vault.pw }}"', 13, "a placeholder"),
        ("cassandra/cassandra.yaml", "cluster_name: 'thp'", "cluster_name: {{ name }}", 2, "{{ name }}"),
        ("cassandra/cassandra.yaml", "cluster_name: 'thp'", "cluster_name: ${CLUSTER}", 2, "${CLUSTER}"),
        ("cassandra/cassandra.yaml", "[ /var/lib/cassandra/data, /data2 ]", "['{{ d }}']", 3, "{{ d }}"),
        ("elasticsearch/elasticsearch.yml", "http.port: 9201", "{% if port %}", 4, "{% if port %}"),
        ("elasticsearch/elasticsearch.yml", "/var/lib/elasticsearch", "'/{{ mount }}/es'", 2, "{{ mount }}"),
    ],
)
def test_a_placeholder_that_was_never_filled_in_is_the_one_problem(
    root: Path, file: str, old: str, new: str, line: int, piece: str
) -> None:
    edit(root / "etc" / file, old, new)
    (problem,) = look(root).problems
    assert problem.startswith(f"{root / 'etc' / file}:{line}")
    assert piece in problem
    assert problem.endswith("placeholder that was never filled in")


def test_a_password_with_braces_is_a_password(root: Path, application: Path) -> None:
    edit(application, "${lab.password}", '"a{b}{{c}}"')
    password = cassandra(found(root)).password
    assert password is not None
    assert secrets.resolve(password) == "a{b}{{c}}"


def test_of_keys_that_occur_twice_cassandra_takes_the_last_and_so_does_propolis(root: Path, database: Path) -> None:
    database.write_text(
        CASSANDRA + "cluster_name: late\nclient_encryption_options: {enabled: true, enabled: false}\n"
    )
    discovery = look(root)
    assert discovery.config is not None
    assert cassandra(discovery.config).cluster_name == "late"
    assert discovery.notes["database.cluster_name"] == f"{database}:9 (cluster_name)"
    assert discovery.warnings == (
        f"{database}:9: cluster_name is set again: the last value counts, as in Cassandra",
        f"{database}:10: enabled is set again: the last value counts, as in Cassandra",
    )


def test_of_an_index_keys_that_occur_twice_stay_an_error_as_for_elasticsearch(root: Path, index: Path) -> None:
    index.write_text(INDEX + "http.port: 9202\n")
    (problem,) = look(root).problems
    assert problem == f"{index}:5: not valid YAML: this key occurs twice"


# Keys of a bucket


def bucket(root: Path, keys: str) -> S3Files:
    (root / "etc/thehive/application.conf").write_text(
        APPLICATION + "storage { provider: s3, s3 { bucket = b\n" + keys + "\n} }\n"
    )
    files = found(root).files
    assert isinstance(files, S3Files)
    return files


def pair(files: S3Files) -> tuple[str, str]:
    assert files.access_key is not None
    assert files.secret_key is not None
    return secrets.resolve(files.access_key), secrets.resolve(files.secret_key)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("accessKey = A, secretKey = a", ("A", "a")),
        ("access-key = A, secret-key = a", ("A", "a")),
        ("accessKey = A, aws.credentials.secret-access-key = a", ("A", "a")),
        ("aws.credentials { access-key-id = A, secret-access-key = a }", ("A", "a")),
        ("aws.credentials { access-key-id = A, secret-access-key = a }, accessKey = B, secretKey = b", ("A", "a")),
        ("aws.credentials { access-key-id = A, secret-access-key = a }, accessKey = B", ("A", "a")),
        ("accessKey = A, secretKey = a, aws.credentials.access-key-id = B", ("A", "a")),
        ("secret-key = a, accessKey = A", ("A", "a")),
    ],
)
def test_keys_of_a_bucket_stay_a_pair_whatever_the_style(root: Path, keys: str, expected: tuple[str, str]) -> None:
    assert pair(bucket(root, keys)) == expected


def test_two_pairs_that_differ_are_told(root: Path) -> None:
    bucket(root, "accessKey = A, secretKey = a\naws.credentials { access-key-id = B, secret-access-key = b }")
    warning = next(text for text in look(root).warnings if "differ from" in text)
    assert "accessKey and secretKey differ from " in warning
    bucket(root, "accessKey = A, secretKey = a\naws.credentials { access-key-id = A, secret-access-key = a }")
    assert not any("differ from" in text for text in look(root).warnings)


@pytest.mark.parametrize("keys", ["", "aws.credentials.provider = default, accessKey = A, secretKey = a"])
def test_without_keys_those_count_that_aws_gives_the_host(root: Path, keys: str) -> None:
    files = bucket(root, keys)
    assert (files.access_key, files.secret_key) == (None, None)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ("accessKey = A", "has accessKey, but not the key that belongs with it"),
        (
            "aws.credentials.secret-access-key = a",
            "has aws.credentials.secret-access-key, but not the key that belongs",
        ),
        ("accessKey = A, access-key = B, aws.credentials.provider = anon", "provider is anon"),
    ],
)
def test_half_a_pair_is_a_problem(root: Path, application: Path, keys: str, what: str) -> None:
    application.write_text(APPLICATION + "storage { provider: s3, s3 { bucket = b\n" + keys + "\n} }\n")
    (problem,) = look(root).problems
    assert what in problem


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "tls"
    folder.mkdir()
    return Authority(folder)


def use_tls(application: Path, more: str) -> None:
    edit(application, "keyspace: hive }", "keyspace: hive\n ssl { enabled = true\n" + more + " } }")


def ask_for_tls(database: Path, more: str = "") -> None:
    database.write_text(CASSANDRA + "client_encryption_options:\n  enabled: true\n" + more)


def test_tls_to_cassandra_is_found_with_thehives_own_stores(
    root: Path, application: Path, database: Path, authority: Authority
) -> None:
    ask_for_tls(database, "  require_client_auth: true\n")
    client = authority.sign("thehive")
    use_tls(
        application,
        f'truststore {{ location = "{authority.store}", password = changeit }}\n'
        f'client-authentication-enabled = true\nkeystore {{ location = "{client}", storepassword = changeit }}',
    )
    discovery = look(root)
    assert discovery.config is not None
    tls = cassandra(discovery.config).tls
    assert tls is not None
    assert (tls.ca, tls.certificate, tls.verify_host) == (authority.store, client, False)
    assert tls.ca_password is not None
    assert tls.key_password is not None
    assert secrets.resolve(tls.ca_password) == secrets.resolve(tls.key_password) == "changeit"
    text = render(discovery.config, discovery.notes)
    assert "changeit" not in text
    (root / "propolis.yaml").write_text(text)
    assert load(root / "propolis.yaml") == discovery.config


def test_optional_tls_is_spoken_where_thehive_speaks_it(
    root: Path, application: Path, database: Path, authority: Authority
) -> None:
    ask_for_tls(database, "  optional: true\n")
    assert cassandra(found(root)).tls is None
    use_tls(application, f'hostname-validation = true\ntruststore.location = "{authority.pem}"')
    assert cassandra(found(root)).tls == TlsConfig(ca=authority.pem, verify_host=True)


def test_tls_that_is_off_is_not_spoken(root: Path, database: Path) -> None:
    database.write_text(CASSANDRA + "client_encryption_options: {enabled: false, require_client_auth: true}\n")
    assert cassandra(found(root)).tls is None


def test_a_port_of_its_own_for_tls_is_taken_where_thehive_does(
    root: Path, application: Path, database: Path, authority: Authority
) -> None:
    ask_for_tls(database)
    edit(database, "rpc_address", "native_transport_port: 9042\nnative_transport_port_ssl: 9142\nrpc_address")
    section = cassandra(found(root))
    assert (section.port, section.tls) == (9042, None)
    use_tls(application, f'truststore.location = "{authority.pem}"')
    edit(application, "backend: cql", "backend: cql, port: 9142")
    section = cassandra(found(root))
    assert section.port == 9142
    assert section.tls is not None


def test_tls_without_whom_to_trust_or_what_to_show_is_a_problem_with_both_files(
    root: Path, application: Path, database: Path, authority: Authority
) -> None:
    ask_for_tls(database, "  require_client_auth: true\n")
    trust, show = look(root).problems
    assert trust.startswith(f"{database}:10 (client_encryption_options.enabled): it asks for TLS, but ")
    assert "storage.cql.ssl.truststore.location is not set" in trust
    assert show.startswith(
        f"{database}:11 (client_encryption_options.require_client_auth): it requires client certificates"
    )
    authority.store.write_bytes(b"\xfe\xed\xfe\xed\0")
    use_tls(application, f'truststore.location = "{authority.store}"\nkeystore.location = "/nothere.p12"')
    trust, show = look(root).problems
    assert "Java's old format (JKS)" in trust
    assert "keytool -importkeystore" in trust
    assert "/nothere.p12 can't be read: No such file" in show


def test_an_authority_with_a_relative_path_lies_in_the_indexs_own_folder(root: Path, index: Path) -> None:
    index.write_text(INDEX + "xpack.security.http.ssl:\n  enabled: true\n  certificate_authorities: [certs/ca.crt]\n")
    section = elasticsearch(found(root))
    assert (section.url, section.ca) == ("https://127.7.0.1:9201", index.parent / "certs/ca.crt")


def test_an_index_that_asks_for_a_certificate_is_named(root: Path, index: Path) -> None:
    index.write_text(INDEX + "xpack.security.http.ssl: {enabled: true, client_authentication: required}\n")
    (problem,) = look(root).problems
    assert problem.startswith(
        f"{index}:5 (xpack.security.http.ssl.client_authentication): the index requires client certificates"
    )


PACKAGE = """
path.data: /var/lib/elasticsearch
path.logs: /var/log/elasticsearch
http.port: 9201
xpack.security.enabled: true
xpack.security.enrollment.enabled: true
xpack.security.http.ssl:
  enabled: true
  keystore.path: certs/http.p12
xpack.security.transport.ssl:
  enabled: true
  verification_mode: certificate
  keystore.path: certs/transport.p12
  truststore.path: certs/transport.p12
http.host: 0.0.0.0
"""
"""What the packages of Elasticsearch 8 and 9 write."""


def test_the_defaults_of_elasticsearchs_packages_are_understood(root: Path, index: Path) -> None:
    index.write_text(PACKAGE)
    authority = index.parent / "certs/http_ca.crt"
    authority.parent.mkdir()
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    section = elasticsearch(found(root))
    assert (section.url, section.ca, section.verify_host) == ("https://127.0.0.1:9201", authority, True)


@pytest.mark.parametrize(
    "settings",
    [
        "xpack.security.enabled: false\nxpack.security.http.ssl.enabled: true\n",
        "plugins.security.disabled: true\nplugins.security.ssl.http.enabled: true\n",
    ],
)
def test_with_security_off_the_index_speaks_plain_http_whatever_keys_of_tls_say(
    root: Path, index: Path, settings: str
) -> None:
    index.write_text(INDEX + settings)
    assert elasticsearch(found(root)).url == "http://127.7.0.1:9201"


def test_for_the_index_thehives_truststore_counts_where_the_server_names_no_authority(
    root: Path, application: Path, index: Path, authority: Authority
) -> None:
    index.write_text(INDEX + "xpack.security.http.ssl.enabled: true\n")
    edit(
        application,
        "index-name: myhive",
        "index-name: myhive\nelasticsearch.ssl { enabled = true, disable-hostname-verification = true\n"
        f'truststore {{ location = "{authority.store}", password = changeit }} }}',
    )
    section = elasticsearch(found(root))
    assert (section.ca, section.verify_host) == (authority.store, False)
    assert section.ca_password is not None


@pytest.mark.parametrize("text", ["tls: {key: /k}", "tls: {ca_password: {env: P}}", "tls: {cert: /c}"])
def test_a_section_of_tls_that_isnt_whole_is_refused(root: Path, text: str) -> None:
    discovery = look(root)
    assert discovery.config is not None
    file = root / "propolis.yaml"
    file.write_text(render(discovery.config, {}).replace("  # tls:", f"  {text}"))
    with pytest.raises(ConfigError, match=r"database\.tls"):
        load(file)
