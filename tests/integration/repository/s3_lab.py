"""Real S3 stores as the tests of storage need them: versioned buckets, TLS with an authority of its own, regions."""

import datetime
import hashlib
import hmac
import ipaddress
import os
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from propolis_lab import http
from propolis_lab.programs import go
from propolis_lab.servers import answers
from propolis_lab.servers.minio import Keys, S3Server

VERSIONED = (
    b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Status>Enabled</Status></VersioningConfiguration>"
)


def signed(server: S3Server, method: str, path: str, query: str, body: bytes, **headers: str) -> http.Answer:
    """One request signed as S3 asks for (signature version 4); for what the client under test doesn't offer.

    `headers` begin with x-amz-, here with underscores.
    """
    now = datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host = urllib.parse.urlsplit(server.endpoint).netloc
    digest = hashlib.sha256(body).hexdigest()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
    names = ";".join(sorted(sent))
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{server.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{server.keys.secret}".encode()
    for part in (day, server.region, "s3", "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={server.keys.access}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    del sent["host"]
    sent["Authorization"] = authorization
    return http.request(method, f"{server.endpoint}{path}?{query}", body=body, headers=sent, timeout=30)


def make_bucket(server: S3Server, bucket: str, *, versioned: bool = False, lockable: bool = False) -> None:
    """A new bucket that keeps former versions of its objects, or not, or whose objects can be locked."""
    if lockable:

        def made() -> bool:
            answer = signed(server, "PUT", f"/{bucket}", "", b"", x_amz_bucket_object_lock_enabled="true")
            assert answer.status in (200, 503), answer.text  # 503: MinIO is not quite ready yet
            return answer.status == 200

        answers.until(made, f"{server.endpoint} (bucket {bucket})", timeout=60)
        return
    server.make_bucket(bucket)
    if versioned:
        answer = signed(server, "PUT", f"/{bucket}", "versioning=", VERSIONED)
        assert answer.status == 200, answer.text


@dataclass(frozen=True)
class Certificates:
    """A private authority and the certificate of a server on 127.0.0.1 that it signed."""

    ca: Path
    folder: Path
    """As MinIO's --certs-dir wants it."""


def certificates(folder: Path) -> Certificates:
    """Make them in a folder."""
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )

    root = (
        builder(authority, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")]), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    served = folder / "certs"
    served.mkdir(parents=True)
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    (served / "public.crt").write_bytes(leaf.public_bytes(pem))
    (served / "private.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificates(folder / "ca.pem", served)


@contextmanager
def started(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    """A server that listens on a port of 127.0.0.1 for as long as the block lasts."""
    server = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, f"{command[0]} ended with {server.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} doesn't listen"
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(60)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def special_minio(folder: Path, *, certs: Path | None = None, region: str = "us-east-1") -> Iterator[S3Server]:
    """A MinIO that insists on a region, or serves TLS. Buckets are folders of `folder/data`."""
    keys, port = Keys.new(), free_port()
    (folder / "data").mkdir(parents=True)
    command = [str(go.build(go.MINIO)), "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += ["--certs-dir", str(certs or folder / "no-certs"), str(folder / "data")]
    environment = {
        "HOME": str(folder),
        "PATH": os.defpath,
        "MINIO_ROOT_USER": keys.access,
        "MINIO_ROOT_PASSWORD": keys.secret,
        "MINIO_REGION": region,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    with started(command, environment, port):
        yield S3Server(f"{'https' if certs else 'http'}://127.0.0.1:{port}", keys, region)
