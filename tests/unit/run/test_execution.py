"""Steps are done and undone by numbers, in turn; what several hosts prepared is kept or undone by one verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.errors import InDoubt, PropolisError, ServicesDownError
from propolis.run import Execution, Journal, Plan, Results, SilentObserver, Step, Verdict, execute, read_journal
from propolis.run.execution import Kept, OutOfTurn
from propolis.run.interrupts import Interrupts
from propolis.run.journal import new_run_id
from propolis.run.recovering import recover
from propolis.run.step import tag_of


class Folder:
    """Marks are files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0

    def marks(self) -> set[str]:
        return {path.name for path in self.path.iterdir() if path.suffix != ".jsonl"}


class Mark(Step[Folder, None], frozen=True, kw_only=True, tag="mark"):
    name: str
    fails: bool = False
    undo_fails: bool = False

    def _title(self) -> str:
        return f"mark {self.name}"

    def do(self, context: Folder, results: Results) -> None:
        (context.path / self.name).touch()
        if self.fails:
            raise PropolisError("it failed")

    def undo(self, context: Folder) -> None:
        if self.undo_fails:
            raise ServicesDownError("could not bring it back")
        (context.path / self.name).unlink(missing_ok=True)


class Prepare(Mark, frozen=True, kw_only=True, tag="prepare"):
    prepares = True


class Accept(Mark, frozen=True, kw_only=True, tag="accept"):
    commits = True


class Needy(Mark, frozen=True, kw_only=True, tag="needy"):
    needs = (Mark,)


KNOWN = {tag_of(kind): kind for kind in (Mark, Prepare, Accept)}
PREPARED = (Mark(name="a"), Prepare(name="p"), Accept(name="c"), Mark(name="d"))


def says(word: Literal["keep", "undo"]) -> Verdict[Folder]:
    def verdict(context: Folder) -> Literal["keep", "undo"]:
        context.asked += 1
        return word

    return verdict


def out_of_reach(context: Folder) -> Literal["keep", "undo"]:
    context.asked += 1
    raise InDoubt("The repository does not answer")


def begin(
    folder: Path, *steps: Mark, verdict: Verdict[Folder] | None = None
) -> tuple[Execution[Folder], Folder, Journal]:
    plan, world = Plan("test", steps), Folder(folder)
    journal = Journal.create(
        folder,
        run_id=new_run_id(),
        command="test",
        steps=plan.builtins(),
        commit=plan.commit,
        prepare=plan.prepare,
        facts={},
    )
    return Execution(plan, world, journal, SilentObserver(), Interrupts(), verdict), world, journal


def state_of(journal: Journal):  # type: ignore[no-untyped-def]
    state = read_journal(journal.path)
    assert state is not None
    return state


def test_one_that_never_began_needs_no_undoing(tmp_path: Path) -> None:
    run, world, journal = begin(tmp_path, Mark(name="a"), Mark(name="b"))
    run.do(0)
    run.undo(1)
    assert world.marks() == {"a"}
    assert run.settled is None
    with pytest.raises(OutOfTurn):
        run.do(1)
    assert state_of(journal).undone == set()


@given(orders=st.lists(st.tuples(st.booleans(), st.integers(-1, 4)), max_size=12))
def test_orders_in_any_order_never_leave_a_step_undone_before_a_later_one(
    tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[bool, int]]
) -> None:
    run, world, journal = begin(tmp_path_factory.mktemp("run"), *(Mark(name=str(n)) for n in range(4)))
    for does, number in orders:
        before = world.marks()
        try:
            run.do(number) if does else run.undo(number)
        except OutOfTurn:
            assert world.marks() == before
        assert world.marks() == {str(n) for n in range(len(world.marks()))}
        assert (run.settled is None) == (0 < len(world.marks()) < 4 or (bool(world.marks()) and bool(run._undone)))
    assert set(state_of(journal).begun) == set(run.begun)


def test_a_step_whose_undo_failed_may_be_tried_again_and_hides_no_other(tmp_path: Path) -> None:
    run, world, _ = begin(tmp_path, Mark(name="a"), Mark(name="b", undo_fails=True))
    run.do(0)
    run.do(1)
    for _ in range(2):
        with pytest.raises(ServicesDownError):
            run.undo(1)
    run.undo(0)
    assert run.settled is None
    assert world.marks() == {"b"}


def test_a_step_that_failed_has_begun_and_nothing_is_done_after_it_was_undone(tmp_path: Path) -> None:
    run, world, _ = begin(tmp_path, Mark(name="a", fails=True), Mark(name="b"))
    with pytest.raises(PropolisError, match="it failed"):
        run.do(0)
    assert run.settled is None
    run.undo(0)
    assert run.settled == "undone"
    with pytest.raises(OutOfTurn):
        run.do(1)
    assert world.marks() == set()


def test_behind_the_commit_point_nothing_is_undone(tmp_path: Path) -> None:
    run, world, _ = begin(tmp_path, Mark(name="a"), Accept(name="c"))
    run.do(0)
    run.do(1)
    with pytest.raises(OutOfTurn):
        run.undo(1)
    assert run.settled == "done"
    assert world.marks() == {"a", "c"}


def test_what_is_prepared_is_undone_only_if_the_verdict_says_so_and_asked_once(tmp_path: Path) -> None:
    run, world, journal = begin(tmp_path, *PREPARED, verdict=says("undo"))
    run.do(0)
    assert not state_of(journal).is_prepared
    run.do(1)
    assert state_of(journal).is_prepared
    run.undo(1)
    assert not state_of(journal).is_prepared
    run.undo(0)
    assert world.marks() == set()
    assert world.asked == 1


@pytest.mark.parametrize(("verdict", "error"), [(says("keep"), Kept), (out_of_reach, InDoubt), (None, InDoubt)])
def test_else_it_stays(tmp_path: Path, verdict, error) -> None:  # type: ignore[no-untyped-def]
    run, world, journal = begin(tmp_path, *PREPARED, verdict=verdict)
    run.do(0)
    run.do(1)
    with pytest.raises(error):
        run.undo(1)
    assert [type(found) for found in run.undo_all()] == [error]
    assert world.marks() == {"a", "p"}
    assert state_of(journal).is_prepared


def test_before_it_is_prepared_nobody_is_asked(tmp_path: Path) -> None:
    failing = (Mark(name="a"), Prepare(name="p", fails=True), Accept(name="c"))
    run, world, _ = begin(tmp_path, *failing, verdict=out_of_reach)
    run.do(0)
    with pytest.raises(PropolisError, match="it failed"):
        run.do(1)
    assert run.undo_all() == []
    assert world.marks() == set()


@pytest.mark.parametrize("killed_in", range(5))
@pytest.mark.parametrize("word", ["keep", "undo", "none"])
def test_recovery_does_what_the_verdict_says_and_nothing_without_one(
    tmp_path: Path, killed_in: int, word: Literal["keep", "undo", "none"]
) -> None:
    run, world, journal = begin(tmp_path, *PREPARED)
    for number in range(min(killed_in, len(PREPARED))):
        run.do(number)
    if killed_in < len(PREPARED):
        journal.before(killed_in)
    journal.leave_open()
    was, verdict = world.marks(), out_of_reach if word == "none" else says(word)
    prepared, committed = killed_in == 2, killed_in > 2
    if prepared and word == "none":
        with pytest.raises(InDoubt):
            recover(state_of(journal), KNOWN, world, SilentObserver(), verdict)
        assert world.marks() == was
        assert state_of(journal).is_open
        verdict = says("keep")
    recover(state_of(journal), KNOWN, world, SilentObserver(), verdict)
    is_kept = committed or (prepared and word != "undo")
    assert world.marks() == ({"a", "p", "c", "d"} if is_kept else set())
    assert not state_of(journal).is_open
    assert (world.asked > 0) == prepared


def test_a_whole_run_that_fails_behind_its_preparation_asks_too(tmp_path: Path) -> None:
    steps = (Mark(name="a"), Prepare(name="p"), Mark(name="b", fails=True), Accept(name="c"))
    run, world, journal = begin(tmp_path, *steps)
    with pytest.raises(InDoubt, match=r"it failed.*does not answer"):
        execute(run.plan, world, journal, SilentObserver(), Interrupts(), out_of_reach)
    assert world.marks() == {"a", "p", "b"}
    assert recover(state_of(journal), KNOWN, world, SilentObserver(), says("undo")) == "undone"
    assert world.marks() == set()


def test_a_plan_prepares_once_before_it_commits_and_needs_no_results_behind() -> None:
    assert Plan("test", PREPARED).prepare == 1
    with pytest.raises(ValueError, match="more than one step prepares"):
        Plan("test", (Prepare(name="a"), Prepare(name="b"), Accept(name="c")))
    with pytest.raises(ValueError, match="nothing commits what Prepare prepares"):
        Plan("test", (Accept(name="c"), Prepare(name="a")))
    with pytest.raises(ValueError, match="behind the prepared point"):
        Plan("test", (Mark(name="a"), Prepare(name="p"), Needy(name="n"), Accept(name="c")))
