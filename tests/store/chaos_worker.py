"""A process that builds stages of a shared place until all are published, whatever happens to it; see test_chaos.py."""

import functools
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from faulty_disk import faulty_disk

from pkd_core.errors import HeldError, LostError, StoreError
from pkd_core.places.folder import FolderObjects
from pkd_core.places.lease import Lease, leased
from pkd_core.store import shared_stages
from pkd_core.store.address import Address
from pkd_core.store.attached import attach
from pkd_core.store.finished_files import FinishedFiles
from pkd_core.store.inspection import StageStatus
from pkd_core.store.stage_store import StageStore
from pkd_core.store.work_folder import resume_folder

TERM = 2.0
ADDRESSES = [Address("artifacts", "RTE", f"stage-{number}", f"{number:016x}") for number in range(10)]
NUM_PARTS = 8
PART_SECONDS = (
    1.2  # Long enough for all that test_chaos.py does to the processes to happen before the last stage.
)
INPUTS = {"tokens": "aa"}


def build_all(url: str, events: Path, seed: int) -> None:
    """Build or wait for every stage, each third process in reverse order; then download all."""
    addresses = ADDRESSES if seed % 3 else ADDRESSES[::-1]
    for do in (_build, _see):
        for address in addresses:
            while True:
                try:
                    do(StageStore(attach(url)), address, events)
                    break
                except (StoreError, OSError) as error:
                    # As the retry of a stage.
                    _write(events, "failed", address, error=f"{type(error).__name__}: {error}")
                    time.sleep(0.1)


def _build(store: StageStore, address: Address, events: Path) -> None:
    while store.inspect(address, INPUTS).status is not StageStatus.DONE:
        with suppress(HeldError), store.writing(address, INPUTS, wait=False) as work:
            if store.inspect(address, INPUTS).status is StageStatus.DONE:
                return
            try:
                _compute(store, address, work, events)
                store.publish(address, code_version=1, config={}, inputs=INPUTS, facts={})
            except LostError:
                _write(events, "lost", address)
                continue
            manifest = store.find_manifest(address)
            _write(events, "published", address, attempt=manifest.attempt if manifest else "")
            return
        with store.locked(address):
            pass


def _compute(store: StageStore, address: Address, work: Path, events: Path) -> None:
    finished = FinishedFiles(work, resume_folder(work), keep=functools.partial(store.keep, address))
    for part in range(NUM_PARTS):
        name = f"part-{part}"
        if finished.is_finished(name):
            _write(events, "resumed", address)
            continue
        store.check_held(address)
        time.sleep(PART_SECONDS)
        (work / name).write_bytes(os.urandom(100_000))
        _write(events, "computed", address)
        finished.add(name)


def _see(store: StageStore, address: Address, events: Path) -> None:
    manifest = store.find_manifest(address)
    assert manifest is not None, "a published stage is gone"
    store.fetch(address)
    _write(events, "seen", address, attempt=manifest.attempt, digest=manifest.digest)


def _write(events: Path, event: str, address: Address, **facts: Any) -> None:
    line = json.dumps({"event": event, "stage": address.stage, "pid": os.getpid(), **facts})
    with events.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


@contextmanager
def _never_refused(*_: object, **__: object) -> Iterator[Lease]:
    """Stand for leases that do not hold anybody back."""
    yield Lease(objects=FolderObjects(Path()), prefix="", number=1, purpose="", holder={})


if __name__ == "__main__":
    url, events_file, seed, disk_fault_rate, has_leases = sys.argv[1:]
    shared_stages.leased = functools.partial(leased, term=TERM) if int(has_leases) else _never_refused  # type: ignore[assignment]
    shared_folder = url.removeprefix("file://")
    with faulty_disk(int(seed), float(disk_fault_rate), below=shared_folder) as counts:
        build_all(url, Path(events_file), int(seed))
    _write(Path(events_file), "ended", ADDRESSES[0], disk=dict(counts))
