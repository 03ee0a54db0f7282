"""Writing a user's data as a task: Parquet files and a task.toml in data_raw."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pkd_core.data.custom_task import IMPORTED, TASK_FILE
from pkd_core.errors import DataError
from pkd_core.own_data.own_data import OwnData
from pkd_core.own_data.row_index import LEFT_OUT, NO_LABEL, SPLITS, read_texts
from pkd_core.store.atomic import atomic_file, atomic_write_text
from pkd_core.store.lock import hold
from pkd_core.store.os_errors import file_errors

_GROUP_ROWS = 8192
_GROUP_CHARACTERS = 1 << 22
_METRICS = {
    "classes": ("accuracy", "macro_f1"),
    "multi-label": ("micro_f1", "macro_f1", "subset_accuracy"),
    "regression": ("pearson", "spearman"),
}
_DIGEST = "digest"

# One or two texts, and the label.
_Row = tuple[Any, ...]


def write_task(own: OwnData, data_raw: Path) -> str:
    """Write `data_raw/<name>`, unless it holds these data already; equal data give equal bytes.

    Args:
        own: The data.
        data_raw: Folder of the tasks.

    Returns:
        The task's name.

    Raises:
        DataError: There is a folder of that name which pkd has not made.
        StoreError: The folder cannot be written.
    """
    folder = data_raw / own.name
    with file_errors("create", data_raw):
        data_raw.mkdir(parents=True, exist_ok=True)
    # Runs of the same data may be started side by side.
    with hold(data_raw / f".{own.name}.lock", f"the import of {own.name}"):
        if not is_written(own, data_raw):
            with file_errors("write", folder):
                _write_folder(own, folder, _files(own, folder))
    return own.name


def is_written(own: OwnData, data_raw: Path) -> bool:
    """Return whether `data_raw/<name>` holds these data already.

    Raises:
        DataError: There is a folder of that name which pkd has not made.
    """
    folder = data_raw / own.name
    return _digest_of(folder) == own.digest and all(path.is_file() for path in _files(own, folder).values())


def _files(own: OwnData, folder: Path) -> dict[str, Path]:
    return {split: folder / f"{split}.parquet" for split in SPLITS if own.first_look.rows[split]}


def _write_folder(own: OwnData, folder: Path, files: Mapping[str, Path]) -> None:
    folder.mkdir(exist_ok=True)
    # What an interruption leaves is written again.
    atomic_write_text(folder / TASK_FILE, f'[{IMPORTED}]\n{_DIGEST} = ""\n')
    for split in SPLITS:
        if split not in files:
            (folder / f"{split}.parquet").unlink(missing_ok=True)
    schemas = {split: _schema(own, split) for split in files}
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(
                pq.ParquetWriter(stack.enter_context(atomic_file(path)), schemas[split], compression="zstd")
            )
            for split, path in files.items()
        }
        waiting: dict[str, list[_Row]] = {split: [] for split in files}
        sizes = dict.fromkeys(files, 0)
        for split, row in _rows(own):
            waiting[split].append(row)
            sizes[split] += sum(map(len, row[: len(own.texts)]))
            if len(waiting[split]) == _GROUP_ROWS or sizes[split] > _GROUP_CHARACTERS:
                _write_group(writers[split], schemas[split], waiting[split])
                waiting[split], sizes[split] = [], 0
        for split, rows in waiting.items():
            if rows:
                _write_group(writers[split], schemas[split], rows)
    atomic_write_text(folder / TASK_FILE, _task_file(own))


def _digest_of(folder: Path) -> str | None:
    """Return the digest of the data that a folder holds; None if there is no folder.

    Raises:
        DataError: pkd has not made the folder.
    """
    if not folder.exists():
        return None
    try:
        digest = tomllib.loads((folder / TASK_FILE).read_text(encoding="utf-8"))[IMPORTED][_DIGEST]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{folder} is there already, and was not made from your files by pkd; give your data another name with "
            "--name"
        ) from None
    return str(digest)


def _rows(own: OwnData) -> Iterator[tuple[str, _Row]]:
    """Yield every row that is kept: its split, texts, and label as it is written."""
    values = [_written(own, code) for code in range(len(own.index.raw_labels))]
    for part, start in zip(own.parts, own.index.part_starts, strict=False):
        number = start
        for texts, _ in read_texts(part):
            splits = own.splits_R[number : number + len(texts)].tolist()
            codes = own.index.labels_R[number : number + len(texts)].tolist()
            for one, split, code in zip(texts, splits, codes, strict=True):
                if split != LEFT_OUT:
                    yield SPLITS[split], (*one, None if code == NO_LABEL else values[code])
            number += len(texts)


def _written(own: OwnData, code: int) -> str | float | list[str]:
    raw = own.index.raw_labels[code]
    if own.labels.kind == "regression":
        value = own.labels.values[raw]
        assert isinstance(value, float), "a score is a number"
        return value
    names = [own.labels.names[position] for position in own.labels.positions(raw)]
    return names if own.labels.kind == "multi-label" else names[0]


def _schema(own: OwnData, split: str) -> pa.Schema:
    label_type = {
        "classes": pa.string(),
        "multi-label": pa.list_(pa.string()),
        "regression": pa.float64(),
    }[own.labels.kind]
    label = [] if split == "unlabelled" else [(own.label, label_type)]
    return pa.schema([*((name, pa.string()) for name in own.texts), *label])


def _write_group(writer: pq.ParquetWriter, schema: pa.Schema, rows: Sequence[_Row]) -> None:
    # An unlabelled row's last value, None, has no column.
    columns = list(zip(*rows, strict=True))[: len(schema)]
    arrays = [pa.array(column, one.type) for column, one in zip(columns, schema, strict=True)]
    writer.write_table(pa.table(arrays, schema=schema), row_group_size=_GROUP_ROWS)


def _task_file(own: OwnData) -> str:
    labels = own.labels
    lines = [
        "# Written by pkd from your own files, and written again when they change.",
        f"texts = {_toml(list(own.texts))}",
        f"label = {_toml(own.label)}",
        f"label_range = {_toml(list(labels.range))}"
        if labels.range
        else f"labels = {_toml(list(labels.names))}",
        *(["multi_label = true"] if labels.kind == "multi-label" else []),
        f"metrics = {_toml(list(_METRICS[labels.kind]))}",
        'format = "parquet"',
        *(["labelled_test = true"] if own.first_look.rows["test"] else []),
        *([f"labelled_by = {_toml(own.labelled_by)}"] if own.labelled_by else []),
        "",
        f"[{IMPORTED}]",
        f"{_DIGEST} = {_toml(own.digest)}",
    ]
    return "\n".join(lines) + "\n"


def _toml(value: str | list[str] | list[float]) -> str:
    """Return a text, or a list, in TOML: as JSON has it, except for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
