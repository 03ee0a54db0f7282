"""Downloads GLUE and RACE from the Hugging Face hub, in the formats that they are distributed in."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pkd_core.data.download_race import download_race
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.data.hub import Load, load_from_hub
from pkd_core.data.hub_tables import HUB_TABLES
from pkd_core.data.race import RACE
from pkd_core.data.task import Split, Task
from pkd_core.errors import DataError, quoted
from pkd_core.store.atomic import atomic_file

logger = logging.getLogger(__name__)

_HUB_NAME = "nyu-mll/glue"
_REMEDY = "put GLUE's own TSV files into data_raw"
_BLOCK_ROWS = 1000
DOWNLOADED = (*HUB_TABLES, RACE.name)
_TO_SPACES = str.maketrans("\t\n\r\0", "    ")


def download_task(task: str, data_raw: Path, load: Load | None = None) -> list[Path]:
    """Download a GLUE task or RACE into `data_raw`: all of its files or none; MNLI includes the diagnostic set AX.

    Tabs and line ends within a text become spaces, and a warning counts such texts. Where GLUE's files have ids that
    the hub lacks, which nothing reads, the example's number on the hub is written.

    Args:
        task: GLUE's spelling, or "RACE".
        data_raw: Folder of the tasks' folders.
        load: Source of the tables; by default `datasets.load_dataset`.

    Returns:
        The files written, or the folders of RACE.

    Raises:
        DataError: If it is another task, a file exists already, the hub is unreachable or has unexpected contents,
            or a file cannot be written.
    """
    if task == RACE.name:
        return download_race(data_raw, load or load_from_hub)
    if task not in HUB_TABLES:
        raise DataError(
            f"expected one of GLUE's tasks ({', '.join(HUB_TABLES)}) or RACE, got {quoted(task)}; put the files of"
            " other tasks into data_raw yourself"
        )
    glue_task = GLUE_TASKS[task]
    targets = {split.name: data_raw / split.file for split in glue_task.splits}
    for target in targets.values():
        if target.exists():
            raise DataError(
                f"{target}: expected no file there, got one; move it away to download {task} again"
            )
    hub_tables = _load_all(task, load or load_from_hub)
    try:
        # The files get their names when the stack ends.
        with ExitStack() as unfinished:
            for split in glue_task.splits:
                target = targets[split.name]
                target.parent.mkdir(parents=True, exist_ok=True)
                file = unfinished.enter_context(atomic_file(target))
                _write(file, _lines(glue_task, split, hub_tables[split.name], target))
    except OSError as error:
        raise DataError(
            f"{target}: expected a path that can be written, got {error.strerror or str(error)!r}; check"
            " the folder and the disk space"
        ) from error
    return list(targets.values())


def _load_all(task: str, load: Load) -> dict[str, Any]:
    """Return the hub's table of each split, after checking its columns."""
    tables = HUB_TABLES[task]
    loaded = {
        config: load(_HUB_NAME, config) for config in sorted({table.config for table in tables.values()})
    }
    for table in tables.values():
        hub_table = loaded[table.config].get(table.split)
        columns = [] if hub_table is None else hub_table.column_names
        missing = {"idx", "label", *table.columns.values()} - {"", *columns}
        if missing:
            raise DataError(
                f"{_HUB_NAME} {table.config}: expected a {table.split} split with the column {min(missing)!r},"
                f" got none; {_REMEDY}"
            )
    return {name: loaded[table.config][table.split] for name, table in tables.items()}


def _write(file: BinaryIO, lines: Iterator[str]) -> None:
    for line in lines:
        file.write(f"{line}\n".encode())
    file.flush()


def _lines(task: Task, split: Split, hub_table: Any, target: Path) -> Iterator[str]:
    columns = HUB_TABLES[task.name][split.name].columns
    if split.header:
        yield "\t".join(columns)
    label_text = str if split.label is None else _label_text(task, hub_table)
    num_changed = 0
    for block in hub_table.iter(batch_size=_BLOCK_ROWS):
        block |= {"": [""] * len(block["idx"]), "label": list(map(label_text, block["label"]))}
        for row in zip(*(block[source] for source in columns.values()), strict=True):
            texts = [str(cell) for cell in row]
            cleaned = [text.translate(_TO_SPACES) for text in texts]
            num_changed += sum(old != new for old, new in zip(texts, cleaned, strict=True))
            yield "\t".join(cleaned)
    if num_changed:
        logger.warning("%s: in %d texts a tab or line end became a space", target, num_changed)


def _label_text(task: Task, hub_table: Any) -> Callable[[Any], str]:
    """Return a function from the hub's label to the text in GLUE's files."""
    if task.is_regression:
        return lambda score: str(np.float32(score))
    # Classes that GLUE writes as 0 and 1 have words for names on the hub, in the same order; classes that GLUE writes
    # in words have the same names on the hub, in another order.
    names: Sequence[str] = task.labels if task.labels == ("0", "1") else hub_table.features["label"].names
    if set(names) != set(task.labels):
        raise DataError(
            f"{_HUB_NAME}: expected {task.name}'s labels {', '.join(task.labels)}, got {', '.join(names)};"
            f" {_REMEDY}"
        )

    def text(position: int) -> str:
        if not 0 <= position < len(names):
            raise DataError(
                f"{_HUB_NAME}: expected a label of {task.name} from 0 to {len(names) - 1}, got {position};"
                f" {_REMEDY}"
            )
        return names[position]

    return text
