"""The data of a compression: a file of one's own becomes a task; a task's name is one already."""

from dataclasses import dataclass
from pathlib import Path

from pkd_core.data.custom_task import TASK_FILE
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError
from pkd_core.own_data.own_data import read_own_data
from pkd_core.own_data.request import DataRequest
from pkd_core.own_data.write import write_task


@dataclass(frozen=True)
class FoundData:
    """The task that a compression's data are.

    Attributes:
        task: Its name.
        table: What the user's files hold: names and values; empty for a task that was there.
        notes: How they were read, what was guessed, and what may be wrong, as sentences.
        sample: Some of the texts, to measure their lengths by; none of a task that was there.
    """

    task: str
    table: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    sample: tuple[tuple[str, ...], ...] = ()


def find_data(request: DataRequest, data_raw: Path) -> FoundData:
    """Write the user's data as a task, unless they are named as one.

    Args:
        request: The data.
        data_raw: Folder of the tasks.

    Raises:
        PkdError: The data cannot be read, or a task was given with what only a file needs.
    """
    name = str(request.data)
    if not is_task(name, data_raw):
        own = read_own_data(request)
        look = own.first_look
        task = write_task(own, data_raw)
        return FoundData(task, tuple(look.table), (*own.notes, *look.warnings), tuple(own.sample))
    if given := sorted(request.model_dump(exclude={"data"}, exclude_defaults=True)):
        raise ConfigError(
            f"{name} is a task, whose task.toml says what its files and columns are, got {', '.join(given)} too; leave "
            "these out, or give a file in place of the task."
        )
    return FoundData(name)


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
