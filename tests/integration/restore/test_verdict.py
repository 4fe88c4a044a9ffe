"""One host's part of a restore of several, on fake services: once it is prepared, only the verdict decides."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.stack import FakeStack
from propolis.backup import back_up
from propolis.command.context import Context
from propolis.errors import InDoubt, IntegrityError, PropolisError
from propolis.recovery import recover_held, recover_stack
from propolis.repository.records.verdicts import Verdict, ask, give
from propolis.restore.cold import restore_plan
from propolis.restore.hosts.verdict import open_shared, verdict_on
from propolis.restore.prepare import prepare
from propolis.restore.request import RestoreRequest
from propolis.restore.steps import AcceptRestore, ReplaceFolders
from propolis.restore.steps import PrepareRestored as Prepare
from propolis.run import Journal, SilentObserver
from propolis.run.execution import Execution, Kept
from propolis.run.interrupts import Interrupts
from propolis.run.journal import journal_folder, new_run_id
from propolis.stack.asking import retry

HOST = "h1"


@pytest.fixture(scope="module")
def module_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStack]:
    with FakeStack.up(tmp_path_factory.mktemp("host")) as stack:
        with stack.propolis.config_file.open("a") as file:
            file.write(f"host: {HOST}\nrestore: {{identity: {stack.key}}}\n")
        back_up(stack.config, SilentObserver(), recover_held)
        yield stack


@pytest.fixture
def host(module_host: FakeStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStack]:
    monkeypatch.setattr(retry, "_PAUSE", 0.02)
    module_host.change()
    yield module_host
    module_host.assert_serving()
    module_host.assert_nothing_left()


class Part:
    """What an agent does of a restore, in this process: step by step, and no further than `until`."""

    def __init__(self, host: FakeStack, until: type[Any] | None = None) -> None:
        config = host.config
        self.context = Context(config, SilentObserver(), new_run_id())
        request = RestoreRequest(config, config, "latest", config.restore.identity, hosts={HOST: HOST})
        plan = restore_plan(prepare(request, self.context), self.context)
        self.journal = Journal.create(
            journal_folder(config.state),
            run_id=self.context.run_id,
            command=plan.command,
            steps=plan.builtins(),
            commit=plan.commit,
            prepare=plan.prepare,
            facts={"config": config.model_dump(mode="json")},
        )
        self.run = Execution(plan, self.context, self.journal, SilentObserver(), Interrupts(), verdict_on)
        self.numbers = {type(step): number for number, step in enumerate(plan.steps)}
        last = len(plan.steps) - 1 if until is None else self.numbers[until]
        for number in range(last + 1):
            self.run.do(number)

    def is_killed(self) -> None:
        """All that a killed agent leaves is its journal."""
        self.journal.leave_open()
        self.context.resources.close()

    @property
    def said(self) -> Verdict | None:
        return ask(open_shared(self.context), self.context.run_id)

    def give(self, verdict: Verdict) -> None:
        assert give(open_shared(self.context), self.context.run_id, verdict) == verdict


def recover(host: FakeStack) -> list[str]:
    return [run.outcome for run in recover_stack(host.config.state, SilentObserver())]


def is_restored(host: FakeStack) -> bool:
    """Whether it serves the backup's data; else it is what was there before."""
    there = {
        (host.root / name).exists() for name in ("cassandra/data/thehive/edgestore/c", "files/attachment/3f/since")
    }
    (former,) = there  # all or nothing
    return not former


@pytest.mark.parametrize(("verdict", "outcome"), [("keep", "finished"), ("undo", "undone"), (None, "undone")])
def test_a_host_that_is_killed_when_prepared_obeys_the_verdict(
    host: FakeStack, verdict: Verdict | None, outcome: str
) -> None:
    part = Part(host, until=Prepare)
    if verdict is not None:
        part.give(verdict)
    part.is_killed()
    assert recover(host) == [outcome]
    assert is_restored(host) is (verdict == "keep")
    assert part.said == (verdict or "undo"), "where nobody spoke, others must not keep it later"


def test_a_host_that_is_killed_before_undoes_alone_and_says_nothing(host: FakeStack) -> None:
    part = Part(host, until=ReplaceFolders)
    part.is_killed()
    assert recover(host) == ["undone"]
    assert not is_restored(host)
    assert part.said is None


@pytest.mark.parametrize("verdict", ["keep", "undo", None])
def test_in_doubt_services_stay_up_and_nothing_is_dropped_until_the_repository_is_back(
    host: FakeStack, verdict: Verdict | None
) -> None:
    part = Part(host, until=Prepare)
    if verdict is not None:
        part.give(verdict)
    part.is_killed()
    away = host.repository.with_name("away")
    host.repository.rename(away)
    aside = sorted(host.root.rglob(".propolis-aside*"))
    assert aside
    for times in range(2):
        if times:
            host.stop()  # as a reboot does
        with pytest.raises(InDoubt, match="can't be determined whether all hosts keep") as caught:
            recover(host)
        assert caught.value.exit_code == 13
        host.assert_serving()
        assert is_restored(host)
        assert sorted(host.root.rglob(".propolis-aside*")) == aside
    away.rename(host.repository)
    assert recover(host) == ["finished" if verdict == "keep" else "undone"]
    assert is_restored(host) is (verdict == "keep")


def test_whoever_tells_a_prepared_host_to_undo_is_not_obeyed_against_the_verdict(host: FakeStack) -> None:
    part = Part(host, until=Prepare)
    part.give("keep")
    for number in reversed(range(part.numbers[Prepare] + 1)):
        with pytest.raises(PropolisError):
            part.run.undo(number)
    assert isinstance(part.run.undo_all()[0], Kept)
    assert is_restored(host)
    part.is_killed()
    assert recover(host) == ["finished"]
    assert is_restored(host)


def test_no_restore_is_accepted_without_the_verdict(host: FakeStack) -> None:
    part = Part(host, until=Prepare)
    with pytest.raises(PropolisError, match="no verdict of all hosts keeps it"):
        part.run.do(part.numbers[AcceptRestore])
    part.is_killed()
    assert recover(host) == ["undone"]
    assert not is_restored(host)


def test_a_host_does_not_prepare_what_another_has_undone(host: FakeStack) -> None:
    part = Part(host, until=ReplaceFolders)
    part.give("undo")
    with pytest.raises(PropolisError, match="Another host has undone"):
        for number in range(part.numbers[ReplaceFolders] + 1, len(part.run.plan.steps)):
            part.run.do(number)
    part.is_killed()
    assert recover(host) == ["undone"]
    assert not is_restored(host)


def test_a_forged_verdict_leaves_a_host_in_doubt_and_says_why(host: FakeStack) -> None:
    part = Part(host, until=Prepare)
    verdict = host.repository / "verdicts" / part.context.run_id
    verdict.parent.mkdir(exist_ok=True)
    verdict.write_text('{"verdict": "undo"}')
    part.is_killed()
    with pytest.raises(InDoubt, match=f"verdicts/{part.context.run_id}") as caught:
        recover(host)
    assert isinstance(caught.value.__cause__, InDoubt | IntegrityError)
    assert is_restored(host)
    verdict.unlink()
    assert recover(host) == ["undone"]


def test_a_host_without_a_key_that_opens_packs_is_told_so_before_anything_is_touched(host: FakeStack) -> None:
    config = host.config.model_copy(update={"restore": host.config.restore.model_copy(update={"identity": None})})
    request = RestoreRequest(config, config, "latest", None, hosts={HOST: HOST})
    with (
        Context(config, SilentObserver(), new_run_id()) as context,
        pytest.raises(PropolisError, match="no key that reads data"),
    ):
        prepare(request, context)


def test_a_part_restored_to_its_end_leaves_nothing(host: FakeStack, tmp_path: Path) -> None:
    part = Part(host, until=Prepare)
    part.give("keep")
    for number in range(part.numbers[AcceptRestore], len(part.run.plan.steps)):
        part.run.do(number)
    assert part.run.settled == "done"
    part.journal.close("done")
    assert is_restored(host)
