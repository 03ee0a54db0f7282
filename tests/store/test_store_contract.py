"""What a stage store keeps to, on one machine and where several share a place."""

import threading
from pathlib import Path

import pytest
from machines import Machines
from published_stages import publish

from pkd_core.errors import HeldError
from pkd_core.store.address import Address
from pkd_core.store.inspection import Inspection, StageStatus
from pkd_core.store.work_folder import resume_folder

ADDRESS = Address("data_feat", "RTE", "tokens", "0123456789abcdef")
FILES = {"train-00000.parquet": b"a" * 5000, "dev-00000.parquet": b"b" * 300, "nested/more/notes.txt": b"c"}
INPUTS = {"raw": "aa"}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_what_one_has_published_another_finds_and_reads(machines: Machines) -> None:
    first, second = machines.store("a"), machines.store("b")
    assert first.inspect(ADDRESS) == Inspection(StageStatus.MISSING, "not built yet")
    assert second.find_manifest(ADDRESS) is None
    record = publish(first, ADDRESS, FILES, INPUTS)
    manifest = second.find_manifest(ADDRESS)
    assert manifest is not None
    for store in (first, second):
        assert store.inspect(ADDRESS, inputs=INPUTS) == Inspection(StageStatus.DONE, "", manifest)
        assert store.inspect(ADDRESS, inputs=INPUTS, deep=True).status is StageStatus.DONE
        assert store.record(ADDRESS, manifest) == record
        folder = store.fetch(ADDRESS)
        assert folder == store.workspace / ADDRESS.folder
        assert contents(folder) == FILES
    assert bool(manifest.attempt) == (machines.url is not None)


def test_a_stage_from_other_inputs_is_stale_and_published_again(machines: Machines) -> None:
    publish(machines.store("a"), ADDRESS, FILES, INPUTS)
    second = machines.store("b")
    second.fetch(ADDRESS)
    inspection = second.inspect(ADDRESS, inputs={"raw": "bb"})
    assert (inspection.status, inspection.reason) == (
        StageStatus.STALE,
        "its input raw has changed since",
    )
    publish(machines.store("a"), ADDRESS, FILES | {"nested/more/notes.txt": b"new"}, {"raw": "bb"})
    assert second.inspect(ADDRESS, inputs={"raw": "bb"}, deep=True).status is StageStatus.DONE
    assert (second.fetch(ADDRESS) / "nested/more/notes.txt").read_bytes() == b"new"


def test_many_stages_are_inspected_as_each_alone(machines: Machines) -> None:
    others = [Address("artifacts", "RTE", f"s{number}", ADDRESS.fingerprint) for number in range(20)]
    for address in (ADDRESS, others[7]):
        publish(machines.store("a"), address, FILES, INPUTS)
    store = machines.store("b")
    found = store.inspect_all([ADDRESS, *others], deep=True)
    assert found == {address: store.inspect(address) for address in (ADDRESS, *others)}
    done = [address for address, one in found.items() if one.status is StageStatus.DONE]
    assert done == [ADDRESS, others[7]]
    assert found[ADDRESS].against({"raw": "bb"}).status is StageStatus.STALE
    assert found[others[0]].against({"raw": "bb"}).status is StageStatus.MISSING


def test_a_stage_that_another_holds_is_not_written(machines: Machines) -> None:
    first, second = machines.store("a"), machines.store("b")
    with first.writing(ADDRESS, INPUTS):
        for hold in (second.locked(ADDRESS, wait=False), second.writing(ADDRESS, INPUTS, wait=False)):
            with pytest.raises(HeldError, match=r"RTE tokens needs a (lock|lease) that process"), hold:
                pass
        assert second.set_aside(ADDRESS) is None
    with second.writing(ADDRESS, INPUTS, wait=False):
        pass


def test_who_waits_goes_on_when_the_other_has_published(machines: Machines) -> None:
    first, second = machines.store("a"), machines.store("b")
    seen: list[StageStatus] = []

    def wait() -> None:
        with second.writing(ADDRESS, INPUTS):
            seen.append(second.inspect(ADDRESS).status)

    thread = threading.Thread(target=wait)
    with first.writing(ADDRESS, INPUTS) as work:
        thread.start()
        (work / "file").write_bytes(b"1")
        first.publish(ADDRESS, code_version=1, config={}, inputs=INPUTS, facts={})
    thread.join()
    assert seen == [StageStatus.DONE]


def test_an_interrupted_stage_goes_on_in_its_folders_unless_its_inputs_change(machines: Machines) -> None:
    store = machines.store("a")
    with pytest.raises(KeyError), store.writing(ADDRESS, INPUTS) as work:
        (work / "half").write_bytes(b"1")
        (resume_folder(work) / "state").write_bytes(b"2")
        raise KeyError
    with pytest.raises(KeyError), store.writing(ADDRESS, INPUTS) as work:
        assert ((work / "half").read_bytes(), (resume_folder(work) / "state").read_bytes()) == (b"1", b"2")
        raise KeyError
    with store.writing(ADDRESS, {"raw": "bb"}) as work:
        assert list(work.iterdir()) == []
