"""Finds the published stage of a registered model: its files are taken from the workspace, never from MLflow."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.errors import ModelError, listed, quoted
from pkd_core.store.address import Address
from pkd_core.store.attached import place_of
from pkd_core.store.stage_store import StageStore
from tasks.mlflow_store import find_client, store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_ADDRESS = re.compile(r"models:/(?P<name>[^@/]+)(@(?P<alias>[^@/]+)|/(?P<version>[0-9]+))")
_TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def find_registered(workspace: Path, address: str) -> Path:
    """Return the published folder of a registered model.

    Args:
        workspace: Folder whose store is asked, and which has the files.
        address: "models:/NAME@ALIAS" or "models:/NAME/VERSION".

    Raises:
        ModelError: The address is of no such form, MLflow does not know it, or the workspace has not its files.
        StoreError: MLflow's store does not answer.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ModelError(
            f"expected an address such as models:/pkd-RTE-3l@best or models:/pkd-RTE-3l/2, got {quoted(address)}."
        )
    with store_errors(address, "find"):
        client = find_client(workspace)
        if client is None:
            raise ModelError(
                f"there is no MLflow database in {workspace.resolve()}; give the --workspace of a run, or set "
                "MLFLOW_TRACKING_URI."
            )
        version = _find_version(client, match)
        if version is None:
            names = [one.name for one in client.search_registered_models("name LIKE 'pkd-%'")]
            raise ModelError(f"MLflow has no {address}; the names that it has are {listed(names)}.")
    folder = _published(workspace, version.tags)
    if folder is None:
        raise ModelError(
            f"the files of {address} are not in {workspace.resolve()} any more; repeat the `pkd run` that made them, "
            "or load MLflow's own copy with mlflow.pyfunc.load_model."
        )
    return folder


def _find_version(client: "MlflowClient", match: re.Match[str]) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        if match["alias"]:
            return client.get_model_version_by_alias(match["name"], match["alias"])
        return client.get_model_version(match["name"], match["version"])
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _published(workspace: Path, tags: Mapping[str, str]) -> Path | None:
    """Return the folder of a training or export; what a store answers is checked before it becomes part of a path.

    From a place that several machines share it is downloaded.
    """
    task, fingerprint = tags.get("task", ""), tags.get("fingerprint", "")
    if not _TASK.fullmatch(task) or not _FINGERPRINT.fullmatch(fingerprint):
        return None
    if place_of(workspace) is None:
        return next((workspace / "artifacts" / task).glob(f"*-{fingerprint}"), None)
    method = tags.get("method", "")
    name = method if method == "teacher" else f"{method}-{tags.get('layers')}l-s{tags.get('seed')}"
    stages = StageStore(workspace)
    for stage in (name, f"export-{name}"):
        if _TASK.fullmatch(stage):
            address = Address("artifacts", task, stage, fingerprint)
            if stages.find_manifest(address):
                return stages.fetch(address)
    return None
