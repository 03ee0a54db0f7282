"""The data of a compression: a file of one's own becomes a task; a task's name is one already."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pkd_core.data.custom_task import TASK_FILE
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError
from pkd_core.own_data.columns import NoLabelsError
from pkd_core.own_data.own_data import OwnData, read_own_data
from pkd_core.own_data.request import DataRequest
from pkd_core.own_data.write import is_written, write_task
from pkd_core.pipeline.task_data import bring_data
from pkd_core.pipeline.teacher_labels import label_texts


@dataclass(frozen=True)
class FoundData:
    """The task that a compression's data are.

    Attributes:
        task: Its name.
        data_raw: The folder that its own folder is in.
        table: What the user's files hold: names and values; empty for a task that was there.
        notes: How they were read, what was guessed, and what may be wrong, as sentences.
        sample: Some of the texts, to measure their lengths by; none of a task that was there.
    """

    task: str
    data_raw: Path
    table: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    sample: tuple[tuple[str, ...], ...] = ()


def find_data(
    request: DataRequest,
    data_raw: Path,
    teachers: Sequence[str] = (),
    device: str = "auto",
    import_to: Path | None = None,
) -> FoundData:
    """Write the user's data as a task, unless they are named as one.

    Args:
        request: The data.
        data_raw: Folder of the tasks.
        teachers: The given teachers, which label texts that have no labels at all.
        device: Where they compute.
        import_to: Where data are written that `data_raw` does not hold yet; None for there.

    Raises:
        PkdError: The data cannot be read, or a task was given with what only a file needs.
    """
    name = str(request.data)
    if not is_task(name, data_raw):
        own = _read(request, data_raw, teachers, device)
        look = own.first_look
        folder = data_raw if import_to is None or is_written(own, data_raw) else import_to
        task = write_task(own, folder)
        return FoundData(task, folder, tuple(look.table), (*own.notes, *look.warnings), tuple(own.sample))
    if given := sorted(request.model_dump(exclude={"data"}, exclude_defaults=True)):
        raise ConfigError(
            f"{name} is a task, whose task.toml says what its files and columns are, got {', '.join(given)} too; leave "
            "these out, or give a file in place of the task."
        )
    return FoundData(name, data_raw)


def _read(request: DataRequest, data_raw: Path, teachers: Sequence[str], device: str) -> OwnData:
    try:
        return read_own_data(request)
    except NoLabelsError as error:
        if not teachers:
            raise
        labelled = label_texts(request, error, teachers, data_raw, device)
    own = read_own_data(labelled.request)
    name = labelled.labelled_by
    notes = (
        f"There are no labels: those of {name} take their place, and scores are agreement with it.",
        *own.notes[1:],
    )
    return replace(own, notes=notes, labelled_by=name)


def bring_named_data(workspace: Path, name: str) -> None:
    """Bring the data of a task into a workspace that several machines share, unless the name is that of a file here.

    Raises:
        PkdError: See `bring_data`.
    """
    try:
        is_file = Path(name).exists()
    except (OSError, ValueError):  # no path: too long
        is_file = False
    if not is_file:
        bring_data(workspace, [name])


def is_task(name: str, data_raw: Path) -> bool:
    """Return whether a name is that of a task: GLUE's, or a folder of data_raw with a task.toml.

    A file or a folder of that name in the current folder comes first.
    """
    try:
        if Path(name).exists() or Path(name).name != name:
            return False
        return name in GLUE_TASKS or (data_raw / name / TASK_FILE).is_file()
    except (OSError, ValueError):  # no path: too long
        return False
