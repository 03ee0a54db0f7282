"""Small published stages for tests."""

from collections.abc import Mapping
from pathlib import Path

from pkd_core.store.address import Address, StageRecord
from pkd_core.store.stage_store import StageStore


def publish(
    store: StageStore, address: Address, files: Mapping[str, bytes], inputs: Mapping[str, str] | None = None
) -> StageRecord:
    """Publish a stage with the given files."""
    with store.writing(address, {}) as work:
        for name, data in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(data)
        return store.publish(
            address, code_version=7, config={"max_length": 128}, inputs=inputs or {}, facts={"rows": 3}
        )


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and content of everything in a folder."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }
