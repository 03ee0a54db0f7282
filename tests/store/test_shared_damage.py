"""Damage in a place that machines share, and in a machine's copies of what it holds."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from machines import Machines
from shared_stage import ADDRESS, FILES, KEYS, attempt_of, compute, contents

from pkd_core.errors import DamagedError, StoreError
from pkd_core.places.objects import Objects
from pkd_core.store import published
from pkd_core.store.inspection import Inspection, StageStatus


def delete(place: Objects, key: str) -> None:
    place.delete(key)


def truncate(place: Objects, key: str) -> None:
    place.put(key, b"m" * 3999)


def flip(place: Objects, key: str) -> None:
    place.put(key, b"m" * 3999 + b"n")


def add(place: Objects, key: str) -> None:
    place.put(f"{key}.tmp", b"")


def spoil(place: Objects, key: str) -> None:
    place.put(KEYS.manifest, b"\xff\x00 not a manifest")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (delete, "model.safetensors is absent"),
        (truncate, "model.safetensors has 3999 bytes where 4000 were published"),
        (flip, "model.safetensors has other bytes than were published"),
        (add, "model.safetensors.tmp does not belong there"),
        (spoil, "manifest.json is not JSON"),
    ],
)
def test_damage_in_the_place_is_found_withdrawn_and_repaired(
    sharing: Machines, fault: Callable[[Objects, str], None], reason: str
) -> None:
    first, second = sharing.store("a"), sharing.store("b")
    compute(first)
    attempt = attempt_of(first)
    fault(sharing.place, f"{KEYS.files(attempt)}model.safetensors")
    for store in (first, second):
        deep = store.inspect(ADDRESS, deep=True)
        assert (deep.status, deep.reason) == (StageStatus.DAMAGED, reason)
        shallow = store.inspect(ADDRESS)
        assert (shallow.status is StageStatus.DONE) == (fault is flip)
    if fault not in (add, spoil):
        with pytest.raises(DamagedError, match=reason):
            second.fetch(ADDRESS)
    aside = second.set_aside(ADDRESS)
    assert aside == f"{sharing.place.url}/{KEYS.attempts}{'' if fault is spoil else attempt}"
    for store in (first, second):
        assert store.inspect(ADDRESS) == Inspection(StageStatus.MISSING, "it was damaged, and withdrawn")
        with pytest.raises(StoreError, match="is gone; run again"):
            store.fetch(ADDRESS)
    compute(first)
    assert contents(second.fetch(ADDRESS)) == FILES
    assert second.inspect(ADDRESS, deep=True).status is StageStatus.DONE


def test_a_machine_sends_again_what_it_had_sent_before_it_was_found_damaged(
    sharing: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sharing.store("a"), sharing.store("b")
    create_or_read = published.create_or_read

    def lose_the_answer(*arguments: Any) -> bytes:
        create_or_read(*arguments)
        raise StoreError("the connection breaks.")

    with monkeypatch.context() as patch, pytest.raises(StoreError, match="the connection breaks"):
        patch.setattr(published, "create_or_read", lose_the_answer)
        compute(first)
    flip(sharing.place, f"{KEYS.files(attempt_of(second))}model.safetensors")
    second.set_aside(ADDRESS)
    compute(first)
    assert second.inspect(ADDRESS, deep=True).status is StageStatus.DONE
    assert contents(second.fetch(ADDRESS)) == FILES


def test_a_damaged_copy_is_set_aside_and_fetched_again_while_the_stage_stays(sharing: Machines) -> None:
    compute(sharing.store("a"))
    store = sharing.store("b")
    path = store.fetch(ADDRESS) / "model.safetensors"
    path.write_bytes(b"x" * 4000)
    aside = store.set_aside(ADDRESS)
    assert aside is not None
    assert Path(aside).parent == store.workspace / ADDRESS.backup_folder
    assert (Path(aside) / "model.safetensors").read_bytes() == b"x" * 4000
    assert store.inspect(ADDRESS).status is StageStatus.DONE
    assert contents(store.fetch(ADDRESS)) == FILES
    (path.parent / "training.json").unlink()
    assert contents(store.fetch(ADDRESS)) == FILES, "a file that is absent is found without hashing"


def test_an_interrupted_download_goes_on_with_the_files_that_it_lacks(sharing: Machines) -> None:
    compute(sharing.store("a"))
    attempt = attempt_of(sharing.store("a"))
    key = f"{KEYS.files(attempt)}vocab/vocab.txt"
    sharing.place.delete(key)
    store, place = sharing.failing("b")
    with pytest.raises(DamagedError, match=r"vocab\.txt is absent"):
        store.fetch(ADDRESS)
    assert not (store.workspace / ADDRESS.folder).exists()
    sharing.place.put(key, b"the")
    place.calls.clear()
    assert contents(store.fetch(ADDRESS)) == FILES
    assert place.keys("download") == [key]


def test_a_copy_that_does_not_fit_on_the_disk_is_not_begun(
    sharing: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(sharing.store("a"))
    store = sharing.store("b")
    usage = shutil.disk_usage(store.workspace)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=3000))
    with pytest.raises(StoreError, match=r"expected 0\.00 MB of free disk for a copy of RTE teacher, got"):
        store.fetch(ADDRESS)
