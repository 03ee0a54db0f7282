"""MLflow runs that have not finished: which one belongs to a stage, and which ones are dead.

A file beside the stage's work folder names the attempt, an id that the run carries as a tag. It is written before the
run is created, and removed when the run is finished: whatever dies in between, the next run finds it, on any host.
"""

import json
import re
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.store.address import AREAS, Address
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.lock import is_locked
from pkd_core.store.os_errors import file_errors
from pkd_core.store.work_folder import lock_file
from tasks.mlflow_store import Store, all_pages, store_errors

if TYPE_CHECKING:
    from mlflow.entities import Run

ATTEMPT_TAG, PLACE_TAG = "attempt", "place"
_SUFFIX = ".mlflow.json"
_SENTENCE_LENGTH = 5000
_DEAD = "The process died; the next run of this stage continues this one or replaces it."
_REPLACED = "Another process has taken the stage over, and logs to a run of its own."


def attempt_file(workspace: Path, address: Address) -> Path:
    """Return the file that names the attempt of a stage whose MLflow run is not finished."""
    work = workspace / address.work_folder
    return work.with_name(f"{work.name}{_SUFFIX}")


def new_attempt(path: Path) -> str:
    """Record a new attempt, before its run is created, and return its id.

    Raises:
        StoreError: If the disk refuses.
    """
    attempt = uuid.uuid4().hex
    with file_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json.dumps({ATTEMPT_TAG: attempt}) + "\n")
    return attempt


def read_unfinished(store: Store, path: Path) -> "Run | None":
    """Return the unfinished run of the attempt that a file names; None without such a file or run."""
    try:
        attempt = json.loads(path.read_text(encoding="utf-8"))[ATTEMPT_TAG]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not re.fullmatch("[0-9a-f]{32}", str(attempt)):
        return None
    runs = store.client.search_runs(
        [store.experiment_id], f"tags.{ATTEMPT_TAG} = '{attempt}' and attributes.status != 'FINISHED'"
    )
    return runs[0] if runs else None


def reopen(store: Store, run: "Run") -> str:
    """Set a run to RUNNING again, and return its id."""
    run_id: str = run.info.run_id
    store.client.update_run(run_id, status="RUNNING")
    if "error" in run.data.tags:
        store.client.delete_tag(run_id, "error")
    return run_id


def fail_if_running(store: Store, run: "Run | None") -> None:
    """Mark a run as failed if it is RUNNING although its process has died."""
    if run is not None and run.info.status == "RUNNING":
        mark_failed(store, run.info.run_id, _DEAD)


def mark_failed(store: Store, run_id: str, sentence: str) -> None:
    """End a run as failed, with the reason as its tag "error"."""
    with store_errors(run_id):
        store.client.set_tag(run_id, "error", sentence[:_SENTENCE_LENGTH])
        store.client.set_terminated(run_id, "FAILED")


def fail_dead_runs(store: Store, workspace: Path) -> None:
    """Mark this machine's runs as failed that are RUNNING although no process holds their stage's lock.

    One that lives all the same, between two locks, becomes FINISHED when it ends.

    Raises:
        StoreError: MLflow or the disk refuses.
    """
    for area in AREAS:
        for path in sorted((workspace / area).glob(f"*/.work/*{_SUFFIX}")):
            if not is_locked(lock_file(path.with_name(path.name.removesuffix(_SUFFIX)))):
                with store_errors("runs of processes that died"):
                    fail_if_running(store, read_unfinished(store, path))


def fail_others(store: Store, fingerprints: Collection[str], own: str | None = None) -> None:
    """Mark runs of other machines as failed that are RUNNING although their stages were taken over or are published.

    One that lives all the same finds that out in the shared place, unless its result is the one that stands there: then
    it becomes FINISHED when it ends.

    Args:
        store: Where the runs are; nothing happens unless its workspace is shared.
        fingerprints: The stages.
        own: The run of the stage that stays as it is.
    """
    if store.place is None:
        return
    of_one = [f"tags.fingerprint = '{one}'" for one in fingerprints] if len(fingerprints) == 1 else []
    condition = " and ".join(["attributes.status = 'RUNNING'", *of_one])
    for run in all_pages(store.client.search_runs, [store.experiment_id], condition):
        is_of_stage = run.data.tags.get("fingerprint") in fingerprints
        if is_of_stage and run.data.tags.get(PLACE_TAG) == store.place and run.info.run_id != own:
            mark_failed(store, run.info.run_id, _REPLACED)
