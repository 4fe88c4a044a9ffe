"""Plans are finished or undone, whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propolis.errors import BusyError, Interrupted, PreflightError, PropolisError, ServicesDownError
from propolis.run import (
    Journal,
    JournalState,
    Observer,
    Plan,
    Results,
    SilentObserver,
    StackLock,
    Step,
    Telling,
    execute,
    read_journal,
)
from propolis.run.interrupts import Interrupts
from propolis.run.journal import new_run_id
from propolis.run.journals import KEPT_JOURNALS, forget_old, journals, open_runs
from propolis.run.lock import held
from propolis.run.recovering import recover
from propolis.run.step import tag_of


class World:
    """Marks are files in a folder: they outlive a process, like services and clones do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def marks(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if path.suffix != ".jsonl"}


class Mark(Step[World, None], frozen=True, kw_only=True, tag="mark"):
    name: str
    fails: bool = False
    undo_fails: bool = False
    kills: bool = False

    @property
    def title(self) -> str:
        return f"mark {self.name}"

    def do(self, context: World, results: Results) -> None:
        (context.folder / self.name).touch()
        if self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails:
            raise PropolisError("it failed")

    def undo(self, context: World) -> None:
        if self.undo_fails:
            raise ServicesDownError("could not bring it back")
        (context.folder / self.name).unlink(missing_ok=True)


class Commit(Mark, frozen=True, kw_only=True, tag="commit"):
    commits = True


KNOWN = {tag_of(kind): kind for kind in (Mark, Commit)}


def open_journals(folder: Path) -> list[JournalState]:
    return list(open_runs(folder).states)


def begin(folder: Path, plan: Plan[World]) -> Journal:
    return Journal.create(
        folder, run_id=new_run_id(), command="test", steps=plan.builtins(), commit=plan.commit, facts={}
    )


def run(folder: Path, *steps: Mark, observer: Observer | None = None) -> World:
    world = World(folder)
    plan = Plan("test", steps)
    execute(plan, world, begin(folder, plan), observer or SilentObserver(), Interrupts())
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


def test_undoing_what_was_only_tried_is_not_told(tmp_path: Path) -> None:
    class Trial(Mark, frozen=True, kw_only=True, tag="trial"):
        tries_only = True

    told: list[str] = []

    class Told(SilentObserver):
        def undoing(self, title: str) -> None:
            told.append(title)

    with pytest.raises(PropolisError, match="it failed"):
        run(tmp_path, Trial(name="a"), Mark(name="b"), Mark(name="c", fails=True), observer=Told())
    assert told == ["mark c", "mark b"]
    assert World(tmp_path).marks() == set()


def test_behind_the_commit_point_nothing_is_undone_and_recovery_finishes(tmp_path: Path) -> None:
    with pytest.raises(PropolisError):
        run(tmp_path, Commit(name="a"), Mark(name="b", fails=True), Mark(name="c"))
    world = World(tmp_path)
    assert world.marks() == {"a", "b"}
    (state,) = open_journals(tmp_path)
    steps = [dict(raw, fails=False) for raw in state.steps]
    state.steps = steps
    assert recover(state, KNOWN, world, SilentObserver()) == "finished"
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
from test_run import Commit, Mark, run
run(Path(sys.argv[1]), *((Commit if n == 2 else Mark)(name=str(n), kills=n == int(sys.argv[2])) for n in range(4)))
"""


@pytest.mark.parametrize("killed", range(4))
def test_a_killed_run_is_undone_before_its_commit_point_and_finished_after(tmp_path: Path, killed: int) -> None:
    script = textwrap.dedent(KILLED).format(here=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(killed)], check=False)
    assert done.returncode == -signal.SIGKILL
    (state,) = open_journals(tmp_path)
    state.steps = [dict(raw, kills=False) for raw in state.steps]
    recover(state, KNOWN, World(tmp_path), SilentObserver())
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
    assert Journal.reopen(journal.path).close("undone")


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
        def do(self, context: World, results: Results) -> None:
            super().do(context, results)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

        def undo(self, context: World) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().undo(context)

    plan = Plan("test", (Mark(name="a"), Impatient(name="b")))
    journal = begin(tmp_path, plan)
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
    journal = begin(tmp_path, plan)
    journal.__class__ = Full
    with pytest.raises(OSError, match="No space"):
        execute(plan, World(tmp_path), journal, SilentObserver(), Interrupts())
    assert World(tmp_path).marks() == set()


def test_steps_survive_the_journal_unchanged() -> None:
    step = Mark(name="ä\n", fails=True)
    assert msgspec.convert(msgspec.to_builtins(step), type=Mark) == step


class Failing(SilentObserver):
    """Fails at everything it is told."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.told = 0

    def __getattribute__(self, name: str) -> Any:
        if name in ("step_started", "step_ended", "undoing", "progress", "note"):
            return self._fail
        return super().__getattribute__(name)

    def _fail(self, *arguments: object) -> None:
        self.told += 1
        raise self.error


FAILURES = [
    BrokenPipeError(32, "Broken pipe"),
    OSError(5, "Input/output error"),
    OSError(28, "No space left on device"),
    OSError(9, "Bad file descriptor"),
    ValueError("I/O operation on closed file"),
    UnicodeEncodeError("ascii", "ä", 0, 1, "ordinal not in range(128)"),
    RuntimeError("a bug of the console"),
    SystemExit(1),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("guarded", [True, False])
def test_no_failure_of_telling_keeps_a_plan_from_being_finished_or_undone(
    tmp_path: Path, error: BaseException, guarded: bool
) -> None:
    class Tells(Mark, frozen=True, kw_only=True, tag="tells"):
        def do(self, context: World, results: Results) -> None:
            telling.note("one")
            telling.progress(1, 2, "bytes")
            super().do(context, results)

    observer = Failing(error)
    with Telling(observer) as telling:
        seen = telling if guarded else observer
        assert run(tmp_path, Tells(name="a"), Mark(name="b"), observer=seen).marks() == {"a", "b"}
        for name in "ab":
            (tmp_path / name).unlink()
        with pytest.raises(PropolisError, match="it failed"):
            run(tmp_path, Tells(name="a"), Mark(name="b", fails=True), observer=seen)
        assert World(tmp_path).marks() == set()
    assert open_journals(tmp_path) == []
    assert observer.told


def test_a_terminal_that_is_halted_halts_no_run(tmp_path: Path) -> None:
    gone_on = threading.Event()

    class Halted(SilentObserver):
        def step_started(self, number: int, count: int, title: str) -> None:
            assert gone_on.wait(60)

    with Telling(Halted()) as telling:
        assert run(tmp_path, Mark(name="a"), Mark(name="b"), observer=telling).marks() == {"a", "b"}
        for number in range(5000):
            telling.note(str(number))
        gone_on.set()


def test_what_is_told_arrives_in_order_and_progress_is_the_newest() -> None:
    heard: list[object] = []

    class Hears(SilentObserver):
        def note(self, text: str) -> None:
            heard.append(text)

        def progress(self, done: int, total: int | None, unit: str) -> None:
            heard.append(done)

    with Telling(Hears()) as telling:
        telling.note("first")
        for done in range(1000):
            telling.progress(done, None, "bytes")
        telling.note("last")
    assert heard[0] == "first"
    assert heard[-1] == "last"
    assert 999 in heard


class Nameless(Exception):
    """Can't say what it is."""

    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("error", [Nameless(), OSError(5, "b\udcff", "\udcff"), PropolisError("\udcff")])
def test_no_error_is_so_odd_that_it_keeps_a_run_from_being_undone(tmp_path: Path, error: Any) -> None:
    class Odd(Mark, frozen=True, kw_only=True, tag="odd"):
        def do(self, context: World, results: Results) -> None:
            super().do(context, results)
            raise error

    with pytest.raises(type(error)):
        run(tmp_path, Mark(name="a"), Odd(name="b"))
    assert World(tmp_path).marks() == set()
    assert open_journals(tmp_path) == []


@pytest.mark.parametrize("number", [28, 5])
def test_a_journal_that_can_not_be_written_while_undoing_keeps_nothing_from_being_undone(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(fd: int, content: bytes) -> int:
        raise OSError(number, os.strerror(number))

    class Fills(Mark, frozen=True, kw_only=True, tag="fills"):
        def do(self, context: World, results: Results) -> None:
            super().do(context, results)
            monkeypatch.setattr(os, "write", refused)

    with pytest.raises(PropolisError, match="can't be written"):
        run(tmp_path, Mark(name="a"), Fills(name="b"))
    assert World(tmp_path).marks() == set()
    (state,) = open_journals(tmp_path)
    with pytest.raises(PropolisError, match="journal can't be closed"):
        recover(state, {**KNOWN, tag_of(Fills): Fills}, World(tmp_path), SilentObserver())
    monkeypatch.undo()
    assert recover(state, {**KNOWN, tag_of(Fills): Fills}, World(tmp_path), SilentObserver()) == "undone"
    assert open_journals(tmp_path) == []


def test_of_two_signals_that_come_at_once_the_second_does_not_cut_the_undoing(tmp_path: Path) -> None:
    class Hung(Mark, frozen=True, kw_only=True, tag="hung"):
        def do(self, context: World, results: Results) -> None:
            super().do(context, results)
            try:
                os.kill(os.getpid(), signal.SIGHUP)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)
                (context.folder / "cleaned up").touch()

    interrupts = Interrupts()
    plan = Plan("test", (Mark(name="a"), Hung(name="b")))
    with pytest.raises(Interrupted), interrupts.active():
        execute(plan, World(tmp_path), begin(tmp_path, plan), SilentObserver(), interrupts)
    assert World(tmp_path).marks() == {"cleaned up"}


def test_a_signal_whose_error_a_library_swallows_still_ends_the_run(tmp_path: Path) -> None:
    class Swallows(Mark, frozen=True, kw_only=True, tag="swallows"):
        def do(self, context: World, results: Results) -> None:
            with contextlib.suppress(Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)
            super().do(context, results)

    interrupts = Interrupts()
    plan = Plan("test", (Swallows(name="a"), Mark(name="b")))
    with pytest.raises(Interrupted), interrupts.active():
        execute(plan, World(tmp_path), begin(tmp_path, plan), SilentObserver(), interrupts)
    assert World(tmp_path).marks() == set()


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTOU])
def test_a_terminal_can_not_halt_a_run(tmp_path: Path, number: signal.Signals) -> None:
    class Halts(Mark, frozen=True, kw_only=True, tag="halts"):
        def do(self, context: World, results: Results) -> None:
            assert signal.getsignal(number) is signal.SIG_IGN
            super().do(context, results)

    interrupts, former = Interrupts(), signal.getsignal(number)
    plan = Plan("test", (Halts(name="a"),))
    with interrupts.active():
        execute(plan, World(tmp_path), begin(tmp_path, plan), SilentObserver(), interrupts)
    assert signal.getsignal(number) is former


def test_a_signal_is_told_as_such_whatever_a_library_makes_of_it(tmp_path: Path) -> None:
    class Disguises(Mark, frozen=True, kw_only=True, tag="disguises"):
        def do(self, context: World, results: Results) -> None:
            try:
                os.kill(os.getpid(), signal.SIGHUP)
            except Interrupted as error:
                raise PropolisError("The index does not answer") from error

    interrupts = Interrupts()
    plan = Plan("test", (Mark(name="a"), Disguises(name="b")))
    with pytest.raises(Interrupted, match="SIGHUP"), interrupts.active():
        execute(plan, World(tmp_path), begin(tmp_path, plan), SilentObserver(), interrupts)
    assert World(tmp_path).marks() == set()


def test_at_most_one_step_of_a_plan_commits() -> None:
    assert Plan("test", (Mark(name="a"), Commit(name="b"), Mark(name="c"))).commit == 1
    assert Plan("test", (Mark(name="a"),)).commit is None
    with pytest.raises(ValueError, match="more than one step commits"):
        Plan("test", (Commit(name="a"), Commit(name="b")))


def test_a_lock_is_taken_even_if_its_disk_has_no_room_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, content: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with StackLock(tmp_path), pytest.raises(BusyError), StackLock(tmp_path):
        pass


def test_old_journals_are_forgotten_unless_they_name_what_is_still_there_or_can_not_be_read(tmp_path: Path) -> None:
    folder, left = tmp_path / "journal", tmp_path / ".propolis-run-0-data"

    def journal(run_id: str) -> Journal:
        places = {"places": {"data": str(tmp_path / f".propolis-{run_id}-data")}}
        return Journal.create(folder, run_id=run_id, command="t", steps=[places], commit=None, facts={})

    left.mkdir()
    for number in range(KEPT_JOURNALS + 5):
        journal(f"run-{number:02}").close("done")
    journal("run-0").close("done")
    journal("run-04a")
    (folder / "run-04b.jsonl").write_text("{\n{}\n")
    forget_old(folder)
    assert {path.stem for path in journals(folder)[:-KEPT_JOURNALS]} == {"run-0", "run-04a", "run-04b"}
    left.rmdir()
    forget_old(folder)
    assert "run-0" not in {path.stem for path in journals(folder)}


def test_a_state_folder_that_can_not_be_looked_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, where the folder should be")
    with pytest.raises(PreflightError, match="The state folder can't be used"):
        held(tmp_path / "state")
