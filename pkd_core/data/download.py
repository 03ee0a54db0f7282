"""The download of GLUE: the hub's tables become TSV files of the very shape that GLUE distributes."""

import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pkd_core.data.glue import GLUE_TASKS, Split, Task
from pkd_core.data.hub_tables import HUB_TABLES
from pkd_core.errors import DataError

logger = logging.getLogger(__name__)

# Takes the hub's name of the data set and of one of its configurations; gives tables by the hub's split names.
Load = Callable[[str, str], Mapping[str, Any]]

_HUB_NAME = "nyu-mll/glue"
_BLOCK_ROWS = 1000
_SECONDS_TO_ANSWER = 10
_SPACES = str.maketrans("\t\n\r\0", "    ")


def fetch(task: str, data_raw: Path, load: Load | None = None) -> list[Path]:
    """Download a GLUE task's files into `data_raw`; MNLI brings the diagnostic set AX along.

    Either all files appear or none. A text's tabs and line ends become spaces, and a warning counts such texts.
    The hub's numbering stands where GLUE's files have ids of their own; nothing reads these.

    Args:
        task: GLUE's own spelling.
        data_raw: Folder of the tasks' folders.
        load: What to ask for the tables; by default `datasets.load_dataset`.

    Returns:
        The files written.

    Raises:
        DataError: If it is no GLUE task, a file is there already, the hub does not answer or does not hold what is
            expected, or a file cannot be written.
    """
    if task not in HUB_TABLES:
        raise DataError(
            f"expected one of GLUE's tasks ({', '.join(HUB_TABLES)}), got {task!r}; bring its files yourself"
        )
    glue_task = GLUE_TASKS[task]
    targets = {split.name: data_raw / split.file for split in glue_task.splits}
    for target in targets.values():
        if target.exists():
            raise DataError(f"{target}: expected no file there, got one; move it away to fetch {task} again")
    hub_tables = _load_all(task, load or _load_from_hub)
    with ExitStack() as cleanup:
        try:
            for split in glue_task.splits:
                target = targets[split.name]
                target.parent.mkdir(parents=True, exist_ok=True)
                cleanup.callback(_beside(target).unlink, missing_ok=True)
                _write(_beside(target), _lines(glue_task, split, hub_tables[split.name], target))
            for target in targets.values():
                _beside(target).replace(target)
        except OSError as error:
            raise DataError(
                f"{target}: expected a place to write to, got {error.strerror or str(error)!r}; mend that"
            ) from error
    return list(targets.values())


def _beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _load_from_hub(name: str, config: str) -> Mapping[str, Any]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            "downloading GLUE needs the package datasets, which this environment does not have; install it, or put "
            "GLUE's own TSV files into data_raw"
        ) from error
    try:
        _ask_hub()
        tables: Mapping[str, Any] = datasets.load_dataset(name, config)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{name} {config}: expected an answer from the Hugging Face hub, got {type(error).__name__};"
            " connect to the network without HF_HUB_OFFLINE, or put GLUE's own TSV files into data_raw"
        ) from error
    return tables


def _ask_hub() -> None:
    """Raise OSError at once where nobody answers: `datasets` itself asks six times in half a minute, and says so.

    Not if HF_HUB_OFFLINE is set: then it looks into its cache alone.
    """
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=_SECONDS_TO_ANSWER):
            pass  # any answer will do


def _load_all(task: str, load: Load) -> dict[str, Any]:
    """Return the hub's table for each split, each known to have the columns that are due."""
    tables = HUB_TABLES[task]
    loaded = {
        config: load(_HUB_NAME, config) for config in sorted({table.config for table in tables.values()})
    }
    for table in tables.values():
        lacks = {table.split} - set(loaded[table.config])
        if not lacks:
            due = {"idx", "label", *table.columns.values()} - {""}
            lacks = due - set(loaded[table.config][table.split].column_names)
        if lacks:
            raise DataError(
                f"{_HUB_NAME} {table.config}: expected {sorted(lacks)[0]!r} in its {table.split} split, got no such"
                " thing; put GLUE's own TSV files into data_raw"
            )
    return {name: loaded[table.config][table.split] for name, table in tables.items()}


def _write(path: Path, lines: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for line in lines:
            file.write(f"{line}\n")


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
            fit = [text.translate(_SPACES) for text in texts]
            num_changed += sum(old != new for old, new in zip(texts, fit, strict=True))
            yield "\t".join(fit)
    if num_changed:
        logger.warning("%s: in %d texts a tab or line end became a space", target, num_changed)


def _label_text(task: Task, hub_table: Any) -> Callable[[Any], str]:
    """Return what turns the hub's label into GLUE's text."""
    if task.is_regression:
        return lambda score: str(np.float32(score))
    # The hub names WNLI's and its like's classes in words, where GLUE's files have 0 and 1 in the same order; where
    # GLUE's files have words, the hub has the same in an order of its own.
    names: Sequence[str] = task.labels if task.labels == ("0", "1") else hub_table.features["label"].names
    if set(names) != set(task.labels):
        raise DataError(
            f"{_HUB_NAME}: expected {task.name}'s labels {', '.join(task.labels)}, got {', '.join(names)};"
            " put GLUE's own TSV files into data_raw"
        )

    def text(position: int) -> str:
        if not 0 <= position < len(names):
            raise DataError(
                f"{_HUB_NAME}: expected a label of {task.name} from 0 to {len(names) - 1}, got {position};"
                " put GLUE's own TSV files into data_raw"
            )
        return names[position]

    return text
