"""TLS to the stack's servers from the files that people have: PEM, and PKCS12 as Java's stores are."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certificates import Authority
from propolis.config.fields import SecretRef, TlsConfig
from propolis.config.schema import CassandraConfig
from propolis.errors import ConfigError, PreflightError
from propolis.stack.asking.http import HttpClient, HttpFailure
from propolis.stack.asking.tls import context
from propolis.stack.database import server as database


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def password(authority: Authority, tmp_path: Path) -> SecretRef:
    file = tmp_path / "password"
    file.write_text(authority.password)
    file.chmod(0o600)
    return SecretRef(file=file)


@contextmanager
def server(authority: Authority, address: str = "127.0.0.1", *, asks: bool = False) -> Iterator[int]:
    """A TLS server for one connection after another that says `hello`; the port it listens on."""
    authority.sign("server", address)
    side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    side.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    if asks:
        side.load_verify_locations(authority.pem)
        side.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                plain, _ = listener.accept()
            except TimeoutError:
                continue
            plain.settimeout(10)
            try:
                with side.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(65536)  # a connection closed with something unread is reset
                    secure.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                    )
            except OSError:
                plain.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        thread.join()
        listener.close()


def hello(port: int, config: TlsConfig) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context(config).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"hello")
        return secure.recv(8)


def test_an_authority_is_taken_from_pem_and_from_a_truststore_of_java(
    authority: Authority, password: SecretRef
) -> None:
    with server(authority) as port:
        assert hello(port, TlsConfig(ca=authority.pem)) == b"HTTP/1.1"
        assert hello(port, TlsConfig(ca=authority.store, ca_password=password)) == b"HTTP/1.1"


def test_who_isnt_trusted_is_refused(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    with server(authority) as port:
        for config in (TlsConfig(), TlsConfig(ca=other.pem), TlsConfig(ca=other.pem, verify_host=False)):
            with pytest.raises(ssl.SSLCertVerificationError):
                hello(port, config)


def test_a_certificate_for_another_address_is_refused_unless_told_otherwise(authority: Authority) -> None:
    with server(authority, "10.0.0.9") as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            hello(port, TlsConfig(ca=authority.pem))
        assert hello(port, TlsConfig(ca=authority.pem, verify_host=False)) == b"HTTP/1.1"


def test_a_server_that_asks_for_a_certificate_gets_it_from_pem_and_from_pkcs12(
    authority: Authority, password: SecretRef, tmp_path: Path
) -> None:
    store = authority.sign("client")
    shown = [
        TlsConfig(ca=authority.pem, certificate=store, key_password=password),
        TlsConfig(ca=authority.pem, certificate=tmp_path / "client.pem", key=tmp_path / "client.key"),
    ]
    with server(authority, asks=True) as port:
        assert [hello(port, config) for config in shown] == [b"HTTP/1.1", b"HTTP/1.1"]
        with pytest.raises(ssl.SSLError):
            hello(port, TlsConfig(ca=authority.pem))


def test_the_index_is_asked_over_tls_with_a_truststore(authority: Authority, password: SecretRef) -> None:
    with (
        server(authority) as port,
        HttpClient(
            f"https://127.0.0.1:{port}", tls=TlsConfig(ca=authority.store, ca_password=password), timeout=10
        ) as client,
    ):
        assert client.get("/") == {}
    with server(authority, "10.0.0.9") as port:
        url = f"https://127.0.0.1:{port}"
        with (
            pytest.raises(HttpFailure, match="secure connection"),
            HttpClient(url, tls=TlsConfig(ca=authority.pem), timeout=10) as client,
        ):
            client.get("/")
        with HttpClient(url, tls=TlsConfig(ca=authority.pem, verify_host=False), timeout=10) as client:
            assert client.get("/") == {}


def cassandra_at(port: int, tls: TlsConfig) -> CassandraConfig:
    folder = Path("/nothere")
    return CassandraConfig(
        host="127.0.0.1", port=port, tls=tls, cluster_name="c", config=folder, data=(folder,), commitlog=folder,
        hints=folder, saved_caches=folder,
    )  # fmt: skip


def test_a_cassandra_that_isnt_trusted_is_given_up_at_once_and_not_asked_anything(authority: Authority) -> None:
    with server(authority, "10.0.0.9") as port:
        for tls, what in (
            (TlsConfig(), "unable to get local issuer certificate"),
            (TlsConfig(ca=authority.pem), "IP address mismatch"),
        ):
            with pytest.raises(PreflightError, match=f"shows a certificate that isn't trusted: .*{what}") as caught:
                database.answers(cassandra_at(port, tls), 600)
            assert "database.tls" in caught.value.next


def test_a_cassandra_without_tls_is_told_from_one_that_isnt_there(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        threading.Thread(target=lambda: plain.accept()[0].send(b"HTTP/1.1 400 plain\r\n"), daemon=True).start()
        config = cassandra_at(plain.getsockname()[1], TlsConfig(ca=authority.pem))
        with pytest.raises(PreflightError, match=r"no secure connection \(wrong version number"):
            database.facts(config)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\xfe\xed\xfe\xed\0\0\0\2", "old format .JKS., which can't be read. Convert it to PKCS12: keytool"),
        (b"nothing of this kind", "neither PEM nor PKCS12"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificates that can be used"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificates that can be used"),
    ],
)
def test_a_file_that_holds_no_certificates_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    file = tmp_path / "store.jks"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=what) as caught:
        context(TlsConfig(ca=file))
    assert str(file) in str(caught.value)


def test_a_wrong_password_and_a_missing_file_are_named_without_the_password(
    authority: Authority, password: SecretRef, tmp_path: Path
) -> None:
    assert password.file is not None
    password.file.write_text("wrong-one")
    for config in (
        TlsConfig(ca=authority.store, ca_password=password),
        TlsConfig(ca=authority.pem, certificate=authority.sign("client"), key_password=password),
    ):
        with pytest.raises(ConfigError, match="that this password opens") as caught:
            context(config)
        assert "wrong-one" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"nothere\.pem: can't be read: No such file"):
        context(TlsConfig(ca=tmp_path / "nothere.pem"))


def test_a_key_that_isnt_the_certificates_is_named(authority: Authority, tmp_path: Path) -> None:
    authority.sign("client")
    authority.sign("other")
    config = TlsConfig(certificate=tmp_path / "client.pem", key=tmp_path / "other.key")
    with pytest.raises(ConfigError, match="hold no certificate with its key"):
        context(config)
    with pytest.raises(ConfigError, match="holds no private key with its certificate"):
        context(TlsConfig(certificate=authority.store, key_password=_secret(tmp_path, authority.password)))


def _secret(folder: Path, text: str) -> SecretRef:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(0o600)
    return SecretRef(file=file)
