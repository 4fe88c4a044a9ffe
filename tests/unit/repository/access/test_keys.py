"""Keys of all kinds open what they should, before and after changes, and nothing else."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from propolis.errors import BusyError, IntegrityError, RepositoryError
from propolis.repository import Facts, Identity, Repository, restore_folder, verify, write_identity
from propolis.repository.access.keyring import KeyHolder
from propolis.repository.crypto.recipients import (
    AnyKey,
    Passphrase,
    SshIdentity,
    SshRecipient,
    parse_recipient,
    read_keys,
    read_recipient,
)
from propolis.repository.maintenance.rekey import add_key, list_keys, remove_key
from propolis.repository.storage.folder import FolderStorage
from propolis.repository.write.begin import begin
from unit.repository.repository_tools import TREE, Vault, snapshot
from unit.repository.shell_tools import PAGE, ShellRestore


def ssh_key(folder: Path, kind: str = "ed25519", passphrase: str = "", name: str = "ssh") -> Path:
    path = folder / f"{name}-{kind}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "jo", "-f", path], check=True)
    return path


def new_holder(kind: str, tmp_path: Path) -> tuple[KeyHolder, AnyKey]:
    if kind == "age":
        identity = Identity.generate()
        return KeyHolder.of("new", identity.recipient), identity
    if kind == "passphrase":
        passphrase = Passphrase("correct horse")
        return KeyHolder.of_passphrase("new", passphrase), passphrase
    path = ssh_key(tmp_path, kind)
    recipient, comment = read_recipient(path.with_name(path.name + ".pub"))
    assert comment == "jo"
    [key] = read_keys(path)
    return KeyHolder.of("new", recipient), key


def restores(vault: Vault, keys: Any, source: Path, target: Path) -> bool:
    """Whether these keys bring the newest backup back."""
    repository = Repository.open(vault.location, keys)
    manifest = repository.manifest(repository.resolve("latest"))
    assert verify(repository, manifest.id, "full").ok
    restore_folder(repository, manifest, TREE, target)
    return snapshot(target) == snapshot(source)


@pytest.mark.parametrize("kind", ["age", "ed25519", "rsa", "passphrase"])
def test_an_added_key_opens_old_backups_and_new_ones_that_reuse_their_packs(
    vault: Vault, source: Path, tmp_path: Path, kind: Any
) -> None:
    vault.backup(source)
    holder, key = new_holder(kind, tmp_path)
    stored = {path: path.read_bytes() for kind in ("packs", "indexes", "manifests") for path in vault.objects(kind)}
    change = add_key(vault.full, holder)
    assert (change.done, change.ring, change.new_pairs) == (True, 2, ())
    assert restores(vault, [key], source, tmp_path / "old")
    assert {path: path.read_bytes() for path in stored} == stored
    (source / "later").write_bytes(b"later")
    vault.host = Repository.open(vault.location, [vault.host_key])
    vault.backup(source)
    assert vault.stats.read == 5
    assert restores(vault, [key], source, tmp_path / "new")
    assert restores(vault, [vault.recovery_key], source, tmp_path / "first")


def test_a_removed_key_does_not_open_what_is_stored_afterwards(vault: Vault, source: Path, tmp_path: Path) -> None:
    vault.backup(source)
    second = Identity.generate()
    add_key(vault.full, KeyHolder.of("second", second.recipient))
    old_ring = max(vault.objects("keys"))
    change = remove_key(Repository.open(vault.location, [second]), "recovery")
    assert change.new_pairs == ("data", "records")
    assert [info.name for info in change.keys if info.role == "recovery"] == ["second"]
    with pytest.raises(RepositoryError, match=f"Give the recovery key second \\({second.recipient}\\)"):
        Repository.open(vault.location, [vault.recovery_key])
    (source / "later").write_bytes(b"secret to the removed key")
    vault.host = Repository.open(vault.location, [vault.host_key])
    summary = vault.backup(source)
    assert vault.stats.read == 25
    assert restores(vault, [second], source, tmp_path / "out")
    # The removed key, with its old ring and all objects, as somebody who kept a copy has them.
    copy = tmp_path / "copy"
    shutil.copytree(vault.folder, copy)
    shutil.rmtree(copy / "spare")
    for ring in (copy / "keys").iterdir():
        if ring.name > old_ring.name:
            ring.unlink()
    thief = Repository(FolderStorage(copy), [vault.recovery_key])
    with pytest.raises(IntegrityError, match="None of the"):
        thief.manifest(summary.id)
    assert "none of the repository's keys" in thief.load_table().damaged[0].what


def test_a_removed_key_needs_one_that_stays_and_the_last_one_cannot_be_removed(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="only recovery key"):
        remove_key(vault.full, "recovery")
    second = Identity.generate()
    add_key(vault.full, KeyHolder.of("second", second.recipient))
    with pytest.raises(RepositoryError, match="is the one to be removed"):
        remove_key(Repository.open(vault.location, [vault.recovery_key]), "recovery")
    with pytest.raises(RepositoryError, match="no key 'third'"):
        remove_key(Repository.open(vault.location, [second]), "third")


def test_a_hosts_key_cannot_change_the_keys_and_a_plan_changes_nothing(vault: Vault, source: Path) -> None:
    holder = KeyHolder.of("second", Identity.generate().recipient)
    with pytest.raises(RepositoryError, match=f"Give the recovery key recovery \\({vault.recovery_key.recipient}\\)"):
        add_key(vault.host, holder)
    assert not add_key(vault.full, holder, plan=True).done
    assert len(vault.objects("keys")) == 1
    assert list_keys(vault.full)[0].name == "recovery"


def test_the_keys_do_not_change_while_a_backup_runs(vault: Vault) -> None:
    holder = KeyHolder.of("second", Identity.generate().recipient)
    with vault.host.lease("shared"), pytest.raises(BusyError):
        add_key(vault.full, holder)
    assert len(vault.objects("keys")) == 1
    stale = Repository.open(vault.location, [vault.recovery_key])
    add_key(vault.full, holder)
    with pytest.raises(BusyError, match="in the meantime"):
        remove_key(stale, vault.host.ring.host[0].name)


def test_a_new_host_goes_on_where_the_lost_one_ended(vault: Vault, source: Path) -> None:
    vault.backup(source)
    new = Identity.generate()
    add_key(vault.full, KeyHolder.of("new-host", new.recipient), "host")
    remove_key(Repository.open(vault.location, [vault.recovery_key]), vault.host.ring.host[0].name)
    with pytest.raises(RepositoryError, match="or use the host key new-host"):
        Repository.open(vault.location, [vault.host_key])
    vault.host = Repository.open(vault.location, [new])
    assert not vault.host.reads_packs
    vault.backup(source)
    assert vault.stats.read == 0


def test_names_and_keys_are_unique(vault: Vault) -> None:
    for holder in (
        KeyHolder.of("recovery", Identity.generate().recipient),
        KeyHolder.of("again", vault.recovery_key.recipient),
        KeyHolder.of(vault.host.ring.host[0].name, Identity.generate().recipient),
    ):
        with pytest.raises(RepositoryError, match="already"):
            add_key(vault.full, holder)
    with pytest.raises(RepositoryError, match="can't be called"):
        KeyHolder.of('x"y', Identity.generate().recipient)


def test_a_spare_stands_in_for_a_damaged_or_lost_key_ring(vault: Vault, source: Path, tmp_path: Path) -> None:
    vault.backup(source)
    [ring] = vault.objects("keys")
    ring.write_bytes(ring.read_bytes()[:-2])
    assert restores(vault, [vault.recovery_key], source, tmp_path / "one")
    ring.unlink()
    assert restores(vault, [vault.recovery_key], source, tmp_path / "two")
    [spare] = vault.objects("spare")
    spare.write_bytes(b"{}")
    with pytest.raises(IntegrityError):
        Repository.open(vault.location, [vault.recovery_key])


def test_another_passphrase_opens_nothing(vault: Vault) -> None:
    add_key(vault.full, KeyHolder.of_passphrase("words", Passphrase("right")))
    assert Repository.open(vault.location, [Passphrase("right")]).reads_packs
    with pytest.raises(RepositoryError, match=r"words \(a passphrase\)"):
        Repository.open(vault.location, [Passphrase("wrong")])


def test_ssh_keys_that_cannot_be_used_are_refused_plainly(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="locked by a passphrase"):
        read_keys(ssh_key(tmp_path, "ed25519", "secret"))
    with pytest.raises(RepositoryError, match="not a private SSH key that can be used"):
        read_keys(ssh_key(tmp_path, "ecdsa"))
    with pytest.raises(RepositoryError, match="not an SSH key that can be used"):
        parse_recipient("ssh-ed25519 AAAA")
    with pytest.raises(RepositoryError, match="holds a private key"):
        read_recipient(tmp_path / "ssh-ecdsa")
    (tmp_path / "ssh-ecdsa").chmod(0o644)
    with pytest.raises(RepositoryError, match="can be read by others"):
        read_keys(tmp_path / "ssh-ecdsa")


def test_private_parts_show_in_no_repr(tmp_path: Path) -> None:
    path = ssh_key(tmp_path)
    key = SshIdentity(path.read_text())
    assert repr(key) == f"SshIdentity(of {SshRecipient(path.with_name(path.name + '.pub').read_text())})"
    assert "right" not in repr(Passphrase("right"))


@pytest.mark.parametrize("kind", ["ed25519", "passphrase"])
def test_the_shell_restores_with_any_kind_of_key(vault: Vault, source: Path, tmp_path: Path, kind: Any) -> None:
    holder, key = new_holder(kind, tmp_path)
    add_key(vault.full, holder)
    with begin(Repository.open(vault.location, [vault.host_key]), "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        writer.commit(Facts())
    if isinstance(key, Passphrase):  # age asks at a terminal only: open what the page's command hands to it
        command = re.search(r"    (sed .*locked.*) \| age -d", PAGE.read_text())
        assert command
        locked = subprocess.run(
            ["/bin/sh", "-c", command[1].replace("REPOSITORY", str(vault.folder))], capture_output=True, check=True
        ).stdout
        identity = key.unlock(locked)
        assert identity
        write_identity(tmp_path / "identity", identity)
        file = tmp_path / "identity"
    else:
        file = tmp_path / "ssh-ed25519"
    script = ShellRestore(tmp_path)
    script.identity = file
    done = script.run(vault.folder, "latest", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert snapshot(tmp_path / "out" / TREE) == snapshot(source)
