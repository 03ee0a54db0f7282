"""What users bring: raw data files, pretrained models and own teachers, and the hashes that address them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pkd_core.data.conversion import conversion_hint
from pkd_core.data.download import DOWNLOADED
from pkd_core.data.examples import files_of
from pkd_core.data.glue import Task
from pkd_core.data.tokenizer import TOKENIZER_FILES
from pkd_core.errors import DataError
from pkd_core.model.file_checks import loaded_files
from pkd_core.pipeline.own_teachers import OWN_TEACHER, hash_classifier, own_files
from pkd_core.store.fingerprint import sha256_file, sha256_folder

UNLABELLED = "unlabelled"
TOKENIZER = "tokenizer"
# Weights of the stage's own pretrained model, and of the teacher's where a stage reads both.
PRETRAINED = "pretrained"
TEACHER_PRETRAINED = "teacher-pretrained"
_RAW = "raw/"


def hash_raw_files(task: Task, data_raw: Path) -> dict[str, str]:
    """Return each existing split file's hash by split name.

    Raises:
        DataError: A required split has no file.
    """
    hashes: dict[str, str] = {}
    for split in task.splits:
        path = data_raw / split.file
        digest = hash_split(path, task)
        if digest is not None:
            hashes[split.name] = digest
        elif split.required:
            fetch = f"run `pkd fetch {task.name}`, or " if task.name in DOWNLOADED else ""
            remedy = conversion_hint(path) or f"{fetch}put the file there"
            raise DataError(f"{task.name} needs {path}, which does not exist; {remedy}.")
    return hashes


def hash_split(path: Path, task: Task) -> str | None:
    """Return the hash of a split's file, or of its folder's files; None if there is none."""
    if path.is_file():
        return sha256_file(path)
    if task.num_choices > 1 and path.is_dir():
        return sha256_folder(path, [str(file.relative_to(path)) for file in files_of(path)])
    return None


def raw_sources(task: Task, raw_hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of a task's split files as the parts of a stage that reads them."""
    return {
        f"{_RAW}{split.name}": raw_hashes[split.name] for split in task.splits if split.name in raw_hashes
    }


def hash_unlabelled(task: Task, data_raw: Path) -> dict[str, str]:
    """Return the hash of the task's unlabelled texts as the part "unlabelled"; nothing if it has no such file."""
    path = data_raw / task.unlabelled_split.file
    return {UNLABELLED: sha256_file(path)} if path.is_file() else {}


def source_files(parts: Iterable[str], task: Task, data_raw: Path, models: Mapping[str, Path]) -> list[Path]:
    """Return every file outside the store that a stage may read, whether it exists or not.

    Args:
        parts: The stage's sources: "raw/<split>", "unlabelled", "tokenizer", "pretrained", "teacher-pretrained",
            "own-teacher-<number>".
        task: The stage's task.
        data_raw: Folder of the raw files.
        models: Folder of the model that each of the last four is of.
    """
    parts = set(parts)
    paths = [models[TOKENIZER] / name for name in TOKENIZER_FILES] if TOKENIZER in parts else []
    for part in (PRETRAINED, TEACHER_PRETRAINED):
        if part in parts:
            paths += [models[part] / name for name in loaded_files(models[part])]
    for part in parts:
        if part.startswith(OWN_TEACHER):
            paths += own_files(models[part])
    if any(part.startswith(_RAW) for part in parts):
        paths += [file for split in task.splits for file in files_of(data_raw / split.file)]
    if UNLABELLED in parts:
        paths.append(data_raw / task.unlabelled_split.file)
    return paths


def hash_sources(
    parts: Iterable[str], task: Task, data_raw: Path, models: Mapping[str, Path]
) -> dict[str, str]:
    """Return the hash of what a stage reads from outside the store as it is now, by part; see `source_files`.

    Raises:
        DataError: A required split has no file.
    """
    parts = set(parts)
    hashes: dict[str, str] = {}
    if TOKENIZER in parts:
        hashes[TOKENIZER] = sha256_folder(models[TOKENIZER], TOKENIZER_FILES)
    for part in (PRETRAINED, TEACHER_PRETRAINED):
        if part in parts:
            hashes[part] = sha256_folder(models[part], loaded_files(models[part]))
    for part in parts:
        if part.startswith(OWN_TEACHER):
            hashes[part] = hash_classifier(models[part])
    if any(part.startswith(_RAW) for part in parts):
        hashes |= {f"{_RAW}{split}": digest for split, digest in hash_raw_files(task, data_raw).items()}
    if UNLABELLED in parts:
        hashes |= hash_unlabelled(task, data_raw)
    return hashes


def has_raw_files(task: Task, data_raw: Path) -> bool:
    """Return whether every required split has its file, or its folder."""
    exists = Path.is_dir if task.num_choices > 1 else Path.is_file
    return all(exists(data_raw / split.file) for split in task.splits if split.required)
