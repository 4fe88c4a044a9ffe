"""S3 stores: MinIO, versitygw and SeaweedFS, as a lab's service or alone (`run`)."""

from __future__ import annotations

import base64
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import obstore
from obstore.store import S3Store

from propolis_lab import http
from propolis_lab.errors import LabError
from propolis_lab.layout import Layout, write
from propolis_lab.programs import go
from propolis_lab.servers import answers, ports, services

PORT = 9002
"""MinIO's usual port is 9000, but that is TheHive's on the same host."""

Kind = Literal["minio", "versitygw", "seaweedfs"]


@dataclass(frozen=True)
class Keys:
    """Credentials of an S3 store."""

    access: str
    secret: str

    @staticmethod
    def new() -> Keys:
        """Random ones."""
        return Keys(f"lab{secrets.token_hex(6)}", secrets.token_hex(20))


@dataclass(frozen=True)
class S3Server:
    """A running S3 store."""

    endpoint: str
    keys: Keys
    region: str = "us-east-1"

    def store(self, bucket: str, prefix: str = "") -> S3Store:
        """The obstore client of one bucket."""
        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=self.endpoint,
            region=self.region,
            access_key_id=self.keys.access,
            secret_access_key=self.keys.secret,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def make_bucket(self, bucket: str) -> None:
        """Create a bucket; it may exist already."""
        # A signed PUT of the empty key is a PUT of the bucket itself.
        url = obstore.sign(self.store(bucket), "PUT", "", expires_in=timedelta(minutes=5))

        def made() -> bool:
            answer = http.request("PUT", url, timeout=30)
            # MinIO on a busy machine says 503 for a moment, even after it said that it is ready.
            if answer.status not in (200, 409, 503):
                raise LabError(
                    f"Bucket {bucket} can't be created at {self.endpoint}: {answer.status} {answer.text[:200]}"
                )
            return answer.status != 503

        answers.until(made, f"{self.endpoint} (bucket {bucket})", timeout=60)

    def empty_bucket(self, bucket: str = "thehive") -> int:
        """Delete every object of a bucket; returns how many there were."""
        store = self.store(bucket)
        paths = [item["path"] for item in obstore.list(store).collect()]
        if paths:
            obstore.delete(store, paths)
        return len(paths)


def command(kind: Kind, address: str, port: int, data: Path) -> list[str]:
    """How the store is started."""
    if kind == "minio":
        return [str(go.build(go.MINIO)), "server", "--quiet", "--address", f"{address}:{port}", str(data)]
    if kind == "seaweedfs":
        # All of its parts listen on the lab's own address, at their usual ports.
        return [
            *(str(go.build(go.SEAWEEDFS)), f"-logdir={data.parent}", "server", f"-dir={data}"),
            *(f"-ip={address}", f"-ip.bind={address}", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"),
            *("-volume.max=100000", "-s3", f"-s3.port={port}", "-s3.autoCreateBucket=false"),
        ]
    return [
        *(str(go.build(go.VERSITYGW)), "--port", f"{address}:{port}", "--quiet"),
        *("posix", "--versioning-dir", str(data.with_name(data.name + "-versions")), str(data)),
    ]


def environment(kind: Kind, keys: Keys, folder: Path) -> dict[str, str]:
    """What the store must find in its environment; secrets never stand among its arguments."""
    if kind == "minio":
        return {
            "HOME": str(folder),
            "MINIO_ROOT_USER": keys.access,
            "MINIO_ROOT_PASSWORD": keys.secret,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }
    if kind == "seaweedfs":
        return {"HOME": str(folder), "AWS_ACCESS_KEY_ID": keys.access, "AWS_SECRET_ACCESS_KEY": keys.secret}
    return {"HOME": str(folder), "ROOT_ACCESS_KEY": keys.access, "ROOT_SECRET_KEY": keys.secret}


def new_kms_key() -> str:
    """A random key with which MinIO seals the keys of its objects, in Base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def configure(layout: Layout, variables: dict[str, str], kms_key: str | None) -> dict[str, str]:
    """Write the variables of a stack's own MinIO to its file of variables; returns what then starts it.

    With a `kms_key` in Base64 MinIO encrypts every object; the key lies in a file beside its configuration.
    """
    if kms_key is not None:
        path = layout.etc("minio") / "kms.key"
        write(path, f"lab-key:{kms_key}\n", "minio", 0o400)
        variables = {**variables, "MINIO_KMS_SECRET_KEY_FILE": str(path), "MINIO_KMS_AUTO_ENCRYPTION": "on"}
    variables = {**variables, "MINIO_VOLUMES": variables["HOME"]}
    lines = [f'{name}="{value}"' for name, value in variables.items() if name != "HOME"]
    write(layout.minio_environment, "\n".join(lines) + "\n", "minio", 0o600)
    return {"HOME": variables["HOME"], "MINIO_CONFIG_ENV_FILE": str(layout.minio_environment)}


def wait(kind: Kind, endpoint: str, timeout: float = 300) -> None:
    """Return once the store answers requests."""
    path = "/minio/health/ready" if kind == "minio" else "/"
    expected = (200,) if kind == "minio" else (200, 403)
    answers.until(lambda: http.request("GET", endpoint + path, timeout=5).status in expected, kind, timeout)


@contextmanager
def run(kind: Kind = "minio", folder: Path | None = None) -> Iterator[S3Server]:
    """A running store for as long as the block lasts; its data lies in `folder` or in a temporary one."""
    with tempfile.TemporaryDirectory(prefix="propolis-s3-") as temporary:
        root = folder or Path(temporary)
        data = root / "data"
        for path in (data, root / "data-versions"):
            path.mkdir(parents=True, exist_ok=True)
        keys = Keys.new()
        address = ports.claim_address(root, (PORT,))
        try:
            description = services.describe(
                root / "services",
                kind,
                command(kind, address, PORT, data),
                log=root / f"{kind}.log",
                pid_file=root / f"{kind}.pid",
                environment=environment(kind, keys, root),
            )
            try:
                description.start(kind)
                endpoint = f"http://{address}:{PORT}"
                wait(kind, endpoint)
                yield S3Server(endpoint, keys)
            finally:
                services.end(description, kind)
        finally:
            ports.release(address, root)
