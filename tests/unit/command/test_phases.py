"""Every step has its phase, and a plan of one host names them in their order: nothing has to be moved for a weave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from propolis import clone
from propolis.backup import BACKUP_STEPS, BackupOptions
from propolis.backup.cold import cold_plan
from propolis.backup.drained import CheckClonedLog
from propolis.command.context import Context
from propolis.command.control import ServiceControl
from propolis.command.kept import Kept, KeptFolder, KeptObjects
from propolis.command.phases import PHASES, RANK
from propolis.command.services import AwaitCluster
from propolis.config.sample import sample
from propolis.config.schema import Config
from propolis.repository import Manifest, Repository
from propolis.restore import RESTORE_STEPS, RestoreRequest, cold
from propolis.restore.cold import restore_plan
from propolis.restore.former import UndoRequest, undo_plan
from propolis.restore.hosts.peers import ForgetPeers
from propolis.restore.logins import LoginAfter, Logins
from propolis.restore.prepare import Restoration
from propolis.restore.steps import StageFolder
from propolis.run import Plan, SilentObserver
from propolis.stack.cluster import clusters
from propolis.stack.model import bare
from propolis.stack.stack import START_WAVES, services, trees
from sections import with_everything


def plain_stack() -> Config:
    """A stack with a folder of attachments, as the sample's configuration has it."""
    return Config.model_validate(YAML(typ="safe").load(sample()))


UNDO = sys.modules["propolis.restore.former.undo"]
"""The module: its function of the same name hides it."""


class Control(ServiceControl):
    """Services of which some run."""

    def __init__(self, config: Config, running: frozenset[str]) -> None:
        super().__init__(config, SilentObserver(), lambda text: None)
        self._present, self._up = services(config), running

    def has(self, service: str) -> bool:
        return service in self._present

    def is_running(self, service: str) -> bool:
        return service in self._up


PLAIN = plain_stack()


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    """A stack with or without everything optional, of which some services run."""
    whole = with_everything(PLAIN).model_dump(mode="json")
    if draw(st.booleans()):
        whole["cortex"]["index"] = None
    whole["cortex"] = draw(st.sampled_from([whole["cortex"], None]))
    whole["minio"] = draw(st.sampled_from([whole["minio"], None]))
    if whole["minio"] is None and draw(st.booleans()):
        whole["files"] = {"kind": "folder", "folder": "/opt/thp/thehive/files"}
    for section in (whole["database"], whole["index"], (whole["cortex"] or {}).get("index")):
        if section is not None:
            section["nodes"] = draw(st.sampled_from([1, 3]))
    config = Config.model_validate(whole)
    context = Context(config, SilentObserver(), "run")
    context.services = Control(config, draw(st.frozensets(st.sampled_from(services(config)))))
    return context


@pytest.fixture(autouse=True, scope="module")
def no_folder_is_there() -> Iterator[None]:
    """Plans only name places."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clone, "place", lambda folder, run: folder.parent / f".propolis-{run}")
        patch.setattr(clone, "aside", lambda folder, run: folder.parent / f".propolis-aside-{run}")
        patch.setattr(clone, "names_directly_in", lambda folder, places: frozenset())
        patch.setattr(cold, "trial_places", lambda folder, run: (folder, folder))
        patch.setattr(UNDO, "trial_places", lambda folder, run: (folder, folder))
        yield


def assert_in_order(plan: Plan[Any]) -> None:
    ranks = [RANK[step.phase] for step in plan.steps]
    assert ranks == sorted(ranks), [step.phase for step in plan.steps]


@given(contexts(), st.booleans())
def test_backup(context: Context, unhealthy: bool) -> None:
    plan = cold_plan(BackupOptions(force_unhealthy=unhealthy), context)
    assert_in_order(plan)
    nodes = set(clusters(context.config)).intersection(context.services.running())
    assert {step.service for step in plan.steps if isinstance(step, AwaitCluster)} == nodes
    assert sum(isinstance(step, CheckClonedLog) for step in plan.steps) == ("database" in nodes)


@dataclass
class Held:
    """As much of a manifest as a plan wants."""

    id: str = "backup"


@given(contexts(), st.data())
def test_restore(context: Context, data: st.DataObject) -> None:
    targets = trees(context.config)
    in_place = data.draw(st.sets(st.sampled_from(range(len(targets)))))
    login = LoginAfter("database", "differs", "", here=("thehive", ""), can_set=True)
    days = data.draw(st.sampled_from([0, 7]))
    restoration = Restoration(
        request=RestoreRequest(context.config, context.config, "latest", keep_days=days),
        repository=cast("Repository", None),
        manifest=cast("Manifest", Held()),
        in_place=tuple(tree for number, tree in enumerate(targets) if number in in_place),
        beside=tuple(
            tree for number, tree in enumerate(targets) if number not in in_place and tree.store == "config"
        ),
        logins=Logins((login,), set_password=True),
        settings=None,
    )
    plan = restore_plan(restoration, context)
    assert_in_order(plan)
    whole = any(bare(tree.name).startswith("database/data-") for tree in restoration.in_place)
    forgets = [step for step in plan.steps if isinstance(step, ForgetPeers)]
    assert len(forgets) == (whole and "database" in clusters(context.config))
    assert {place for step in forgets for place in step.data} <= {
        step.staged for step in plan.steps if isinstance(step, StageFolder)
    }


@given(contexts(), st.sampled_from([0, 7]))
def test_undo_of_a_restore(context: Context, days: int) -> None:
    folders = tuple(KeptFolder(tree.target, "/kept", "marker", None, 1, 1) for tree in trees(context.config))
    objects = KeptObjects("files/bucket", "here", "aside", "/note", 1, 1)
    kept = Kept("run", "restore", "backup", "", "", days, folders, (objects,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UNDO, "find", lambda state, run: kept)
        patch.setattr(UNDO, "require_undoable", lambda config, kept: None)
        request = UndoRequest(context.config, "run")
        assert_in_order(undo_plan(request, context))


def test_every_step_has_a_phase_that_is_known() -> None:
    """Those of a service are told by the service."""
    fixed = {name: kind.turn for name, kind in (BACKUP_STEPS | RESTORE_STEPS).items()}
    without = {name for name, turn in fixed.items() if not turn}
    assert without == {"stop-service", "start-service", "wait-for-service", "await-cluster"}
    assert {turn for turn in fixed.values() if turn} <= set(PHASES)
    assert len(set(PHASES)) == len(PHASES)


def test_a_wave_starts_once_all_of_the_one_before_agree() -> None:
    for wave in range(1, len(START_WAVES)):
        assert RANK[f"agree:{wave - 1}"] < RANK[f"start:{wave}"] < RANK[f"wait:{wave}"] < RANK[f"agree:{wave}"]
