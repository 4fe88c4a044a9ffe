"""Secrets come from where their references point, and show nowhere."""

from pathlib import Path

import pytest

from propolis.config.fields import SecretRef
from propolis.config.secrets import resolve
from propolis.errors import ConfigError

SECRET = "s3cret-value"


def secret_file(folder: Path, text: str = SECRET + "\n", mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_file_gives_its_text_without_the_last_line_end(tmp_path: Path) -> None:
    assert resolve(SecretRef(file=secret_file(tmp_path))) == SECRET


def test_blanks_belong_to_a_secret(tmp_path: Path) -> None:
    assert resolve(SecretRef(file=secret_file(tmp_path, "  a b \n"))) == "  a b "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o777])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = secret_file(tmp_path, mode=mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {file}") as caught:
        resolve(SecretRef(file=file))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_secret_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="empty"):
        resolve(SecretRef(file=secret_file(tmp_path, text)))


def test_a_missing_file_a_folder_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        resolve(SecretRef(file=tmp_path / "absent"))
    with pytest.raises(ConfigError, match="not a regular file"):
        resolve(SecretRef(file=tmp_path))
    with pytest.raises(ConfigError, match="larger than"):
        resolve(SecretRef(file=secret_file(tmp_path, "x" * 100_000)))


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        resolve(SecretRef(file=pipe))


def test_an_environment_variable_gives_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPOLIS_TEST_SECRET", SECRET)
    assert resolve(SecretRef(env="PROPOLIS_TEST_SECRET")) == SECRET
    monkeypatch.delenv("PROPOLIS_TEST_SECRET")
    with pytest.raises(ConfigError, match="PROPOLIS_TEST_SECRET"):
        resolve(SecretRef(env="PROPOLIS_TEST_SECRET"))


def test_a_systemd_credential_is_read_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_file(tmp_path, SECRET, 0o440).rename(tmp_path / "db")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert resolve(SecretRef(credential="db")) == SECRET
    with pytest.raises(ConfigError, match="plain name"):
        resolve(SecretRef(credential="../db"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(ConfigError, match="LoadCredential"):
        resolve(SecretRef(credential="db"))


def test_a_hocon_reference_follows_includes_and_substitutions(tmp_path: Path) -> None:
    (tmp_path / "secret.conf").write_text(f'base = "{SECRET}"\n')
    (tmp_path / "application.conf").write_text('include "secret.conf"\ndb.password = ${base}\n')
    assert resolve(SecretRef(hocon=f"{tmp_path}/application.conf#db.password")) == SECRET
    with pytest.raises(ConfigError, match=r"has no key db\.other") as caught:
        resolve(SecretRef(hocon=f"{tmp_path}/application.conf#db.other"))
    assert SECRET not in str(caught.value)


def test_a_reference_names_its_place_and_no_value(tmp_path: Path) -> None:
    file = secret_file(tmp_path)
    ref = SecretRef(file=file)
    resolve(ref)
    assert str(ref) == f"file {file}"
    assert SECRET not in repr(ref)
