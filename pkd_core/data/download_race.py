"""Downloads RACE from the Hugging Face hub as the files of questions that its authors distribute."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pkd_core.data.hub import Load
from pkd_core.data.race import LETTERS, LEVELS, RACE
from pkd_core.errors import DataError, quoted
from pkd_core.store.atomic import atomic_folder

_HUB_NAME = "ehovy/race"
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_COLUMNS = {"example_id", "article", "question", "options", "answer"}
_BLOCK_ROWS = 1000
_FILE_NAME = re.compile(r"[A-Za-z]*(\d+)\.txt")


def download_race(data_raw: Path, load: Load) -> list[Path]:
    """Download RACE into `data_raw/RACE`: all of its folders or none.

    The hub has a row for each question; those of one article lie together in a file, as in RACE's own.

    Args:
        data_raw: Folder of the tasks' folders.
        load: Source of the tables.

    Returns:
        The folders written: one for each split and level.

    Raises:
        DataError: There is a folder of that name already, the hub is unreachable or has unexpected contents, or a file
            cannot be written.
    """
    target = data_raw / RACE.name
    if target.exists():
        raise DataError(f"{target}: expected no folder there, got one; move it away to download RACE again")
    tables = {level: load(_HUB_NAME, level) for level in LEVELS}
    folders = [Path(split) / level for split in _SPLITS for level in LEVELS]
    try:
        with atomic_folder(target) as work:
            for folder in folders:
                (work / folder).mkdir(parents=True)
                _write_split(work / folder, folder.name, _SPLITS[folder.parent.name], tables[folder.name])
    except OSError as error:
        raise DataError(
            f"{target}: expected a path that can be written, got {error.strerror or str(error)!r}; check the folder "
            "and the disk space"
        ) from error
    return [target / folder for folder in folders]


def _write_split(folder: Path, level: str, hub_split: str, tables: Mapping[str, Any]) -> None:
    place = f"{_HUB_NAME} {level} {hub_split}"
    table = tables.get(hub_split)
    missing = _COLUMNS - set([] if table is None else table.column_names)
    if table is None or missing:
        raise DataError(
            f"{place}: expected a split with the column {min(missing)!r}, got none; unpack RACE yourself"
        )
    questions: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(table):
        questions.setdefault(str(row["example_id"]), []).append(row)
    for example_id, rows in questions.items():
        name = _FILE_NAME.fullmatch(example_id)
        if name is None:
            raise DataError(
                f"{place}: expected the name of a file of RACE as its example_id, got {quoted(example_id)}; unpack "
                "RACE yourself"
            )
        _check(f"{place} {example_id}", rows)
        content = {
            "answers": [row["answer"] for row in rows],
            "options": [list(row["options"]) for row in rows],
            "questions": [row["question"] for row in rows],
            "article": rows[0]["article"],
            "id": example_id,
        }
        text = json.dumps(content, ensure_ascii=False)
        (folder / f"{name[1]}.txt").write_text(text, encoding="utf-8")


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    for block in table.iter(batch_size=_BLOCK_ROWS):
        for values in zip(*(block[column] for column in sorted(_COLUMNS)), strict=True):
            yield dict(zip(sorted(_COLUMNS), values, strict=True))


def _check(place: str, rows: list[dict[str, Any]]) -> None:
    if len({row["article"] for row in rows}) > 1:
        raise DataError(f"{place}: expected one article, got several; unpack RACE yourself")
    for row in rows:
        if row["answer"] not in LETTERS or len(row["options"]) != len(LETTERS):
            raise DataError(
                f"{place}: expected four options and an answer of A, B, C or D, got {len(row['options'])} and "
                f"{quoted(row['answer'])}; unpack RACE yourself"
            )
