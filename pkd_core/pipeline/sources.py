"""The inputs that users bring: raw data files and a pretrained model, and the hashes that address them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from pkd_core.data.glue import GLUE_TASKS, Task
from pkd_core.data.tokenizer import TOKENIZER_FILES
from pkd_core.errors import DataError, ModelError, quoted, shortened
from pkd_core.model.file_checks import check_pretrained, loaded_files
from pkd_core.store.fingerprint import sha256_file, sha256_folder
from pkd_core.store.verification import WatchedFiles

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


def find_model(name: str) -> PretrainedModel:
    """Locate a model by folder or hub name, downloading it if the cache does not have it.

    Raises:
        ModelError: There is no such folder, the hub does not answer or has no such name, or the model is no complete
            BERT with a fast tokenizer.
    """
    folder = _local_folder(name) or _download(name)
    # The configuration is read before it is hashed.
    watched = WatchedFiles([folder / "config.json"])
    config = check_pretrained(name, folder)
    model = PretrainedModel(
        name=name,
        folder=folder.resolve(),
        weights=sha256_folder(folder, loaded_files(folder)),
        tokenizer=sha256_folder(folder, TOKENIZER_FILES),
        num_layers=config.num_hidden_layers,
        max_length=config.max_position_embeddings,
    )
    if watched.find_changed():
        raise ModelError(f"{name} changed while it was read; run again.")
    return model


def hash_raw_files(task: Task, data_raw: Path) -> dict[str, str]:
    """Return each existing split file's hash by split name.

    Raises:
        DataError: A required split has no file.
    """
    hashes: dict[str, str] = {}
    for split in task.splits:
        path = data_raw / split.file
        if path.is_file():
            hashes[split.name] = sha256_file(path)
        elif split.required:
            remedy = f"run `pkd fetch {task.name}`, or put" if task.name in GLUE_TASKS else "put"
            raise DataError(f"{task.name} needs {path}, which does not exist; {remedy} the file there.")
    return hashes


def source_files(parts: Iterable[str], task: Task, data_raw: Path, model_folder: Path) -> list[Path]:
    """Return every file outside the store that a stage may read, whether it exists or not.

    Args:
        parts: The stage's sources: "raw/<split>", "tokenizer", "pretrained".
        task: The stage's task.
        data_raw: Folder of the raw files.
        model_folder: Folder of the pretrained model.
    """
    parts = set(parts)
    paths = [model_folder / name for name in TOKENIZER_FILES] if "tokenizer" in parts else []
    if "pretrained" in parts:
        paths += [model_folder / name for name in loaded_files(model_folder)]
    if any(part.startswith(_RAW) for part in parts):
        paths += [data_raw / split.file for split in task.splits]
    return paths


def hash_sources(parts: Iterable[str], task: Task, data_raw: Path, model_folder: Path) -> dict[str, str]:
    """Return the hash of what a stage reads from outside the store as it is now, by part.

    Raises:
        DataError: A required split has no file.
    """
    parts = set(parts)
    hashes: dict[str, str] = {}
    if "tokenizer" in parts:
        hashes["tokenizer"] = sha256_folder(model_folder, TOKENIZER_FILES)
    if "pretrained" in parts:
        hashes["pretrained"] = sha256_folder(model_folder, loaded_files(model_folder))
    if any(part.startswith(_RAW) for part in parts):
        hashes |= {f"{_RAW}{split}": digest for split, digest in hash_raw_files(task, data_raw).items()}
    return hashes


def has_raw_files(task: Task, data_raw: Path) -> bool:
    """Return whether every required split has its file."""
    return all((data_raw / split.file).is_file() for split in task.splits if split.required)


def _local_folder(name: str) -> Path | None:
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # not a path: too long, of an unknown user, or with a NUL
        return None


def _download(name: str) -> Path:
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
            "connect to the network, or name a local folder with --model."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"the model {name} could not be fetched from the Hugging Face hub ({type(error).__name__}); "
            "check its name, or name a local folder with --model."
        ) from error
