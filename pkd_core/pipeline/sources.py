"""The inputs that users bring: raw data files and a pretrained model, and the hashes that address them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from pkd_core.data.conversion import conversion_hint
from pkd_core.data.download import DOWNLOADED
from pkd_core.data.examples import files_of
from pkd_core.data.glue import Task
from pkd_core.data.tokenizer import TOKENIZER_FILES, lowers_case
from pkd_core.errors import DataError, ModelError, quoted, shortened
from pkd_core.model.file_checks import check_pretrained, has_language_head, loaded_files, read_settings
from pkd_core.store.fingerprint import sha256_file, sha256_folder
from pkd_core.store.verification import WatchedFiles

UNLABELLED = "unlabelled"
TOKENIZER = "tokenizer"
# Weights of the stage's own pretrained model, and of the teacher's where a stage reads both.
PRETRAINED = "pretrained"
TEACHER_PRETRAINED = "teacher-pretrained"
_RAW = "raw/"
_MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)


@dataclass(frozen=True)
class PretrainedModel:
    """A pretrained BERT on disk.

    Attributes:
        name: As the user gave it, a hub name or a folder.
        folder: Where its files lie.
        weights: Hash of configuration and weights: all files that loading the model reads.
        tokenizer: Hash of the tokenizer's files: all that loading it reads.
        num_layers: Depth.
        max_length: Number of position embeddings.
    """

    name: str
    folder: Path
    weights: str
    tokenizer: str
    num_layers: int
    max_length: int

    @property
    def short_name(self) -> str:
        """Its name on the hub, or the last part of its folder's path, which is the same on every machine."""
        return self.name if _local_folder(self.name) is None else self.folder.name


@dataclass(frozen=True)
class Models:
    """The pretrained models of a run.

    Attributes:
        teacher: What the teacher is fine-tuned from.
        other: What the students are taken from, if that is another model.
    """

    teacher: PretrainedModel
    other: PretrainedModel | None = None

    @property
    def student(self) -> PretrainedModel:
        """What the students are taken from."""
        return self.other or self.teacher

    @property
    def share_tokens(self) -> bool:
        """Whether both have the same tokenizer, and thus the same tokens."""
        return self.student.tokenizer == self.teacher.tokenizer

    @property
    def remark(self) -> str:
        """How the tokenizers differ, in a sentence; empty if they do not."""
        if self.share_tokens:
            return ""
        sentence = "Teacher and students have different tokenizers: each reads the texts as tokens of its own"
        teacher, student = (
            "in small letters" if lowers_case(model.folder) else "as they are written"
            for model in (self.teacher, self.student)
        )
        return sentence + (f", the teacher {teacher}, students {student}." if teacher != student else ".")


def find_models(name: str, student_name: str | None) -> Models:
    """Locate the model of a run and that of its students, which is no other one if its files have the same bytes.

    Raises:
        ModelError: See `find_model`.
    """
    teacher = find_model(name)
    if student_name is None:
        return Models(teacher)
    student = find_model(student_name, "--student-model")
    is_other = (student.weights, student.tokenizer) != (teacher.weights, teacher.tokenizer)
    return Models(teacher, student if is_other else None)


def find_model(name: str, option: str = "--model") -> PretrainedModel:
    """Locate a model by folder or hub name, downloading it if the cache does not have it.

    Args:
        name: The folder or the hub name.
        option: The option that gave it, for messages.

    Raises:
        ModelError: There is no such folder, the hub does not answer or has no such name, or the settings or the names
            of the weights' files are not a BERT's.
    """
    folder = _local_folder(name) or _download(name, option)
    # The configuration is read before it is hashed.
    watched = WatchedFiles([folder / "config.json"])
    settings = read_settings(folder)
    model = PretrainedModel(
        name=name,
        folder=folder.resolve(),
        weights=sha256_folder(folder, loaded_files(folder)),
        tokenizer=sha256_folder(folder, TOKENIZER_FILES),
        num_layers=settings.num_hidden_layers,
        max_length=settings.max_position_embeddings,
    )
    if watched.find_changed():
        raise ModelError(f"{name} changed while it was read; run again.")
    return model


def check_model(model: PretrainedModel) -> None:
    """Check that a model's weights and tokenizer are complete and fit its settings.

    Raises:
        ModelError: They do not.
    """
    check_pretrained(model.name, model.folder)


def check_language_head(model: PretrainedModel) -> None:
    """Check that a model has the masked-language head with which words of copies are predicted.

    Raises:
        ModelError: It has none.
    """
    if not has_language_head(model.folder):
        raise ModelError(
            f"transfer.mlm_probability needs a model with a masked-language head (cls.predictions), and {model.name} "
            "has none; set transfer.mlm_probability=0, or choose a model that has one."
        )


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
        parts: The stage's sources: "raw/<split>", "unlabelled", "tokenizer", "pretrained", "teacher-pretrained".
        task: The stage's task.
        data_raw: Folder of the raw files.
        models: Folder of the pretrained model that each of the last three is of.
    """
    parts = set(parts)
    paths = [models[TOKENIZER] / name for name in TOKENIZER_FILES] if TOKENIZER in parts else []
    for part in (PRETRAINED, TEACHER_PRETRAINED):
        if part in parts:
            paths += [models[part] / name for name in loaded_files(models[part])]
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
    if any(part.startswith(_RAW) for part in parts):
        hashes |= {f"{_RAW}{split}": digest for split, digest in hash_raw_files(task, data_raw).items()}
    if UNLABELLED in parts:
        hashes |= hash_unlabelled(task, data_raw)
    return hashes


def has_raw_files(task: Task, data_raw: Path) -> bool:
    """Return whether every required split has its file, or its folder."""
    exists = Path.is_dir if task.num_choices > 1 else Path.is_file
    return all(exists(data_raw / split.file) for split in task.splits if split.required)


def _local_folder(name: str) -> Path | None:
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # not a path: too long, of an unknown user, or with a NUL
        return None


def _download(name: str, option: str) -> Path:
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"there is no model folder {shortened(name, 300)}; give an existing folder or a name on the Hugging Face "
            "hub."
        )
    try:
        return Path(snapshot_download(name, allow_patterns=list(_MODEL_FILES)))
    except HFValidationError as error:
        raise ModelError(
            f"{quoted(name)} is neither a folder nor a valid name on the Hugging Face hub."
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"the model {name} is not on this machine and the Hugging Face hub does not answer; "
            f"connect to the network, or name a local folder with {option}."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"the model {name} could not be fetched from the Hugging Face hub ({type(error).__name__}); "
            f"check its name, or name a local folder with {option}."
        ) from error
