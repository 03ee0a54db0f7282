"""Which files a request names, and the split that each is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import DataError, listed
from pkd_core.own_data.arrow_rows import is_datasets_folder, open_datasets_folder
from pkd_core.own_data.names import split_of
from pkd_core.own_data.recognise import open_source
from pkd_core.own_data.request import DataRequest
from pkd_core.own_data.source import Source

_SHARD = re.compile(r".*\d+-of-\d+")
# What lies beside data files and is none.
_IGNORED_SUFFIXES = (".md", ".toml", ".py", ".ipynb", ".html", ".yaml", ".yml", ".lock", ".xlsx", ".png")
_IGNORED_NAMES = ("readme", "license", "licence", "dataset_info.json", "dataset_infos.json", "labels.txt")


@dataclass(frozen=True)
class SplitSource:
    """A table, and the split that its place or name says: None where a column or a cut decides."""

    split: str | None
    source: Source


def find_files(request: DataRequest) -> list[SplitSource]:
    """Recognise every file of a request.

    Raises:
        DataError: One is missing, cannot be read or is of no known format, or two are the same split.
    """
    wanted = (*request.texts, *request.label, *([request.split_column] if request.split_column else []))
    data = request.data.expanduser()
    named = {"dev": request.dev, "test": request.test, "unlabelled": request.unlabelled}
    found = _of_folder(data, request, wanted) if data.is_dir() else {}
    if not data.is_dir():
        found = {"": [open_source(data, request.encoding, wanted)]}
    for split, path in named.items():
        if path is not None:
            if split in found:
                raise DataError(f"{data} has a {split} split, and --{split} names another; give one of them")
            found[split] = [open_source(path.expanduser(), request.encoding, wanted)]
    return [
        SplitSource(split or None, source)
        for split in ("", "train", "dev", "test", "unlabelled")
        for source in found.get(split, [])
    ]


def _of_folder(folder: Path, request: DataRequest, wanted: Sequence[str]) -> dict[str, list[Source]]:
    """Return the tables of a folder by split; "" if there is one table, of which the name says nothing."""
    if is_datasets_folder(folder):
        return _by_split(folder, {name: [one] for name, one in open_datasets_folder(folder).items()})
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and not _is_ignored(path)]
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        split = split_of(path.stem)
        if split:
            by_split.setdefault(split, []).append(path)
    if not by_split and len(paths) == 1:
        return {"": [open_source(paths[0], request.encoding, wanted)]}
    if "train" not in by_split:
        raise DataError(
            f"{folder}: expected files named train, and optionally dev, test and unlabelled, such as train.csv, got "
            f"{listed([path.name for path in paths]) or 'none'}; rename them, or give one file"
        )
    for split, of_split in by_split.items():
        if len(of_split) > 1 and not all(_SHARD.fullmatch(path.stem) for path in of_split):
            raise DataError(
                f"{folder}: expected one file for the {split} split, got {listed([path.name for path in of_split])}; "
                "move the others away"
            )
    return {
        split: [open_source(path, request.encoding, wanted) for path in of_split]
        for split, of_split in by_split.items()
    }


def _by_split(folder: Path, tables: Mapping[str, list[Source]]) -> dict[str, list[Source]]:
    if len(tables) == 1:
        return {"": next(iter(tables.values()))}
    found: dict[str, list[Source]] = {}
    for name, sources in tables.items():
        split = split_of(name)
        if split is None or split in found:
            raise DataError(
                f"{folder}: expected the splits train, validation and test, got {listed(list(tables))}; save only those"
            )
        found[split] = sources
    if "train" not in found:
        raise DataError(f"{folder}: expected a split called train, got {listed(list(tables))}; save one")
    return found


def _is_ignored(path: Path) -> bool:
    name = path.name.casefold()
    return name.startswith((".", "_")) or name.endswith(_IGNORED_SUFFIXES) or name.startswith(_IGNORED_NAMES)
