"""Stages in a place that machines share: published once, whatever dies, gets lost or comes late."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from machines import DiesAt, Killed, Machines, raising
from published_stages import publish
from shared_stage import ADDRESS, FILES, INPUTS, KEYS, attempt_of, compute, contents, finish, keys_of

from pkd_core.errors import HeldError, LostError, StoreError
from pkd_core.places.lease import leased
from pkd_core.store.inspection import StageStatus
from pkd_core.store.manifest import read_manifest
from pkd_core.store.work_folder import resume_folder


def test_a_published_stage_is_the_manifest_and_the_files_of_one_attempt(sharing: Machines) -> None:
    store, place = sharing.failing("a")
    record = compute(store)
    assert [name for name, _ in place.calls if name != "put"] == [
        *("list", "create"),  # a lease
        "list",  # checkpoints
        *("list", "upload", "upload", "upload", "create"),
        "list",  # the end of the lease
    ]
    attempt = attempt_of(store)
    assert keys_of(sharing.place) == [
        *(f"attempts/{attempt}/files/{name}" for name in sorted(FILES)),
        "manifest.json",
    ]
    assert read_manifest(store.workspace / record.path) == store.find_manifest(ADDRESS)
    assert contents(store.workspace / record.path) == FILES
    work = store.workspace / ADDRESS.work_folder
    assert not work.exists()
    assert not resume_folder(work).exists()
    place.calls.clear()
    store.fetch(ADDRESS)
    assert place.calls == [("read", KEYS.manifest)], "the copy is here already"
    place.calls.clear()
    assert store.inspect(ADDRESS).status is StageStatus.DONE
    assert place.calls == [("read", KEYS.manifest), ("list", KEYS.files(attempt))]


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("successor", ["a", pytest.param("b", marks=pytest.mark.slow)])
def test_whenever_a_process_dies_the_next_one_publishes_the_whole_stage(
    sharing: Machines, is_done: bool, successor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkd_core.store.shared_stages.leased", functools.partial(leased, term=0.2))
    number, record, has_finished = 0, None, False
    while not has_finished:
        for found in list(sharing.place.list(KEYS.folder)):
            sharing.place.delete(found.key)
        dies = DiesAt(number, is_done)
        store, _ = sharing.failing("a", dies)
        try:
            record = compute(store)
        except (Killed, StoreError):
            assert dies.is_dead
        has_finished = not dies.is_dead
        stood = sharing.place.read(KEYS.manifest)
        again = compute(sharing.store(successor)) if stood is None else None
        other = sharing.store("c")
        assert other.inspect(ADDRESS, inputs=INPUTS, deep=True).status is StageStatus.DONE
        assert contents(other.fetch(ADDRESS)) == FILES
        assert again is None or again == record or record is None
        number += 1
    assert number > 5, "a lease, three files, the manifest"


def test_a_resumed_process_of_the_same_machine_sends_no_file_twice(sharing: Machines) -> None:
    def die(name: str, key: str) -> None:
        if name == "create" and key == KEYS.manifest:
            raise Killed

    first, place = sharing.failing("a", die)
    with pytest.raises(Killed):
        compute(first)
    assert len(place.keys("upload")) == 3
    changed = FILES | {"training.json": b"[]"}
    second, place = sharing.failing("a")
    compute(second, changed)
    assert [Path(key).name for key in place.keys("upload")] == ["training.json"]
    assert contents(sharing.store("b").fetch(ADDRESS)) == changed


def test_a_file_that_is_gone_from_the_place_or_too_short_is_sent_again(sharing: Machines) -> None:
    def die(name: str, key: str) -> None:
        if name == "create" and key == KEYS.manifest:
            raise Killed

    first, place = sharing.failing("a", die)
    with pytest.raises(Killed):
        compute(first)
    gone, short, _ = place.keys("upload")
    sharing.place.delete(gone)
    sharing.place.put(short, b"")
    sharing.place.put(f"{KEYS.files(short.split('/')[4])}stranger", b"")
    compute(sharing.store("a"))
    assert contents(sharing.store("b").fetch(ADDRESS)) == FILES
    assert sharing.store("b").inspect(ADDRESS).status is StageStatus.DONE


@pytest.mark.parametrize("error", [StoreError("the answer was lost"), None], ids=["error", "refusal"])
def test_a_lost_answer_to_the_publication_is_a_success(
    sharing: Machines, error: StoreError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def lose(name: str, key: str) -> Callable[[], None] | None:
        if name == "create" and key == KEYS.manifest and not lost:
            lost.append(key)
            if error:
                return raising(error)
            manifest = place.read(key)
            assert manifest is None
            return functools.partial(lost.append, "done")
        return None

    store, place = sharing.failing("a", lose)
    if error is None:
        # The client has tried again, and found what it had written.
        create = place.create
        monkeypatch.setattr(
            place, "create", lambda key, content: create(key, content) and key != KEYS.manifest, raising=False
        )
    record = compute(store)
    assert lost
    manifest = sharing.store("b").find_manifest(ADDRESS)
    assert manifest is not None
    assert sharing.store("b").record(ADDRESS, manifest) == record
    assert contents(sharing.store("b").fetch(ADDRESS)) == FILES


def test_a_process_that_was_taken_for_dead_stops_and_does_not_publish_over_the_other(
    sharing: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkd_core.store.shared_stages.leased", functools.partial(leased, term=0.3))
    first, second = sharing.store("a"), sharing.store("b")
    other = FILES | {"training.json": b"of the other"}
    published = r"^RTE teacher was published by another process; its result is used"
    with pytest.raises(LostError, match=published), first.writing(ADDRESS, INPUTS) as work:
        first.check_held(ADDRESS)
        for name, content in FILES.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(content)
        # As if it had slept: its lease is not renewed until the other has published.
        assert first._shared is not None
        lease = first._shared._leases[ADDRESS]
        monkeypatch.setattr(lease, "renew", lambda: None)
        record = compute(second, other)
        lease.is_lost = True
        with pytest.raises(LostError, match=r"RTE teacher: another machine took over"):
            first.check_held(ADDRESS)
        with pytest.raises(LostError):
            first.keep(ADDRESS)
        finish(first)
    assert not work.exists()
    assert not resume_folder(work).exists()
    assert contents(first.fetch(ADDRESS)) == other
    manifest = first.find_manifest(ADDRESS)
    assert manifest is not None
    assert first.record(ADDRESS, manifest) == record
    assert len({key.split("/")[1] for key in keys_of(sharing.place) if "/files/" in key}) == 2


def test_a_late_process_replaces_what_is_damaged(sharing: Machines) -> None:
    first, second = sharing.store("a"), sharing.store("b")
    with first.writing(ADDRESS, INPUTS) as work:
        (work / "file").write_bytes(b"good")
        # Locks would keep the second away.
        second_work = second.workspace / ADDRESS.work_folder
        resume_folder(second_work).mkdir(parents=True)
        second_work.mkdir()
        (second_work / "file").write_bytes(b"also")
        finish(second)
        attempt = attempt_of(second)
        sharing.place.put(f"{KEYS.files(attempt)}file", b"else")
        finish(first)
    assert attempt_of(first) != attempt
    assert contents(sharing.store("c").fetch(ADDRESS)) == {"file": b"good"}


def test_a_place_that_cannot_be_reached_costs_a_checkpoint_but_not_the_work(
    sharing: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    is_cut = False

    def cut(name: str, key: str) -> None:
        if is_cut:
            raise StoreError("the place is away")

    store, _ = sharing.failing("a", cut)
    with pytest.raises(StoreError, match="the place is away"), store.writing(ADDRESS, INPUTS) as work:
        (work / "file").write_bytes(b"1")
        (resume_folder(work) / "state").write_bytes(b"2")
        is_cut = True
        store.keep(ADDRESS)
        finish(store)
    assert "RTE teacher: no checkpoint was sent: the place is away" in caplog.text
    is_cut = False
    with store.writing(ADDRESS, INPUTS) as work:
        assert (work / "file").read_bytes() == b"1"
        assert finish(store).digest


def test_a_machine_whose_process_was_killed_goes_on_at_once(sharing: Machines) -> None:
    dies = DiesAt(2, is_done=False)
    store, _ = sharing.failing("a", dies)
    with pytest.raises(Killed):
        compute(store)
    with pytest.raises(HeldError), sharing.store("b").locked(ADDRESS, wait=False):
        pass
    with sharing.store("a").locked(ADDRESS, wait=False):
        pass


def test_publishing_again_replaces_another_stages_files_only_in_name(sharing: Machines) -> None:
    publish(sharing.store("a"), ADDRESS, FILES, INPUTS)
    first = attempt_of(sharing.store("a"))
    publish(sharing.store("b"), ADDRESS, {"file": b"new"}, {"tokens": "bb"})
    assert attempt_of(sharing.store("a")) != first
    assert contents(sharing.store("a").fetch(ADDRESS)) == {"file": b"new"}
    assert f"attempts/{first}/files/model.safetensors" in keys_of(sharing.place), "left to pkd clean"
