"""Backups, prunes, copies, holds and verifications: killed or asleep anywhere, in any order, as time passes."""

import contextlib
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from propolis.config.places import KeepConfig, RetentionConfig
from propolis.errors import BusyError, PropolisError
from propolis.repository import Facts, Identity, Repository, verify
from propolis.repository.access.leases import LeaseKind, leases
from propolis.repository.maintenance.copy import copy_repository
from propolis.repository.maintenance.prune import PruneResult, prune
from propolis.repository.records.marks import add_hold, record_verification, release_holds
from propolis.repository.storage.base import Storage
from propolis.repository.write.begin import begin
from unit.repository.prune_tools import Clocks, Dated, Killed, Process, View, no_garbage, restores
from unit.repository.repository_tools import TREE

RULES = st.builds(
    RetentionConfig,
    keep=st.builds(KeepConfig, last=st.sampled_from([1, 2, 1, 3, 0]), daily=st.sampled_from([0, 0, 1])),
    min_verified=st.sampled_from([0, 0, 1, 2]),
    min_fill=st.sampled_from([50, 100, 0]),
    grace_hours=st.sampled_from([0, 0, 24]),
)
PLACES = ("main", "copy")
WHERE = st.sampled_from(["main", "main", "copy"])
PICK = st.integers(0, 9)
WHEN = st.integers(1, 99)
"""Of all that a run does, after how many percent something happens to it."""
OTHERS = st.lists(
    st.tuples(
        st.sampled_from(["prune", "backup", "copy", "prune of the copy", "hold", "days"]), RULES, st.just(50), PICK
    ),
    max_size=2,
)
"""What else goes by while somebody sleeps; with 0 as the last of each, it is killed halfway."""
EVENTS = (
    *(f"{how} {what}" for how in ("killed", "sleeping") for what in ("backup", "copy", "prune")),
    *(f"{what} that slept and noticed" for what in ("backup", "prune")),
    *(f"prune that {did}" for did in ("removed backups", "removed packs", "repacked", "spared young packs")),
)
"""What the orders of events have to reach."""
ALL_STAY = RetentionConfig(min_fill=100, grace_hours=0)
MEMORY = Path("/dev/shm")  # waiting for a disk again and again would take most of the time

Open = Callable[[str], Storage]


@dataclass
class Run:
    """One command: what it does, with the storages that it asks for."""

    what: str
    places: tuple[str, ...]
    lease: LeaseKind
    work: Callable[[Open], Any]
    rules: RetentionConfig | None = None
    """Those of a prune."""


class Interleaved(RuleBasedStateMachine):
    """No rule has a precondition: how far a killed run got differs from time to time, what is tried next must not."""

    reached: ClassVar[Counter[str]] = Counter()
    """How often what this test is about did happen, over all examples."""

    @initialize(seed=st.integers(0, 1 << 32))
    def start(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.host, self.recovery = Identity.generate(), Identity.generate()
        self.stack = contextlib.ExitStack()
        self.clocks = Clocks()
        self.stack.enter_context(self.clocks.rule())
        self.stores = {place: Dated(clocks=self.clocks) for place in PLACES}
        Repository.create(
            self.stores["main"],
            [self.recovery.recipient],
            self.host,
            segment_bytes=1 << 16,
        )
        self.sources: dict[str, Path] = {}
        self.known: dict[str, dict[str, str]] = {place: {} for place in PLACES}
        self.may_go: dict[str, set[str]] = {place: set() for place in PLACES}
        self.held: set[str] = set()
        self.brought: set[str] = set()
        """Backups that a sleeping copy brings, and may take back when it wakes."""
        self.whole: dict[str, tuple[frozenset[str], set[str]]] = {}
        for _ in range(2):
            self.backup()
        self.copy()
        self.backup()
        self.days_pass()

    # -- what runs -------------------------------------------------------------------------------------------------

    def a_backup(self) -> Run:
        source = self.changed()

        def work(open: Open) -> None:
            with begin(Repository(open("main"), [self.host]), "hive", workers=1) as writer:
                writer.add_folder("files", TREE, source, Path("/original"))
                writer.commit(Facts())

        return Run("backup", ("main",), "shared", work)

    def a_prune(self, place: str, rules: RetentionConfig, with_key: bool) -> Run:
        key = self.recovery if with_key else self.host
        return Run(
            "prune",
            (place,),
            "exclusive",
            lambda open: prune(Repository(open(place), [key]), rules, "hive"),
            rules,
        )

    def a_copy(self) -> Run:
        return Run("copy", PLACES, "shared", lambda open: copy_repository(open("main"), open("copy")))

    def changed(self) -> Path:
        """A new state of what is backed up: three files of the last one are others."""
        before = list(self.sources.values())
        source = self.root / str(len(before))
        if before:
            # As a clone has them: what didn't change is the same file.
            shutil.copytree(before[-1], source, copy_function=os.link)
        else:
            source.mkdir()
        for name in self.chance.sample(range(6), 3):
            (source / str(name)).unlink(missing_ok=True)
            content = self.chance.randbytes(self.chance.choice([10, 2000, 9000, 30_000, 140_000]))
            if self.chance.random() < 0.5:
                content = content[::2].hex().encode()  # it can be compressed, and goes to packs of its own
            (source / str(name)).write_bytes(content)
        self.sources[restores(source)] = source
        return source

    # -- how it runs -----------------------------------------------------------------------------------------------

    def perform(
        self, run: Run, process: Process | None = None, *, slept: Sequence[bool] = (), mend: bool = False
    ) -> None:
        """Run to the end, or as far as `process` gets; what goes wrong has to have a reason."""
        process = process or Process()
        busy = self.is_busy(run)
        planned = self.plan(run)
        try:
            result = run.work(lambda place: View(self.stores[place], process))
        except Killed:
            assert process.dead
            self.reached[f"killed {run.what}"] += 1
        except BusyError:
            assert busy or slept
        except PropolisError:
            assert slept  # others went by, and it noticed
            self.reached[f"{run.what} that slept and noticed"] += 1
        else:
            assert slept or not busy
            self.count(run, result)
            if isinstance(result, PruneResult):
                assert not result.findings
                assert slept or set(result.removed) == planned
        self.clocks.set()
        if slept and run.what == "copy" and mend:
            # What it took back when it woke, the copy that went by had counted upon: the next one brings it.
            self.leases_expire()
            self.a_copy().work(self.stores.__getitem__)
        self.take_stock()

    def is_busy(self, run: Run) -> bool:
        found = [lease.kind for place in run.places for lease in leases(self.stores[place]) if not lease.expired]
        return bool(found) if run.lease == "exclusive" else "exclusive" in found

    def plan(self, run: Run) -> set[str]:
        """Note what a prune may remove."""
        if run.rules is None or not self.known[run.places[0]]:
            return set()
        place = run.places[0]
        found = prune(Repository(self.stores[place], [self.host]), run.rules, "hive", plan=True).removed
        self.may_go[place] |= set(found)
        return set(found)

    def length(self, run: Run, *, changes_only: bool) -> int:
        """How many things a run would do."""
        trial, counts = (
            {place: store.clone() for place, store in self.stores.items()},
            Process(changes_only=changes_only),
        )
        with contextlib.suppress(PropolisError):
            run.work(lambda place: View(trial[place], counts))
        return counts.done

    def kill(self, run: Run, when: int) -> None:
        at = 1 + self.length(run, changes_only=True) * when // 100
        self.perform(run, Process(at, changes_only=True))

    def count(self, run: Run, result: Any) -> None:
        self.reached[run.what] += 1
        if isinstance(result, PruneResult):
            self.reached["prune that removed backups"] += bool(result.removed)
            self.reached["prune that removed packs"] += bool(result.packs_removed)
            self.reached["prune that repacked"] += bool(result.packs_repacked)
            self.reached["prune that spared young packs"] += bool(result.packs_young)

    # -- rules -----------------------------------------------------------------------------------------------------

    @rule()
    def backup(self) -> None:
        self.perform(self.a_backup())

    @rule()
    def copy(self) -> None:
        self.perform(self.a_copy())

    @rule(where=WHERE, rules=RULES, with_key=st.booleans())
    def prune(self, where: str, rules: RetentionConfig, with_key: bool) -> None:
        if self.known[where]:
            self.perform(self.a_prune(where, rules, with_key))

    @rule(when=WHEN)
    def killed_backup(self, when: int) -> None:
        self.kill(self.a_backup(), when)

    @rule(when=WHEN)
    def killed_copy(self, when: int) -> None:
        self.some_leases_expire(when)
        self.perform(self.a_backup())
        self.kill(self.a_copy(), when)

    @rule(where=WHERE, rules=RULES, with_key=st.booleans(), when=WHEN)
    def killed_prune(self, where: str, rules: RetentionConfig, with_key: bool, when: int) -> None:
        self.some_leases_expire(when)
        if self.known[where]:
            self.kill(self.a_prune(where, rules, with_key), when)

    @rule(rules=RULES, when=WHEN, others=OTHERS)
    def sleeping_backup(self, rules: RetentionConfig, when: int, others: Any) -> None:
        self.sleep(self.a_backup(), when, [("prune", rules, when, 1), *others])

    @rule(where=WHERE, rules=RULES, when=WHEN, others=OTHERS)
    def sleeping_copy(self, where: str, rules: RetentionConfig, when: int, others: Any) -> None:
        self.some_leases_expire(when)
        self.perform(self.a_backup())
        self.sleep(
            self.a_copy(), when, [("prune" if where == "main" else "prune of the copy", rules, when, 1), *others]
        )

    @rule(where=WHERE, rules=RULES, with_key=st.booleans(), when=WHEN, pick=PICK, others=OTHERS)
    def sleeping_prune(
        self, where: str, rules: RetentionConfig, with_key: bool, when: int, pick: int, others: Any
    ) -> None:
        first = "copy" if where == "copy" else "hold" if pick % 2 else "backup"
        if self.known[where]:
            self.sleep(self.a_prune(where, rules, with_key), when, [(first, rules, when, pick), *others])

    def sleep(self, run: Run, when: int, others: Sequence[tuple[str, RetentionConfig, int, int]]) -> None:
        """The host of a run freezes, clock and all, for longer than its lease lasts, and others go by."""
        self.some_leases_expire(when)
        slept: list[bool] = []

        def others_go_by() -> None:
            slept.append(True)
            self.reached[f"sleeping {run.what}"] += 1
            with self.clocks.asleep():
                for other in others:
                    self.go_by(*other)
                self.plan(run)  # it may not have looked yet

        at = 1 + self.length(run, changes_only=False) * when // 100
        if run.what == "copy":
            self.brought = self.known["main"].keys() - self.known["copy"].keys()
        mend = any(what == "copy" for what, *_ in others)
        self.perform(run, Process(at, others_go_by), slept=slept, mend=mend)
        self.brought = set()

    def go_by(self, what: str, rules: RetentionConfig, when: int, pick: int) -> None:
        if what == "hold":
            self.hold(pick)
        elif what == "days":
            self.days_pass()
        elif what != "prune of the copy" or self.known["copy"]:
            makers: dict[str, Callable[[], Run]] = {
                "backup": self.a_backup,
                "copy": self.a_copy,
                "prune": lambda: self.a_prune("main", rules, with_key=when % 2 == 0),
                "prune of the copy": lambda: self.a_prune("copy", rules, with_key=when % 2 == 0),
            }
            run = makers[what]()
            if pick == 0:
                self.kill(run, when)
            else:
                self.perform(run)

    @rule(pick=PICK)
    def hold(self, pick: int) -> None:
        host = Repository(self.stores["main"], [self.host])
        if not self.known["main"] or any(o.kind == "exclusive" and not o.expired for o in leases(host.storage)):
            return
        id: Any = sorted(self.known["main"])[pick % len(self.known["main"])]
        if id in self.held:
            release_holds(host, id)
            self.held.remove(id)
        else:
            add_hold(host, id, "because")
            self.held.add(id)

    @rule(pick=PICK)
    def verify(self, pick: int) -> None:
        if self.known["main"]:
            id: Any = sorted(self.known["main"])[pick % len(self.known["main"])]
            host = Repository(self.stores["main"], [self.host])
            record_verification(host, verify(host, id, "full"))

    @rule()
    def leases_expire(self) -> None:
        for store in self.stores.values():
            store.expire_leases()

    def some_leases_expire(self, when: int) -> None:
        """Mostly: those of killed runs would keep most others from their work."""
        if when % 4:
            self.leases_expire()

    @rule()
    def days_pass(self) -> None:
        for store in self.stores.values():
            store.age()

    # -- what must hold --------------------------------------------------------------------------------------------

    def take_stock(self) -> None:
        """Which backups came and went, and whether they were allowed to."""
        for place, store in self.stores.items():
            known = self.known[place]
            there = {f"{name[10:26]}-{name[27:35]}" for name in store.names("manifests")}
            gone = known.keys() - there
            pruned = gone - self.brought if place == "copy" else gone
            assert pruned <= self.may_go[place]
            assert not pruned or max(there) > max(pruned)
            if place == "main":
                assert not gone & self.held
            for id in gone:
                del known[id]
            for id in there - known.keys():
                known[id] = restores(Repository(store, [self.recovery]), id)
                assert known[id] in self.sources

    @invariant()
    def every_backup_is_whole(self) -> None:
        if not hasattr(self, "known"):
            return
        for place, store in self.stores.items():
            self.may_go[place] = set()
            parts = frozenset(store.names("packs", "indexes"))
            before, seen = self.whole.get(place, (None, set[str]()))
            seen = seen if before == parts else set()
            self.whole[place] = parts, seen
            if not self.known[place].keys() - seen:
                continue
            full = Repository(store, [self.recovery])
            named = {pack.hash for pack in full.load_table().packs}
            assert named <= {name[-64:] for name in parts}  # whoever backs up next relies on it
            for id in self.known[place].keys() - seen:
                result = verify(full, id, "full")  # type: ignore[arg-type]
                assert result.ok, result.findings
                assert result.decrypted
                seen.add(id)

    def teardown(self) -> None:
        if not hasattr(self, "known"):
            return
        try:
            self.leases_expire()
            self.copy()
            assert self.known["main"].items() <= self.known["copy"].items()
            for place, store in self.stores.items():
                for _ in range(2):
                    self.leases_expire()
                    self.days_pass()
                    self.perform(self.a_prune(place, ALL_STAY, with_key=True))
                full = Repository(store, [self.recovery])
                no_garbage(full)
                for id, content in self.known[place].items():
                    assert restores(full, id) == content
        finally:
            self.stack.close()
            shutil.rmtree(self.root)


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
def test_no_order_of_events_costs_a_byte_or_leaves_garbage() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Interleaved.reached.clear()
    run_state_machine_as_test(
        Interleaved,
        settings=settings(
            max_examples=36,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # Orders in which little happens would prove little.
    assert [event for event in EVENTS if not Interleaved.reached[event]] == []
