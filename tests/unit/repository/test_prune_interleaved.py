"""Backups, prunes, holds, verifications, kills and passing time, in any order."""

import contextlib
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from propolis.config.schema import KeepConfig, RetentionConfig
from propolis.errors import BusyError, PropolisError, RepositoryError
from propolis.repository import Facts, Identity, Location, Repository, verify
from propolis.repository.locks import leases
from propolis.repository.marks import add_hold, record_verification, release_holds
from propolis.repository.prune import prune
from unit.repository.prune_tools import Dying, Killed, age, expire_leases, no_garbage_is_left, remaining, restores
from unit.repository.repository_tools import TREE, Vault

RULES = st.builds(
    RetentionConfig,
    keep=st.builds(KeepConfig, last=st.sampled_from([1, 2, 1, 3, 0]), daily=st.integers(0, 1)),
    min_verified=st.sampled_from([0, 0, 1, 2]),
    min_fill=st.sampled_from([0, 50, 100]),
    grace_hours=st.sampled_from([0, 0, 24]),
)
PICK = st.integers(0, 9)
ALL_STAY = RetentionConfig(min_fill=100, grace_hours=0)
MEMORY = Path("/dev/shm")  # waiting for a disk again and again would take most of the time


class Interleaved(RuleBasedStateMachine):
    """No rule has a precondition: how far a killed run got differs from time to time, what is tried next must not."""

    @initialize(seed=st.integers(0, 1 << 32))
    def start(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        host, recovery = Identity.generate(), Identity.generate()
        location = Location(str(self.root / "vault"))
        opened = Repository.init(location, [recovery.recipient], host, segment_bytes=1 << 16)
        self.vault = Vault(self.root / "vault", host, recovery, opened, Repository.open(location, [recovery]))
        self.source = self.root / "source"
        self.source.mkdir()
        self.contents: dict[str, str] = {}
        self.held: set[str] = set()
        self.writer: Any = None
        self.writes = ""
        for _ in range(3):
            self.backup()
        age(self.vault.folder)

    def change(self) -> None:
        for _ in range(3):
            name = str(self.chance.randrange(6))
            content = self.chance.randbytes(self.chance.choice([10, 2000, 9000, 30_000, 140_000]))
            (self.source / name).write_bytes(content)

    @rule()
    def backup(self) -> None:
        if self.in_use("exclusive"):
            return
        self.change()
        self.contents[self.vault.backup(self.source).id] = restores(self.source)

    @rule()
    def begin_backup(self) -> None:
        if self.in_use("exclusive") or self.writer is not None:
            return
        self.change()
        self.writes = restores(self.source)
        # A run of its own: what it put and finds gone before a flush is lost to it for good, and to nobody else.
        run = Repository.open(self.vault.location, [self.vault.host_key])
        self.writer = run.writer("hive").__enter__()
        self.writer.add_folder("files", TREE, self.source, Path("/original"))
        self.writer._hand_out()
        self.writer._drain(wait=True)

    @rule(commit=st.booleans())
    def end_backup(self, commit: bool) -> None:
        if self.writer is None:
            return
        writer, self.writer = self.writer, None
        there = (self.vault.folder / writer._lease._name).exists()
        try:
            with contextlib.ExitStack() as stack:
                stack.push(writer.__exit__)
                if commit:
                    self.contents[writer.commit(Facts()).id] = self.writes
        except RepositoryError:
            assert not there  # time passed it by, and it noticed

    @rule(after=st.integers(1, 14))
    def killed_backup(self, after: int) -> None:
        if self.in_use("exclusive"):
            return
        self.change()
        content = restores(self.source)
        with contextlib.suppress(Killed, PropolisError):
            host = Repository(Dying(self.vault.folder, after), [self.vault.host_key])
            with host.writer("hive") as writer:
                writer.add_folder("files", TREE, self.source, Path("/original"))
                writer.commit(Facts())
        for id in remaining(self.vault):
            self.contents.setdefault(id, content)  # killed when its manifest was written already

    @rule(rules=RULES, with_key=st.booleans())
    def prune(self, rules: RetentionConfig, with_key: bool) -> None:
        self.try_prune(rules, with_key, None)

    @rule(rules=RULES, with_key=st.booleans(), after=st.integers(1, 14))
    def killed_prune(self, rules: RetentionConfig, with_key: bool, after: int) -> None:
        self.leases_expire()  # those of killed runs, and of a sleeping one, would keep most prunes from their work
        self.try_prune(rules, with_key, after)

    @rule(rules=RULES, with_key=st.booleans(), commit=st.booleans())
    def sleep_while_a_prune_goes_by(self, rules: RetentionConfig, with_key: bool, commit: bool) -> None:
        self.begin_backup()
        self.leases_expire()
        self.try_prune(rules, with_key, None)
        self.end_backup(commit)

    def try_prune(self, rules: RetentionConfig, with_key: bool, after: int | None) -> None:
        busy = self.in_use("exclusive") or self.in_use("shared")
        key = self.vault.recovery_key if with_key else self.vault.host_key
        repository = Repository(Dying(self.vault.folder, after or 1 << 30), [key])
        may_go = set(prune(self.vault.host, rules, "hive", plan=True).removed)
        assert not may_go & self.held
        assert not self.contents or max(self.contents) not in may_go
        try:
            result = prune(repository, rules, "hive")
            assert not busy
            assert set(result.removed) == may_go
            assert not result.findings
        except BusyError:
            assert busy
        except Killed:
            assert after is not None
        gone = self.contents.keys() - set(remaining(self.vault))
        assert gone <= may_go
        for id in gone:
            del self.contents[id]

    @rule(pick=PICK)
    def hold(self, pick: int) -> None:
        if not self.contents or self.in_use("exclusive"):
            return
        id = sorted(self.contents)[pick % len(self.contents)]
        if id in self.held:
            release_holds(self.vault.host, id)  # type: ignore[arg-type]
            self.held.remove(id)
        else:
            add_hold(self.vault.host, id, "because")  # type: ignore[arg-type]
            self.held.add(id)

    @rule(pick=PICK)
    def verify(self, pick: int) -> None:
        if not self.contents:
            return
        id = sorted(self.contents)[pick % len(self.contents)]
        record_verification(self.vault.host, verify(self.vault.host, id, "full"))  # type: ignore[arg-type]

    @rule()
    def leases_expire(self) -> None:
        expire_leases(self.vault.folder)

    @rule()
    def days_pass(self) -> None:
        age(self.vault.folder)

    @invariant()
    def every_backup_is_whole(self) -> None:
        if not hasattr(self, "vault"):
            return
        assert set(remaining(self.vault)) == set(self.contents)
        for id in self.contents:
            result = verify(self.vault.full, id, "full")  # type: ignore[arg-type]
            assert result.ok, result.findings
            assert result.decrypted

    @invariant()
    def indexes_name_nothing_that_is_gone(self) -> None:
        if hasattr(self, "vault"):
            stored = {path.name for path in self.vault.objects("packs")}
            assert {pack.hash for pack in self.vault.host.load_table().packs} <= stored

    def in_use(self, kind: str) -> bool:
        return any(lease.kind == kind and not lease.expired for lease in leases(self.vault.host.storage))

    def teardown(self) -> None:
        if not hasattr(self, "vault"):
            return
        try:
            if self.writer is not None:
                self.end_backup(False)
            for _ in range(2):
                expire_leases(self.vault.folder)
                age(self.vault.folder)
                prune(self.vault.full, ALL_STAY, "hive")
            no_garbage_is_left(self.vault)
            for id, content in self.contents.items():
                assert restores(self.vault, id) == content
        finally:
            shutil.rmtree(self.root)


@pytest.mark.slow
def test_no_order_of_events_costs_a_byte_or_leaves_garbage() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Interleaved,
        settings=settings(
            max_examples=40,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
