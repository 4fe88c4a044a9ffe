"""The first verdict holds, everybody gets the same one, and nobody without the repository's key gives any."""

import datetime
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from propolis.clock import utc_now
from propolis.errors import IntegrityError, RepositoryError
from propolis.repository import Identity, Location, Repository
from propolis.repository.records import verdicts
from propolis.repository.records.verdicts import Verdict, ask, give
from unit.repository.memory_storage import MemoryStorage
from unit.repository.repository_tools import Vault

RUN = f"{utc_now():%Y%m%dT%H%M%SZ}-0a1b2c"
OTHER = RUN[:-1] + "d"


class Fault(RepositoryError):
    """What a broken network looks like."""


class Flaky(MemoryStorage):
    """A storage whose answers get lost: before or after it did what it was asked for."""

    def __init__(self, objects: dict[str, bytes], faults: Any = ()) -> None:
        super().__init__(objects)
        self.faults = iter(faults)

    def put(self, name: str, data: Any, *, create: bool = False) -> None:
        self._maybe(lambda: super(Flaky, self).put(name, data, create=create))

    def get(self, name: str, limit: int) -> memoryview:
        found = self._maybe(lambda: super(Flaky, self).get(name, limit))
        assert isinstance(found, memoryview)
        return found

    def _maybe(self, act: Any) -> Any:
        fault = next(self.faults, "")
        if fault == "unheard":
            raise Fault("unreachable")
        result = act()
        if fault == "lost":
            raise Fault("timed out")
        return result


def flaky(vault: Vault) -> tuple[Flaky, Repository]:
    storage = Flaky({str(path.relative_to(vault.folder)): path.read_bytes() for path in vault.objects("")})
    return storage, Repository(storage, [vault.host_key])


@pytest.mark.parametrize("first", ["keep", "undo"])
def test_the_first_one_holds_and_everybody_obeys(vault: Vault, first: Verdict) -> None:
    second: Verdict = "undo" if first == "keep" else "keep"
    assert ask(vault.host, RUN) is None
    assert give(vault.host, RUN, first) == first
    for repository in (vault.host, vault.full, Repository.open(vault.location, [vault.host_key])):
        assert ask(repository, RUN) == first
        assert give(repository, RUN, second) == first
    assert ask(vault.host, OTHER) is None, "of another run there is none"
    assert vault.host.names() == []


def test_of_many_who_ask_at_once_all_get_the_same(vault: Vault) -> None:
    wishes: list[Verdict] = ["keep", "undo"] * 8
    hosts = [Repository.open(vault.location, [vault.host_key]) for _ in wishes]
    with ThreadPoolExecutor(len(wishes)) as pool:
        found = set(pool.map(lambda host, wish: give(host, RUN, wish), hosts, wishes))
    assert len(found) == 1
    assert found == {ask(vault.host, RUN)}


def test_a_lost_answer_never_makes_two_verdicts(vault: Vault) -> None:
    """Whatever gets lost: who got a verdict got the one that holds, and who got none can ask again."""
    storage, repository = flaky(vault)
    for faults in itertools.product(["", "lost", "unheard"], repeat=4):
        storage.objects.pop(f"verdicts/{RUN}", None)
        storage.faults = iter(faults)
        told: Verdict | None = None
        try:
            told = give(repository, RUN, "keep")
        except Fault:
            assert any(faults)
        storage.faults = iter(())
        later = give(repository, RUN, "undo")
        assert told in (None, later), faults
        assert give(repository, RUN, "keep") == later


def test_a_lost_answer_to_the_request_itself_is_read_back(vault: Vault) -> None:
    storage, repository = flaky(vault)
    storage.faults = iter(["", "lost"])
    assert give(repository, RUN, "keep") == "keep"


def test_an_unreachable_repository_says_so(vault: Vault) -> None:
    storage, repository = flaky(vault)
    storage.faults = itertools.repeat("unheard")
    with pytest.raises(RepositoryError, match="unreachable"):
        give(repository, RUN, "undo")
    with pytest.raises(RepositoryError, match="unreachable"):
        ask(repository, RUN)


def test_a_verdict_that_is_swallowed_is_none(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault.host.storage, "put", lambda *_, **__: None)
    with pytest.raises(RepositoryError, match="although it was stored"):
        give(vault.host, RUN, "keep")


def forged(vault: Vault, tmp_path: Path) -> dict[str, bytes]:
    """What somebody with storage credentials and without the key may put there."""
    other = Repository.init(Location(str(tmp_path / "other")), [Identity.generate().recipient], Identity.generate())
    give(other, RUN, "keep")
    give(vault.host, OTHER, "undo")
    theirs = (tmp_path / "other" / "verdicts" / RUN).read_bytes()
    genuine = (vault.folder / "verdicts" / OTHER).read_bytes()
    word = msgspec.json.decode(genuine)
    return {
        "another repository's": theirs,
        "another run's": genuine,
        "another run's, renamed": msgspec.json.encode({**word, "run": RUN}),
        "turned round": msgspec.json.encode({**word, "run": RUN, "verdict": "keep"}),
        "without a proof": msgspec.json.encode({**word, "run": RUN, "mac": ""}),
        "of another format": msgspec.json.encode({**word, "run": RUN, "format": 2}),
        "of another kind": msgspec.json.encode({**word, "run": RUN, "verdict": "maybe"}),
        "nothing": b"",
        "nonsense": b"\xff\xfe",
        "endless": b"x" * (2 << 20),
    }


def test_a_forgers_verdict_is_refused_loudly_and_decides_nothing(vault: Vault, tmp_path: Path) -> None:
    for what, content in forged(vault, tmp_path).items():
        (vault.folder / "verdicts" / RUN).write_bytes(content)
        with pytest.raises(IntegrityError, match=f"verdicts/{RUN}"):
            print(what, ask(vault.host, RUN))
        with pytest.raises(IntegrityError, match=f"verdicts/{RUN}"):
            print(what, give(vault.host, RUN, "undo"))


def test_every_flipped_bit_is_noticed(vault: Vault) -> None:
    give(vault.host, RUN, "keep")
    path = vault.folder / "verdicts" / RUN
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(IntegrityError):
            ask(vault.host, RUN)


@pytest.mark.parametrize("run", ["", "x", "../config", f"{RUN}/..", RUN.upper() + "G"])
def test_what_is_not_a_run_has_no_verdict(vault: Vault, run: str) -> None:
    with pytest.raises(RepositoryError, match="not the ID of a run"):
        ask(vault.host, run)
    with pytest.raises(RepositoryError, match="not the ID of a run"):
        give(vault.host, run, "keep")


def test_no_new_one_is_given_where_an_old_one_may_be_gone(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert give(vault.host, OTHER, "keep") == "keep"
    later = utc_now() + datetime.timedelta(days=201)
    monkeypatch.setattr(verdicts, "utc_now", lambda: later)
    assert give(vault.host, OTHER, "undo") == "keep"
    with pytest.raises(RepositoryError, match="too old for a new one"):
        give(vault.host, RUN, "undo")
