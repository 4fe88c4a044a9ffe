"""Leases keep people apart, whatever their clocks say."""

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from propolis.clock import utc_now
from propolis.errors import BusyError, RepositoryError
from propolis.repository.access.leases import GRACE, MOST_SKEW, Lease, leases, unlock
from propolis.repository.storage.base import Stored
from propolis.repository.storage.folder import FolderStorage


class OtherClock(FolderStorage):
    """A storage whose clock is ahead of this host's by some seconds."""

    def __init__(self, root: Path, ahead: float) -> None:
        super().__init__(root)
        self.ahead = ahead

    def list(self, prefix: str) -> Iterator[Stored]:
        for stored in super().list(prefix):
            yield Stored(stored.name, stored.size, stored.modified_ns + int(self.ahead * 1e9))


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    found = FolderStorage(tmp_path / "vault")
    found.prepare()
    return found


def foreign(storage: FolderStorage, kind: str, seconds: float, token: str = "f" * 32) -> str:
    """Somebody else's lease, that expires in so many seconds."""
    expiry = utc_now() + datetime.timedelta(seconds=seconds)
    name = f"locks/{kind}-{expiry:%Y%m%dT%H%M%SZ}-{token}"
    storage.put(name, b'{"host":"other","pid":7,"since":"2026-01-01T00:00:00Z"}')
    return name


@pytest.mark.parametrize("ahead", [-MOST_SKEW - 5, MOST_SKEW + 5, 7200])
@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_a_host_whose_clock_differs_too_much_gets_no_lease(
    storage: FolderStorage, tmp_path: Path, ahead: int, kind: Any
) -> None:
    foreign(storage, "exclusive", -10_000)
    before = sorted((tmp_path / "vault").rglob("*"))
    direction = "behind" if ahead > 0 else "ahead of"
    with pytest.raises(RepositoryError, match=f"clock is .* {direction}") as caught:
        Lease(OtherClock(tmp_path / "vault", ahead), kind).__enter__()
    assert "chrony" in caught.value.next
    assert sorted((tmp_path / "vault").rglob("*")) == before
    with pytest.raises(RepositoryError, match="clock is"):
        unlock(OtherClock(tmp_path / "vault", ahead))
    assert sorted((tmp_path / "vault").rglob("*")) == before


@pytest.mark.parametrize("ahead", [-MOST_SKEW + 5, 0, MOST_SKEW - 5])
def test_a_small_difference_of_clocks_is_borne(storage: FolderStorage, tmp_path: Path, ahead: float) -> None:
    with Lease(OtherClock(tmp_path / "vault", ahead), "exclusive") as lease:
        lease.check()
    assert not list(storage.list("locks"))


def test_a_clock_that_goes_wrong_meanwhile_stops_the_work(storage: FolderStorage, tmp_path: Path) -> None:
    other = OtherClock(tmp_path / "vault", 0)
    with Lease(other, "shared") as lease:
        other.ahead = 1000
        lease._expires -= 1  # so that the renewed name differs
        time.sleep(1.1)
        lease._create()
        with pytest.raises(RepositoryError, match="clock is"):
            lease.check()
        other.ahead = 0
        time.sleep(1.1)
        lease._create()
        lease.check()


def test_a_lease_counts_until_clocks_that_differ_agree_that_it_expired(storage: FolderStorage) -> None:
    assert GRACE == 60  # as the format has it
    name = foreign(storage, "shared", -GRACE + 20)
    with pytest.raises(BusyError, match="process 7 on other"), Lease(storage, "exclusive"):
        pass
    storage.delete(name)
    foreign(storage, "shared", -GRACE - 5)
    with Lease(storage, "exclusive"):
        assert len(leases(storage)) == 1


def test_whoever_takes_a_lease_deletes_the_expired_ones_that_could_not_go_with_it(storage: FolderStorage) -> None:
    prune, backup = foreign(storage, "exclusive", -9999, "1" * 32), foreign(storage, "shared", -9999, "2" * 32)
    with Lease(storage, "shared") as lease:
        assert {found.name for found in leases(storage)} == {backup, lease._name}
    storage.put(prune, b"{}")
    with Lease(storage, "exclusive") as lease:
        assert [found.name for found in leases(storage)] == [lease._name]


def test_renewing_leaves_one_object_and_the_lease_held(storage: FolderStorage) -> None:
    with Lease(storage, "exclusive", seconds=5) as lease:
        first = lease._name
        deadline = time.monotonic() + 60
        while lease._name == first or [found.name for found in leases(storage)] != [lease._name]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lease.check()
    assert leases(storage) == []


def test_a_holder_whose_lease_was_taken_for_expired_notices_at_once_and_for_ever(
    storage: FolderStorage, tmp_path: Path
) -> None:
    with Lease(storage, "shared") as lease:
        (old,) = (tmp_path / "vault" / "locks").iterdir()
        old.rename(old.with_name(f"shared-20200101T000000Z-{lease._token}"))
        with Lease(storage, "exclusive"):
            with pytest.raises(RepositoryError, match="ran out"):
                lease.check()
            time.sleep(1.1)
            lease._create()  # must not revive it
            with pytest.raises(RepositoryError, match="ran out"):
                lease.check()
    assert leases(storage) == []


def test_a_lease_that_was_deleted_is_not_revived_by_renewing_it(storage: FolderStorage, tmp_path: Path) -> None:
    with Lease(storage, "shared") as lease:
        (old,) = (tmp_path / "vault" / "locks").iterdir()
        old.rename(old.with_name(f"shared-20200101T000000Z-{lease._token}"))
        with Lease(storage, "exclusive"):
            pass
        time.sleep(1.1)
        lease._create()
        with pytest.raises(RepositoryError, match="ran out"):
            lease.check()


def test_a_lease_with_hardly_any_time_left_is_not_relied_upon(storage: FolderStorage) -> None:
    with Lease(storage, "shared") as lease:
        lease._expires -= 200
        with pytest.raises(RepositoryError, match="could not be renewed"):
            lease.check_time()


def test_unlock_removes_expired_leases_and_others_only_by_name(storage: FolderStorage) -> None:
    expired, live = foreign(storage, "shared", -9999, "1" * 32), foreign(storage, "exclusive", 200, "2" * 32)
    third = foreign(storage, "shared", 100, "22" + "3" * 30)
    found, removed = unlock(storage, plan=True)
    assert [lease.name for lease in found] == [expired, third, live]
    assert [lease.expired for lease in found] == [True, False, False]
    assert removed == [expired]
    assert len(leases(storage)) == 3
    assert unlock(storage)[1] == [expired]
    assert [lease.name for lease in leases(storage)] == [third, live]
    for wrong, told in (("", "no lease"), ("22", "2 of the 2 leases"), ("7", "no lease")):
        with pytest.raises(RepositoryError, match=f"matches {told}"):
            unlock(storage, (wrong,))
    assert unlock(storage, ("222", third))[1] == sorted([live, third])
    assert leases(storage) == []


def test_a_lease_nobody_can_read_still_counts(storage: FolderStorage, tmp_path: Path) -> None:
    name = foreign(storage, "exclusive", 100)
    (tmp_path / "vault" / name).write_bytes(b"\0")
    with pytest.raises(BusyError, match="someone"), Lease(storage, "shared"):
        pass
    odd = "locks/exclusive-99999999T999999Z-" + "a" * 32
    storage.put(odd, os.urandom(9))
    with pytest.raises(BusyError, match="someone"), Lease(storage, "exclusive"):
        pass
    assert unlock(storage, ("f" * 32, odd))[1] == sorted([name, odd])
