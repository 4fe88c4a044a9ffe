"""Which backups stay is decided by rules alone."""

import datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from propolis.config.places import KeepConfig
from propolis.repository.format.entries import BackupId
from propolis.repository.maintenance.retention import Candidate, decide
from propolis.repository.model import Verification
from propolis.repository.records.marks import Marks, standing

START = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def at(hours: float, stack: str = "hive", **known: Any) -> Candidate:
    time = START + datetime.timedelta(hours=hours)
    return Candidate(BackupId(f"{time:%Y%m%dT%H%M%SZ}-{stack[:8]}"), time, stack, **known)


def kept(backups: list[Candidate], min_verified: int = 0, **keep: int) -> list[Candidate]:
    stays = {d.id for d in decide(backups, KeepConfig(**keep), min_verified) if d.keep}
    return [backup for backup in backups if backup.id in stays]


def test_without_rules_all_stay() -> None:
    backups = [at(hour) for hour in range(5)]
    assert kept(backups) == backups


def test_the_last_ones_stay() -> None:
    backups = [at(hour) for hour in range(5)]
    assert kept(backups, last=2) == backups[3:]


def test_the_newest_of_each_day_stays_however_many_days_had_none() -> None:
    backups = [at(hour) for hour in (0, 2, 30, 31, 24 * 40, 24 * 40 + 1)]
    assert kept(backups, daily=2) == [backups[3], backups[5]]
    assert kept(backups, daily=3) == [backups[1], backups[3], backups[5]]


def test_hours_weeks_months_and_years_work_alike() -> None:
    backups = [at(24 * 30 * number) for number in range(30)]
    assert kept(backups, yearly=2) == [backups[24], backups[29]]
    assert len(kept(backups, monthly=6)) == 6
    assert len(kept(backups, weekly=4)) == 4
    quarters = [at(number / 4) for number in range(16)]
    assert kept(quarters, hourly=3) == [quarters[7], quarters[11], quarters[15]]


def test_weeks_begin_on_monday_also_over_new_year() -> None:
    sunday = datetime.datetime(2027, 1, 3, 12, tzinfo=datetime.UTC)
    hours = (sunday - START).total_seconds() / 3600
    backups = [at(hours - 24 * 3), at(hours), at(hours + 24)]  # Thursday of last year, Sunday, Monday
    assert kept(backups, weekly=2) == backups[1:]


def test_each_stack_has_its_own_last_ones() -> None:
    backups = [at(hour, stack) for hour, stack in enumerate(["a", "a", "b", "a", "b", "a"])]
    assert kept(backups, last=1) == [backups[4], backups[5]]


def test_a_damaged_backup_takes_no_good_ones_place() -> None:
    backups = [at(0), at(1), at(2, bad=True), at(3, bad=True)]
    assert kept(backups, last=1) == [backups[1], backups[3]]
    assert kept(backups, daily=1) == [backups[1], backups[3]]


def test_the_last_verified_ones_stay_and_where_there_are_too_few_the_newest_others() -> None:
    backups = [at(0, verified=True), at(1), at(2, verified=True), at(3), at(4, bad=True), at(5)]
    assert kept(backups, 1, last=1) == [backups[2], backups[5]]
    assert kept(backups, 2, last=1) == [backups[0], backups[2], backups[5]]
    assert kept(backups, 3, last=1) == [backups[0], backups[2], backups[5]]
    assert kept(backups, 4, last=1) == [backups[0], backups[2], backups[3], backups[5]]


def test_every_backup_that_stays_has_its_reasons() -> None:
    decisions = decide([at(0, held=True), at(1, unsure=True), at(2), at(3)], KeepConfig(last=1), 0)
    assert [d.keep for d in decisions] == [True, True, False, True]
    assert decisions[0].reasons == ("held",)
    assert "can't be read" in decisions[1].reasons[0]
    assert decisions[2].reasons == ("no rule keeps it",)
    assert decisions[3].reasons[0] == "the newest"


CANDIDATES = st.lists(
    st.builds(
        lambda hours, stack, state, held: at(
            hours / 10, stack, verified=state == "verified", bad=state == "bad", held=held
        ),
        st.integers(0, 30_000),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["verified", "bad", "unknown"]),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda backup: backup.id,
)
KEEP = st.builds(KeepConfig, **{name: st.integers(0, 4) for name in KeepConfig.model_fields})


@given(CANDIDATES, KEEP, st.integers(0, 4))
def test_what_must_never_go_never_goes(backups: list[Candidate], keep: KeepConfig, min_verified: int) -> None:
    decisions = {d.id: d for d in decide(backups, keep, min_verified)}
    assert set(decisions) == {backup.id for backup in backups}
    for stack in ("a", "b"):
        mine = sorted((b for b in backups if b.stack == stack), key=lambda b: b.time)
        stays = [b for b in mine if decisions[b.id].keep]
        assert stays[-1:] == mine[-1:]
        assert {b.id for b in mine if b.held} <= {b.id for b in stays}
        verified = [b for b in mine if b.verified]
        assert set(verified[len(verified) - min(min_verified, len(verified)) :]) <= set(stays)
        good = [b for b in mine if not b.bad]
        assert len([b for b in stays if not b.bad]) >= min(len(good), max(1, min_verified, keep.last))


@given(CANDIDATES, KEEP, st.integers(0, 4))
def test_deciding_again_about_what_stayed_removes_nothing_more(
    backups: list[Candidate], keep: KeepConfig, min_verified: int
) -> None:
    once = {d.id for d in decide(backups, keep, min_verified) if d.keep}
    again = decide([backup for backup in backups if backup.id in once], keep, min_verified)
    assert all(decision.keep for decision in again)


@given(CANDIDATES, KEEP, st.integers(0, 4))
def test_every_rule_is_kept_to_exactly_when_nothing_else_speaks(
    backups: list[Candidate], keep: KeepConfig, min_verified: int
) -> None:
    plain = [Candidate(b.id, b.time, b.stack) for b in backups if b.stack == "a"]
    if not any(keep.model_dump().values()):
        return
    for decision in decide(plain, keep, 0):
        later = [b.time for b in plain if b.id > decision.id]
        time = next(b.time for b in plain if b.id == decision.id)
        wanted = not later or len(later) < keep.last
        for name, mark in (("hourly", "%Y%m%d%H"), ("daily", "%Y%m%d"), ("monthly", "%Y%m"), ("yearly", "%Y")):
            periods = {f"{t:{mark}}" for t in later}
            wanted |= f"{time:{mark}}" not in periods and len(periods) < getattr(keep, name)
        weeks = {t.isocalendar()[:2] for t in later}
        wanted |= time.isocalendar()[:2] not in weeks and len(weeks) < keep.weekly
        assert decision.keep == wanted


def mark(second: int, level: str, ok: bool) -> Verification:
    return Verification("id", level, ok, False, f"2026-01-01T00:00:{second:02}Z", "me")


def test_only_a_full_success_refutes_a_failure() -> None:
    failed = mark(1, "sample", False)
    sample, full = mark(2, "sample", True), mark(3, "full", True)
    assert standing([]) is None
    assert standing([sample, failed]) is failed
    assert standing([full, failed, sample]) is full
    assert standing([full, mark(4, "manifest", False)]).ok is False  # type: ignore[union-attr]
    assert standing([full, mark(5, "sample", True)]) is full
    assert standing([sample]) is sample


def test_a_success_of_the_future_refutes_no_failure_by_its_date() -> None:
    failed = mark(1, "full", False)
    future = msgspec.structs.replace(mark(2, "full", True), at="2999-01-01T00:00:00Z")
    assert standing([failed, future]) is failed
    assert standing([future]) is future


def test_a_failure_of_the_future_is_refuted_by_a_success_that_knew_of_it() -> None:
    future = msgspec.structs.replace(mark(1, "full", False), at="2999-01-01T00:00:00Z")
    success = mark(2, "full", True)
    marks = Marks(verifications={"id": {"one": future, "two": success}})
    assert marks.standing("id") is future
    marks.verifications["id"]["two"] = msgspec.structs.replace(success, refutes=["one"])
    assert marks.standing("id") is marks.verifications["id"]["two"]
    marks.verifications["id"]["three"] = mark(3, "full", False)
    assert marks.standing("id") is marks.verifications["id"]["three"]
