"""Reads what a stage was made of from the manifests of its inputs, whose files may be on other machines."""

from pkd_core.errors import StoreError
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import Manifest
from pkd_core.store.stage_store import StageStore


def read_published(stages: StageStore, record: StageRecord) -> Manifest:
    """Return the manifest of a published stage.

    Raises:
        StoreError: The stage is gone, or its manifest cannot be read.
    """
    manifest = stages.find_manifest(record.address)
    if manifest is None:
        raise StoreError(
            f"MLflow needs {record.path}, which is gone since it was read; run again to rebuild it."
        )
    return manifest
