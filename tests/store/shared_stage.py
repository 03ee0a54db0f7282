"""A stage in a place that machines share."""

from pathlib import Path

from pkd_core.places.objects import Objects
from pkd_core.store.address import Address, StageRecord
from pkd_core.store.keys import StageKeys
from pkd_core.store.stage_store import StageStore

ADDRESS = Address("artifacts", "RTE", "teacher", "0123456789abcdef")
KEYS = StageKeys(ADDRESS)
FILES = {"model.safetensors": b"m" * 4000, "training.json": b"{}", "vocab/vocab.txt": b"the"}
INPUTS = {"tokens": "aa"}


def compute(store: StageStore, files: dict[str, bytes] = FILES) -> StageRecord:
    """Compute and publish, keeping what an interrupted process has left."""
    with store.writing(ADDRESS, INPUTS) as work:
        for name, content in files.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_bytes(content)
        return finish(store)


def finish(store: StageStore) -> StageRecord:
    return store.publish(ADDRESS, code_version=1, config={}, inputs=INPUTS, facts={})


def contents(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "manifest.json"}


def keys_of(place: Objects) -> list[str]:
    """Return the keys of everything of the stage but its leases, without their common part."""
    keys = [found.key.removeprefix(KEYS.folder) for found in place.list(KEYS.folder)]
    return [key for key in keys if not key.startswith("leases/")]


def attempt_of(store: StageStore) -> str:
    manifest = store.find_manifest(ADDRESS)
    assert manifest is not None
    return manifest.attempt
