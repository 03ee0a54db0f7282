"""What `pkd clean` may delete of a place that several machines share."""

from pathlib import Path

import pytest
from machines import Machines
from published_stages import publish
from shared_stage import ADDRESS, FILES, INPUTS, KEYS, compute

from pkd_core.store import shared_cleanup
from pkd_core.store.address import Address
from pkd_core.store.cleanup import find_garbage, remove
from pkd_core.store.garbage import GarbageKind

OTHER = Address("data_feat", "RTE", "tokens", "0123456789abcdef")
KEPT = ADDRESS.folder.as_posix()


@pytest.fixture
def everybody_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time has to pass until whoever gives no sign of life is taken to be dead."""
    monkeypatch.setattr(shared_cleanup, "SECONDS_ALIVE", -60.0)


def found(workspace: Path, *kept: str) -> list[tuple[str, GarbageKind]]:
    return [(one.folder.as_posix(), one.kind) for one in find_garbage(workspace, kept)]


def test_what_no_run_refers_to_is_deleted_from_the_place_and_from_this_machine(sharing: Machines) -> None:
    compute(sharing.store("a"))
    publish(sharing.store("a"), OTHER, {"tokens.parquet": b"1234"})
    workspace = sharing.workspace("b")
    for address in (ADDRESS, OTHER):
        sharing.store("b").fetch(address)
    (garbage,) = find_garbage(workspace, [KEPT])
    assert (garbage.folder, garbage.kind) == (OTHER.folder, GarbageKind.UNREFERENCED)
    assert garbage.num_bytes > 4
    assert remove(workspace, garbage)
    assert [key.key for key in sharing.place.list("data_feat/")] == []
    assert sharing.store("a").find_manifest(OTHER) is None
    assert not (workspace / OTHER.folder).exists()
    assert sharing.store("b").fetch(ADDRESS).is_dir()
    # The other machine's copy is no stage any more, and goes when it is cleaned there.
    assert found(sharing.workspace("a"), KEPT) == [(OTHER.folder.as_posix(), GarbageKind.UNREFERENCED)]


@pytest.mark.usefixtures("everybody_is_dead")
def test_an_attempt_that_was_not_published_is_deleted_and_the_published_one_stays(sharing: Machines) -> None:
    compute(sharing.store("a"))
    for name in ("files/model.safetensors", "resume.json"):
        sharing.place.put(f"{KEYS.attempts}0123/{name}", b"an attempt of a machine that was cut off")
    workspace = sharing.workspace("b")
    (garbage,) = find_garbage(workspace, [KEPT])
    assert (garbage.folder.as_posix(), garbage.kind) == (f"{KEYS.attempts}0123", GarbageKind.UNFINISHED)
    assert remove(workspace, garbage)
    assert not list(sharing.place.list(f"{KEYS.attempts}0123/"))
    folder = sharing.store("b").fetch(ADDRESS)
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert found(workspace, KEPT) == []


def test_a_stage_that_some_machine_computes_is_spared_and_so_is_one_that_was_cut_off_just_now(
    sharing: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sharing.store("a").writing(ADDRESS, INPUTS) as work:
        (work / "finished").write_bytes(b"1")
        assert found(sharing.workspace("b")) == []
    sharing.place.put(f"{KEYS.attempts}0123/resume.json", b"{}")
    assert found(sharing.workspace("b")) == []
    monkeypatch.setattr(shared_cleanup, "SECONDS_ALIVE", -60.0)
    (garbage,) = find_garbage(sharing.workspace("b"), [])
    assert (garbage.folder, garbage.kind) == (ADDRESS.folder, GarbageKind.UNFINISHED)
    # A run that refers to it continues from what is there.
    assert found(sharing.workspace("b"), KEPT) == []
    with sharing.store("a").locked(ADDRESS):
        assert not remove(sharing.workspace("b"), garbage)
    assert remove(sharing.workspace("b"), garbage)
    assert not list(sharing.place.list(KEYS.folder))


@pytest.mark.usefixtures("everybody_is_dead")
def test_an_interrupted_removal_leaves_no_stage_and_is_continued(
    sharing: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(sharing.store("a"))
    workspace = sharing.workspace("b")
    (garbage,) = find_garbage(workspace, [])
    deleted: list[str] = []
    delete = type(sharing.place).delete

    def failing(self: object, key: str) -> None:
        if len(deleted) == 2:
            raise KeyboardInterrupt
        deleted.append(key)
        delete(sharing.place, key)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(sharing.place), "delete", failing)
        with pytest.raises(KeyboardInterrupt):
            remove(workspace, garbage)
    assert deleted[0] == KEYS.manifest
    assert sharing.store("a").find_manifest(ADDRESS) is None
    (rest,) = find_garbage(workspace, [])
    assert rest.kind is GarbageKind.UNFINISHED
    assert remove(workspace, rest)
    assert not list(sharing.place.list(KEYS.folder))
