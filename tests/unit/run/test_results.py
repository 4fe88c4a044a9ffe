"""What one step gives, those after it get: by its class, and only where the plan makes sure that it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from propolis.errors import PropolisError
from propolis.run import Journal, Plan, Results, SilentObserver, Step, execute, read_journal
from propolis.run.interrupts import Interrupts
from propolis.run.journal import new_run_id
from propolis.run.recovering import recover
from propolis.run.step import tag_of


class Heard:
    def __init__(self) -> None:
        self.heard: list[object] = []


class Untitled(Step[Heard, Any], frozen=True, kw_only=True):
    @property
    def title(self) -> str:
        return type(self).__name__


class Give(Untitled, Step[Heard, str], frozen=True, kw_only=True, tag="give"):
    text: str

    def do(self, context: Heard, results: Results) -> str:
        return self.text

    def summary(self, result: str) -> dict[str, Any]:
        return {"length": len(result)}


class Take(Untitled, Step[Heard, None], frozen=True, kw_only=True, tag="take"):
    needs = (Give, int)

    def do(self, context: Heard, results: Results) -> None:
        context.heard += [results[Give], results.given(int)]


class Collect(Untitled, Step[Heard, None], frozen=True, kw_only=True, tag="collect"):
    uses = (Give,)

    def do(self, context: Heard, results: Results) -> None:
        context.heard += [results.get(Give), results.all(Give)]


class Careless(Untitled, Step[Heard, None], frozen=True, kw_only=True, tag="careless"):
    how: str

    def do(self, context: Heard, results: Results) -> None:
        if self.how == "item":
            context.heard.append(results[Give])
        elif self.how == "all":
            context.heard.append(results.all(Give))
        else:
            context.heard.append(results.given(int))


class Commit(Untitled, Step[Heard, None], frozen=True, kw_only=True, tag="commit"):
    commits: ClassVar[bool] = True

    def do(self, context: Heard, results: Results) -> None:
        pass


class Fail(Commit, frozen=True, kw_only=True, tag="fail"):
    commits = False

    def do(self, context: Heard, results: Results) -> None:
        raise PropolisError("it failed")


def run(folder: Path, *steps: Step[Heard, Any], given: tuple[object, ...] = ()) -> tuple[Heard, Results, Journal]:
    heard, plan = Heard(), Plan("test", steps, given)
    journal = Journal.create(
        folder, run_id=new_run_id(), command="test", steps=plan.builtins(), commit=plan.commit, facts={}
    )
    return heard, execute(plan, heard, journal, SilentObserver(), Interrupts()).results, journal


def test_a_step_gets_what_those_before_it_and_the_planner_gave(tmp_path: Path) -> None:
    heard, results, _ = run(tmp_path, Give(text="one"), Take(), given=(7,))
    assert heard.heard == ["one", 7]
    assert results[Give] == "one"


def test_steps_of_one_class_give_their_results_in_order_and_none_gives_none(tmp_path: Path) -> None:
    heard, _, _ = run(tmp_path / "1", Give(text="one"), Give(text="two"), Collect())
    assert heard.heard == ["one", ("one", "two")]
    heard, _, _ = run(tmp_path / "2", Collect())
    assert heard.heard == [None, ()]


def test_the_journal_keeps_the_summary_alone(tmp_path: Path) -> None:
    _, _, journal = run(tmp_path, Give(text="a secret"))
    state = read_journal(journal.path)
    assert state is not None
    assert state.done == {0: {"length": 8}}
    assert b"a secret" not in journal.path.read_bytes().split(b"\n", 1)[1]


@pytest.mark.parametrize(
    ("steps", "given"),
    [
        ((Take(),), (7,)),
        ((Take(), Give(text="late")), (7,)),
        ((Give(text="one"), Take()), ()),
        ((Collect(), Give(text="late")), ()),
        ((Give(text="one"), Commit(), Collect()), ()),
        ((Give(text="one"), Commit(), Take()), (7,)),
    ],
)
def test_a_plan_in_which_a_step_would_miss_a_result_is_none(
    steps: tuple[Step[Heard, Any], ...], given: tuple[object, ...]
) -> None:
    with pytest.raises(ValueError, match=r"without, or before,|needs results$"):
        Plan("test", steps, given)


@pytest.mark.parametrize("how", ["item", "all", "given"])
def test_a_step_gets_nothing_that_it_does_not_say_it_needs(tmp_path: Path, how: str) -> None:
    with pytest.raises(LookupError, match="without saying"):
        run(tmp_path, Give(text="one"), Careless(how=how), given=(7,))


def test_another_process_undoes_a_run_without_its_results(tmp_path: Path) -> None:
    with pytest.raises(PropolisError, match="it failed"):
        run(tmp_path, Give(text="one"), Take(), Fail(), given=(7,))
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b'"undone"' not in line))
    state = read_journal(path)
    assert state is not None
    assert state.is_open
    known = {tag_of(kind): kind for kind in (Give, Take, Fail)}
    assert recover(state, known, Heard(), SilentObserver()) == "undone"
