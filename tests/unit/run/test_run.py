"""Plans are finished or undone, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.errors import BusyError, Interrupted, PropolisError, ServicesDownError
from propolis.run import Journal, Plan, SilentObserver, StackLock, Step, execute, read_journal
from propolis.run.interrupts import Interrupts
from propolis.run.journal import new_run_id, open_journals
from propolis.run.plan import recover
from propolis.run.step import tag_of


class World:
    """Marks are files in a folder: they outlive a process, like services and clones do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def marks(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if path.suffix != ".jsonl"}


class Mark(Step[World], frozen=True, kw_only=True, tag="mark"):
    name: str
    fails: bool = False
    undo_fails: bool = False
    kills: bool = False

    @property
    def title(self) -> str:
        return f"mark {self.name}"

    def do(self, context: World) -> None:
        (context.folder / self.name).touch()
        if self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails:
            raise PropolisError("it failed")

    def undo(self, context: World) -> None:
        if self.undo_fails:
            raise ServicesDownError("could not bring it back")
        (context.folder / self.name).unlink(missing_ok=True)


KNOWN = {tag_of(Mark): Mark}


def run(folder: Path, *steps: Mark, commit: int | None = None) -> World:
    world = World(folder)
    plan = Plan("test", steps, commit)
    journal = Journal.create(
        folder, run_id=new_run_id(), command="test", steps=plan.builtins(), commit=commit, facts={}
    )
    execute(plan, world, journal, SilentObserver(), Interrupts())
    return world


def test_a_plan_that_goes_well_leaves_a_closed_journal(tmp_path: Path) -> None:
    assert run(tmp_path, Mark(name="a"), Mark(name="b")).marks() == {"a", "b"}
    assert open_journals(tmp_path) == []


@given(count=st.integers(1, 6), data=st.data())
def test_a_failing_step_and_all_before_it_are_undone(
    tmp_path_factory: pytest.TempPathFactory, count: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("run")
    failing = data.draw(st.integers(0, count - 1))
    with pytest.raises(PropolisError, match="it failed"):
        run(folder, *(Mark(name=str(n), fails=n == failing) for n in range(count)))
    assert World(folder).marks() == set()
    assert open_journals(folder) == []


def test_behind_the_commit_point_nothing_is_undone_and_recovery_finishes(tmp_path: Path) -> None:
    with pytest.raises(PropolisError):
        run(tmp_path, Mark(name="a"), Mark(name="b", fails=True), Mark(name="c"), commit=0)
    world = World(tmp_path)
    assert world.marks() == {"a", "b"}
    (state,) = open_journals(tmp_path)
    steps = [dict(raw, fails=False) for raw in state.steps]
    state.steps = steps
    assert recover(state, KNOWN, world, SilentObserver(), Interrupts()) == "finished"
    assert world.marks() == {"a", "b", "c"}
    assert open_journals(tmp_path) == []


def test_a_failed_undo_does_not_keep_the_others_from_being_undone_and_is_never_hidden(tmp_path: Path) -> None:
    with pytest.raises(ServicesDownError, match=r"it failed.*could not bring it back"):
        run(tmp_path, Mark(name="a"), Mark(name="b", undo_fails=True), Mark(name="c", fails=True))
    assert World(tmp_path).marks() == {"b"}
    (state,) = open_journals(tmp_path)
    assert state.undone == {0, 2}


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_run import Mark, run
run(Path(sys.argv[1]), *(Mark(name=str(n), kills=n == int(sys.argv[2])) for n in range(4)), commit=2)
"""


@pytest.mark.parametrize("killed", range(4))
def test_a_killed_run_is_undone_before_its_commit_point_and_finished_after(tmp_path: Path, killed: int) -> None:
    script = textwrap.dedent(KILLED).format(here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(killed)], check=False)
    assert done.returncode == -signal.SIGKILL
    (state,) = open_journals(tmp_path)
    state.steps = [dict(raw, kills=False) for raw in state.steps]
    recover(state, KNOWN, World(tmp_path), SilentObserver(), Interrupts())
    assert World(tmp_path).marks() == (set() if killed <= 2 else {"0", "1", "2", "3"})
    assert open_journals(tmp_path) == []


@given(cut=st.integers(0, 400))
def test_a_journal_cut_anywhere_reads_as_some_earlier_moment(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    journal = Journal.create(
        folder, run_id=new_run_id(), command="x", steps=[{"type": "mark"}], commit=None, facts={}
    )
    journal.before(0)
    journal.after(0, {"k": 1})
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[: min(cut, len(content))])
    state = read_journal(journal.path)
    assert state is None or state.is_open
    if state is not None:
        assert set(state.done) <= set(state.begun)
    Journal.reopen(journal.path).end("undone")


def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    run(tmp_path, Mark(name="a"))
    (path,) = tmp_path.glob("*.jsonl")
    lines = path.read_bytes().split(b"\n")
    lines[1] = b"{"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(PropolisError, match=r"line 2"):
        read_journal(path)


def test_two_runs_on_one_stack_are_refused_and_the_holder_is_named(tmp_path: Path) -> None:
    with StackLock(tmp_path), pytest.raises(BusyError, match=str(os.getpid())), StackLock(tmp_path):
        pass
    with StackLock(tmp_path):
        pass


def test_an_interrupt_undoes_the_run_and_a_second_one_does_not_cut_the_undoing(tmp_path: Path) -> None:
    class Impatient(Mark, frozen=True, kw_only=True, tag="impatient"):
        def do(self, context: World) -> None:
            super().do(context)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

        def undo(self, context: World) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().undo(context)

    plan = Plan("test", (Mark(name="a"), Impatient(name="b")))
    journal = Journal.create(tmp_path, run_id=new_run_id(), command="t", steps=plan.builtins(), commit=None, facts={})
    interrupts = Interrupts()
    with pytest.raises(Interrupted), interrupts.active():
        execute(plan, World(tmp_path), journal, SilentObserver(), interrupts)
    assert World(tmp_path).marks() == set()


def test_a_full_disk_under_the_journal_begins_no_step_and_still_undoes(tmp_path: Path) -> None:
    class Full(Journal):
        def before(self, step: int) -> None:
            if step == 1:
                raise OSError(28, "No space left on device")
            super().before(step)

    plan = Plan("test", (Mark(name="a"), Mark(name="b")))
    journal = Journal.create(tmp_path, run_id=new_run_id(), command="t", steps=plan.builtins(), commit=None, facts={})
    journal.__class__ = Full
    with pytest.raises(OSError, match="No space"):
        execute(plan, World(tmp_path), journal, SilentObserver(), Interrupts())
    assert World(tmp_path).marks() == set()


def test_steps_survive_the_journal_unchanged() -> None:
    step = Mark(name="ä\n", fails=True)
    assert msgspec.convert(msgspec.to_builtins(step), type=Mark) == step


WATCHED = """
import os, signal, sys
from pathlib import Path
from propolis.run.watchdog import Watchdog
dog = Watchdog([sys.executable, "-c", f"open({str(Path(sys.argv[1]) / 'recovered')!r}, 'w').close()"],
               Path(sys.argv[1]) / "log")
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
dog.dismiss()
"""


@pytest.mark.parametrize("fate", ["killed", "ended"])
def test_the_watchdog_recovers_a_killed_run_and_only_that(tmp_path: Path, fate: str) -> None:
    subprocess.run([sys.executable, "-c", WATCHED, str(tmp_path), fate], check=False)
    deadline = time.monotonic() + 20
    while fate == "killed" and not (tmp_path / "recovered").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tmp_path / "recovered").exists() == (fate == "killed")
