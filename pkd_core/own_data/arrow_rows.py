"""Reading Parquet, Arrow files, and folders that `datasets` has saved."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pkd_core.errors import DataError, reason
from pkd_core.own_data.source import BATCH_ROWS, Batch, Source


def open_parquet(path: Path) -> Source:
    """Recognise a Parquet file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            schema = file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, "a Parquet file", error) from error

    def batches(chosen: Sequence[str]) -> Iterator[Batch]:
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=list(chosen), use_threads=False):
                    yield _values(batch, chosen)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, "a Parquet file", error) from error

    return Source(path, (path,), tuple(schema.names), "Parquet", batches, _class_names_of(schema))


def is_datasets_folder(path: Path) -> bool:
    """Return whether `datasets` has saved this folder."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))


def open_datasets_folder(path: Path) -> Mapping[str, Source]:
    """Return the tables of a folder that `datasets` has saved, by split; a single one is called "".

    Raises:
        DataError: It cannot be read, or the package is missing.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            f"{path} was saved by the package datasets, which this environment does not have; install it, or save the "
            "data as Parquet"
        ) from error
    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, "a folder saved by datasets", error) from error
    tables = loaded if isinstance(loaded, dict) else {"": loaded}
    return {str(name): _source_of(path / str(name), table) for name, table in tables.items()}


def _source_of(path: Path, table: Any) -> Source:
    import datasets

    names = {
        name: tuple(one.names)
        for name, feature in table.features.items()
        # Of a list of classes, the class lies within.
        if isinstance(one := getattr(feature, "feature", feature), datasets.ClassLabel)
    }

    def batches(chosen: Sequence[str]) -> Iterator[Batch]:
        arrow = table.select_columns(list(chosen)).with_format("arrow")
        for start in range(0, len(arrow), BATCH_ROWS):
            yield _values(arrow[start : start + BATCH_ROWS], chosen)

    files = tuple(sorted(one for one in path.rglob("*") if one.is_file()))
    return Source(path, files, tuple(table.column_names), "datasets", batches, names)


def _values(batch: Any, chosen: Sequence[str]) -> Batch:
    return {name: batch.column(name).to_pylist() for name in chosen}


def _class_names_of(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Return the names that `datasets` leaves in a Parquet file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: tuple(one["names"])
            for name, feature in features.items()
            if (one := feature.get("feature", feature)).get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _unreadable(path: Path, expected: str, error: Exception) -> DataError:
    return DataError(
        f"{path}: expected {expected}, got one that cannot be read ({reason(error)}); save it again"
    )
