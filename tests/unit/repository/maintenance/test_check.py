"""A check of the whole repository tells what is wrong, and which backups and files that hits."""

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from propolis.errors import RepositoryError, UsageError
from propolis.repository import Facts, Identity, Location, Repository
from propolis.repository.format.damage import FOREIGN
from propolis.repository.format.entries import format_entry
from propolis.repository.format.index import Pack, PackedSegments, write_index
from propolis.repository.format.names import hash_name
from propolis.repository.format.text import TextWriter
from propolis.repository.maintenance.check import CheckResult, ReadData, check
from propolis.repository.records.marks import add_hold
from propolis.repository.storage.opening import open_storage
from propolis.repository.write.begin import begin
from unit.repository.repository_tools import TREE, Vault


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def checked(vault: Vault, *, key: str = "recovery", read: bool = True) -> CheckResult:
    identities = {"recovery": [vault.recovery_key], "host": [vault.host_key], "none": []}[key]
    return check(open_storage(vault.location), identities, read_data=ReadData() if read else None)


def test_a_whole_repository_passes(vault: Vault, source: Path) -> None:
    vault.backup(source)
    vault.backup(source)
    result = checked(vault)
    assert result.ok
    assert (result.key_rings, result.backups) == (1, 2)
    assert result.packs == result.packs_read == result.packs_decrypted == len(vault.objects("packs"))
    assert result.stored_bytes_read == sum(path.stat().st_size for path in vault.objects("packs"))
    assert (result.remarks, result.unchecked) == ((), ())


def test_with_the_hosts_key_it_says_that_content_was_not_decrypted(vault: Vault, source: Path) -> None:
    vault.backup(source)
    result = checked(vault, key="host")
    assert result.ok
    assert (result.packs_decrypted, result.packs_read) == (0, result.packs)
    assert ["recovery key" in part for part in result.unchecked] == [True]


@pytest.mark.parametrize("kind", ["keys", "packs", "indexes", "manifests"])
def test_without_any_key_stored_bytes_are_compared_with_their_names(vault: Vault, source: Path, kind: Any) -> None:
    vault.backup(source)
    result = checked(vault, key="none")
    assert result.ok
    assert any("without a key" in part for part in result.unchecked)
    if kind == "keys":  # an old one, since without the newest nothing can be begun
        path = vault.folder / "keys" / ("000000-" + "0" * 64)
        path.write_bytes(b"old")
    path = vault.objects(kind)[0]
    flip(path)
    result = checked(vault, key="none")
    assert [path.name in finding.object for finding in result.findings] == [True]


@pytest.mark.parametrize("name", ["config", "keys"])
def test_damage_to_what_describes_the_repository_is_a_finding(vault: Vault, source: Path, name: Any) -> None:
    vault.backup(source)
    shutil.rmtree(vault.folder / "spare", ignore_errors=True)
    flip(vault.folder / "config" if name == "config" else vault.objects("keys")[0])
    result = checked(vault)
    assert [finding.object for finding in result.findings] == [name]
    assert result.unchecked


def test_a_damaged_pack_names_the_backups_and_files_that_it_hits(vault: Vault, source: Path) -> None:
    first = vault.backup(source)
    (source / "text").write_bytes(b"other")
    second = vault.backup(source)
    largest = max(vault.objects("packs"), key=lambda path: path.stat().st_size)
    flip(largest)
    assert checked(vault, read=False).ok
    [finding] = checked(vault).findings
    assert largest.name in finding.object
    assert [(hit.backup, hit.files) for hit in finding.hits] == [(first.id, 1), (second.id, 1)]
    assert finding.hits[0].examples[0] in (f"{TREE}/deep/large", f"{TREE}/deep/exact")


def test_missing_and_cut_packs_are_found_without_reading(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    first, second, *_ = vault.objects("packs")
    first.unlink()
    os.truncate(second, 100)
    findings = checked(vault, key="host", read=False).findings
    assert {finding.object[-64:]: finding.what for finding in findings} == {
        first.name: "It is missing",
        second.name: findings[1].what,
    }
    assert all(hit.backup == summary.id and hit.files for finding in findings for hit in finding.hits)


def test_a_missing_index_hits_the_files_whose_segments_it_knew(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    for path in vault.objects("indexes"):
        path.unlink()
    result = checked(vault)
    [finding] = result.findings
    assert finding.object.endswith(summary.id[-8:]) or summary.id[-8:] in finding.object
    assert finding.hits[0].files > 40
    assert any("in no index" in remark for remark in result.remarks)


def test_a_damaged_manifest_costs_its_backup_and_no_other(vault: Vault, source: Path) -> None:
    vault.backup(source)
    second = vault.backup(source)
    flip(vault.objects("manifests")[1])
    [finding] = checked(vault).findings
    assert [(hit.backup, hit.files) for hit in finding.hits] == [(second.id, 0)]


@pytest.mark.parametrize("kind", ["holds", "spare"])
def test_damaged_marks_and_spare_key_rings_are_found(vault: Vault, source: Path, kind: Any) -> None:
    summary = vault.backup(source)
    add_hold(vault.host, summary.id, "evidence")
    assert checked(vault, read=False).ok
    flip(vault.objects(kind)[0])
    assert [finding.object.split("/")[0] for finding in checked(vault, read=False).findings] == [kind]


def test_strange_names_and_open_modes_are_remarks(vault: Vault, source: Path) -> None:
    vault.backup(source)
    (vault.folder / "packs" / "notes.txt").write_bytes(b"x")
    (vault.folder / "packs" / "notes.txt").chmod(0o600)
    vault.objects("manifests")[0].chmod(0o644)
    result = checked(vault)
    assert result.ok
    assert "notes.txt" in result.remarks[0]
    assert "accessible to users other" in result.remarks[1]


def test_a_link_in_place_of_an_object_is_a_finding(vault: Vault, source: Path) -> None:
    vault.backup(source)
    path = vault.objects("packs")[0]
    aside = vault.folder.parent / "aside"
    path.rename(aside)
    path.symlink_to(aside)
    assert any(path.name in finding.object for finding in checked(vault).findings)


def test_a_repository_that_is_gone_is_no_finding(vault: Vault, source: Path) -> None:
    vault.backup(source)
    shutil.rmtree(vault.folder)
    with pytest.raises(RepositoryError):
        checked(vault)


def test_a_strangers_key_is_refused(vault: Vault) -> None:
    with pytest.raises(RepositoryError):
        check(open_storage(vault.location), [Identity.generate()])


def test_an_index_whose_segments_leave_a_gap_is_found(vault: Vault, source: Path) -> None:
    vault.backup(source)
    pack = Pack("ab" * 32, 300, 100, "plain")
    stored = write_index([PackedSegments(pack, [(bytes(32), 0, 50)])], vault.full.key, vault.full.ring.recipients())
    name = f"indexes/{hash_name(stored)}"
    vault.full.storage.put(name, stored)
    found = {finding.object: finding.what for finding in checked(vault).findings}
    assert "don't add up" in found[name]


def test_a_genuine_manifest_that_breaks_the_rules_is_found(vault: Vault, source: Path) -> None:
    summary = vault.backup(source)
    real = list(vault.full.manifest(summary.id).entries())
    text = TextWriter(vault.full.key)
    for entry in [*real, real[-1]]:
        text.add(format_entry(entry))
    stored = text.finish(msgspec.json.encode(summary.header), vault.full.ring.recipients())
    vault.full.storage.put(f"manifests/{summary.id[:16]}-{hash_name(stored)}", stored)
    [finding] = checked(vault).findings
    assert "twice" in finding.what


@pytest.mark.parametrize(("text", "expected"), [("all", (100, 1, 1)), ("2.5%", (2.5, 1, 1)), ("2/7", (100, 2, 7))])
def test_amounts_of_data_are_understood(text: Any, expected: Any) -> None:
    amount = ReadData.parse(text)
    assert (amount.percent, amount.part, amount.parts) == expected


@pytest.mark.parametrize("text", ["", "0%", "101%", "0/3", "4/3", "x", "1/0"])
def test_impossible_amounts_are_refused(text: Any) -> None:
    with pytest.raises(UsageError):
        ReadData.parse(text)


def test_all_parts_together_read_every_pack_once() -> None:
    digests = [hash_name(bytes([number])) for number in range(200)]
    chosen = [digest for part in range(1, 8) for digest in ReadData(part=part, parts=7).choose(digests)]
    assert sorted(chosen) == sorted(digests)


def test_a_share_by_chance_has_its_size_and_at_least_one() -> None:
    digests = [hash_name(bytes([number])) for number in range(200)]
    assert len(set(ReadData(percent=10).choose(digests))) == 20
    assert len(ReadData(percent=0.01).choose(digests)) == 1


def test_what_is_encrypted_to_strangers_is_called_that_and_not_damaged(
    vault: Vault, source: Path, tmp_path: Path
) -> None:
    vault.backup(source)
    stranger = Identity.generate()
    other = Repository.init(Location(str(tmp_path / "other")), [stranger.recipient], stranger)
    with begin(other, "hive") as writer:
        writer.add_folder("files", TREE, source, Path("/original"))
        writer.commit(Facts())
    foreign = [path for kind in ("indexes", "manifests") for path in (tmp_path / "other" / kind).iterdir()]
    for path in foreign:
        shutil.copy(path, vault.folder / path.relative_to(tmp_path / "other"))
    found = {finding.object: finding.what for finding in checked(vault).findings}
    assert found == {f"{path.parent.name}/{path.name}": FOREIGN for path in foreign}
