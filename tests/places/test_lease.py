"""Leases: one holder, renewals, takeovers after a term without a sign of life, and what a late one finds."""

import json
import logging
import threading
from pathlib import Path

import pytest

from pkd_core.errors import HeldError, LostError, StoreError
from pkd_core.places.folder import FolderObjects
from pkd_core.places.lease import Clock, Lease, acquire, leased, local_owner
from pkd_core.places.objects import Objects


class FakeTime:
    """A clock that stands still but for pauses."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []
        self.clock = Clock(now=lambda: self.seconds, pause=self.pause)

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.pauses.append(seconds)


def keys(objects: Objects) -> list[str]:
    return [found.key for found in objects.list("stage/leases/")]


def take(objects: Objects, wait: bool = True, owner: str = "", time: FakeTime | None = None) -> Lease:
    clock = (time or FakeTime()).clock
    return acquire(objects, "stage/leases/", "RTE teacher", wait, owner=owner, clock=clock)


def test_a_held_lease_is_refused_naming_its_holder(objects: Objects) -> None:
    first = take(objects)
    with pytest.raises(HeldError, match=rf"RTE teacher .* process {first.holder['pid']} on .* holds"):
        take(objects, wait=False)
    first.check()


def test_a_released_lease_is_free_at_once_and_its_number_is_never_used_again(objects: Objects) -> None:
    for number in (1, 2, 3):
        lease = take(objects, wait=False)
        assert lease.number == number
        lease.release()
        assert keys(objects) == [f"stage/leases/{number}"]


def test_a_silent_holder_is_taken_over_after_a_whole_term_and_finds_out(objects: Objects) -> None:
    silent, time = take(objects), FakeTime()
    late = take(objects, time=time)
    assert late.number == 2
    assert time.seconds == 30
    assert not silent.is_lost
    silent.renew()
    assert silent.is_lost
    with pytest.raises(LostError, match="RTE teacher: another machine took over"):
        silent.check()
    late.renew()
    late.check()


def test_a_lost_lease_releases_nothing(objects: Objects) -> None:
    silent = take(objects)
    late = take(objects)
    silent.renew()
    silent.release()
    with pytest.raises(HeldError):
        take(objects, wait=False)
    late.release()
    assert take(objects, wait=False).number == 3


def test_a_late_holder_finds_its_loss_after_the_leases_that_followed_were_released(objects: Objects) -> None:
    silent = take(objects)
    take(objects).release()
    take(objects).release()
    assert keys(objects) == ["stage/leases/3"]
    silent.renew()
    assert silent.is_lost


def test_a_holder_that_renews_is_never_taken_over(objects: Objects) -> None:
    holder, time = take(objects), FakeTime()

    class EnoughError(Exception):
        pass

    def pause(seconds: float) -> None:
        time.pause(seconds)
        if time.seconds > 200:
            raise EnoughError
        if len(time.pauses) % 14 == 0:  # every 28 seconds
            holder.renew()

    with pytest.raises(EnoughError):
        acquire(objects, "stage/leases/", "RTE teacher", clock=Clock(lambda: time.seconds, pause))
    holder.renew()
    holder.check()


def test_a_waiter_that_was_suspended_looks_again_before_it_takes_over(tmp_path: Path) -> None:
    holder, time, has_slept = take(FolderObjects(tmp_path)), FakeTime(), []

    class Suspended(FolderObjects):
        """Sleeps once for an hour between reading a lease and the next look at the clock."""

        def read(self, key: str) -> tuple[bytes, str] | None:
            found = super().read(key)
            if time.pauses and not has_slept:
                has_slept.append(True)
                time.seconds += 3600
                holder.renew()
            return found

    def pause(seconds: float) -> None:
        if has_slept:
            raise InterruptedError
        time.pause(seconds)

    with pytest.raises(InterruptedError):
        acquire(Suspended(tmp_path), "stage/leases/", "RTE teacher", clock=Clock(lambda: time.seconds, pause))


def test_the_same_owner_takes_over_at_once_and_others_do_not(objects: Objects) -> None:
    killed = take(objects, owner="machine a")
    with pytest.raises(HeldError):
        take(objects, wait=False, owner="machine b")
    assert take(objects, wait=False, owner="machine a").number == 2
    killed.renew()
    assert killed.is_lost


def test_nobody_in_particular_is_no_owner(objects: Objects) -> None:
    take(objects)
    with pytest.raises(HeldError):
        take(objects, wait=False)


def test_a_lease_that_cannot_be_read_runs_out_too(objects: Objects) -> None:
    objects.create("stage/leases/4", b'{"half":')
    time = FakeTime()
    with pytest.raises(HeldError, match="another process"):
        take(objects, wait=False)
    assert take(objects, time=time).number == 5
    assert time.seconds == 30


def test_a_local_folder_names_its_owner_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert local_owner(tmp_path / "a") == local_owner(tmp_path / "link")
    assert local_owner(tmp_path / "a") != local_owner(tmp_path / "b")


def renewals(objects: Objects, key: str) -> int:
    found = objects.read(key)
    assert found is not None
    return int(json.loads(found[0])["renewals"])


def test_a_thread_renews_while_the_body_runs(tmp_path: Path) -> None:
    objects, has_renewed = FolderObjects(tmp_path), threading.Event()

    class Watched(FolderObjects):
        def put(self, key: str, content: bytes) -> None:
            super().put(key, content)
            if renewals(self, key) == 3:
                has_renewed.set()

    with leased(Watched(tmp_path), "stage/leases/", "RTE teacher", term=0.03) as lease:
        assert has_renewed.wait(60)
        lease.check()
    assert renewals(objects, "stage/leases/1") >= 3
    assert take(objects, wait=False).number == 2


def test_a_lease_is_released_when_the_body_fails(objects: Objects) -> None:
    with pytest.raises(ZeroDivisionError), leased(objects, "stage/leases/", "RTE teacher"):
        raise ZeroDivisionError
    assert take(objects, wait=False).number == 2


def test_a_holder_that_is_cut_off_goes_on_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    has_failed = threading.Event()

    class Cut(FolderObjects):
        def put(self, key: str, content: bytes) -> None:
            if has_failed.is_set():
                super().put(key, content)
            else:
                has_failed.set()
                raise StoreError("no way to the place")

    with (
        caplog.at_level(logging.WARNING),
        leased(Cut(tmp_path), "stage/leases/", "RTE teacher", term=0.03) as lease,
    ):
        assert has_failed.wait(60)
    assert not lease.is_lost
    assert "RTE teacher: the lease was not renewed: no way to the place" in caplog.text
