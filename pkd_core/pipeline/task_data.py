"""The raw data of tasks in a workspace that several machines share: found by the task's name from any of them.

`data_raw/<task>.json` in the place names the source that holds a task's files. Data in `data_raw` of the current folder
come first, as where the workspace is that folder.
"""

import re
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from pkd_core.data.custom_task import TASK_FILE
from pkd_core.data.examples import files_of
from pkd_core.data.glue import GLUE_TASKS, load_task
from pkd_core.data.race import RACE
from pkd_core.pipeline.sources import has_raw_files
from pkd_core.store.atomic import atomic_folder, durable_rename
from pkd_core.store.attached import place_of
from pkd_core.store.fingerprint import sha256_folder
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import file_errors
from pkd_core.store.source_files import (
    copy_files,
    fetch_source,
    keep_copy,
    name_source,
    named_source,
    send_source,
)

_OWN = Path("data_raw")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def bring_data(workspace: Path, names: Iterable[str]) -> None:
    """Bring the data of tasks into `data_raw` of an attached workspace, as far as they are anywhere.

    They are those in `data_raw` of the current folder; else those that the place has; else what is there already. A
    workspace of one machine stays as it is.

    Args:
        workspace: The workspace.
        names: The tasks' names.

    Raises:
        DataError: A task's description in the current folder is invalid.
        StoreError: The place fails, or the disk cannot be written.
    """
    objects = place_of(workspace)
    if objects is None:
        return
    data_raw = workspace / "data_raw"
    for name in names:
        if not _PLAIN.fullmatch(name):
            continue  # reported where it is loaded
        if _has_data(name, _OWN):
            _take(_OWN, task_files(name, _OWN), data_raw)
        elif (digest := named_source(objects, _key(name))) is not None:
            folder = fetch_source(workspace, objects, digest)
            _take(folder, task_files(name, folder), data_raw)


def send_data(workspace: Path, name: str) -> str:
    """Send a task's data from an attached workspace to the place, and let its name mean them from now on.

    Returns:
        The hash of the source that they are.

    Raises:
        StoreError: The workspace is not attached, the place fails, or a file changes meanwhile.
    """
    objects = place_of(workspace)
    assert objects is not None, "only data of attached workspaces are sent"
    data_raw = workspace / "data_raw"
    names = task_files(name, data_raw)
    digest = send_source(objects, data_raw, names)
    keep_copy(workspace, digest, data_raw, names)
    name_source(objects, _key(name), digest)
    return digest


def task_files(name: str, data_raw: Path) -> list[str]:
    """Return every file of a task that exists, relative to data_raw, with forward slashes.

    Raises:
        DataError: There is no such task, or its description is invalid.
    """
    task = load_task(name, data_raw)
    paths = [file for split in task.splits for file in files_of(data_raw / split.file)]
    paths += [data_raw / task.unlabelled_split.file, data_raw / name / TASK_FILE]
    return sorted({path.relative_to(data_raw).as_posix() for path in paths if path.is_file()})


def _has_data(name: str, data_raw: Path) -> bool:
    is_known = name in GLUE_TASKS or name == RACE.name
    if not is_known and not (data_raw / name / TASK_FILE).is_file():
        return False
    return has_raw_files(load_task(name, data_raw), data_raw)


def _take(source: Path, names: list[str], data_raw: Path) -> None:
    """Make the folders of some files in data_raw hold these files alone, unless they have the same bytes already."""
    with file_errors("write", data_raw):
        data_raw.mkdir(parents=True, exist_ok=True)
    for top in sorted({name.partition("/")[0] for name in names}):
        mine = [name for name in names if name.startswith(f"{top}/")]
        target = data_raw / top
        with file_errors("write", target), hold(data_raw / f".{top}.lock", f"the data of {top}"):
            if sha256_folder(source, mine) != sha256_folder(data_raw, _files_below(target, data_raw)):
                if target.exists():
                    old = data_raw / f".{top}.{uuid.uuid4().hex}"
                    durable_rename(target, old)
                    shutil.rmtree(old)
                with atomic_folder(target) as partial:
                    copy_files(source / top, [name.removeprefix(f"{top}/") for name in mine], partial)


def _files_below(folder: Path, data_raw: Path) -> list[str]:
    return [path.relative_to(data_raw).as_posix() for path in folder.rglob("*") if path.is_file()]


def _key(name: str) -> str:
    return f"data_raw/{name}.json"
