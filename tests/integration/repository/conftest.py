"""A real MinIO on a free port of the loopback address."""

import importlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "repository"))


@dataclass
class Minio:
    endpoint: str
    folder: Path
    access_key: str
    secret_key: str

    def bucket(self) -> str:
        """A new, empty bucket: MinIO takes a folder of its data for one."""
        name = f"test-{secrets.token_hex(6)}"
        (self.folder / name).mkdir()
        return name

    @property
    def settings(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, "access_key": self.access_key, "secret_key": self.secret_key}


def program() -> Path:
    named = os.environ.get("PROPOLIS_MINIO") or shutil.which("minio")
    if named:
        return Path(named)
    try:
        return Path(importlib.import_module("propolis_lab.artefacts").minio())
    except (ImportError, AttributeError):
        pytest.fail("the program minio is missing: set PROPOLIS_MINIO to its path")


@pytest.fixture(scope="session")
def minio(tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("minio")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    access, secret = "tester", secrets.token_hex(16)
    server = subprocess.Popen(
        [program(), "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder)],
        env={"MINIO_ROOT_USER": access, "MINIO_ROOT_PASSWORD": secret, "HOME": str(folder), "MINIO_BROWSER": "off"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "MinIO ended at once"
            time.sleep(0.1)
        yield Minio(f"http://127.0.0.1:{port}", folder, access, secret)
    finally:
        server.terminate()
        server.wait()
