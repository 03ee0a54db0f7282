"""Classifiers that a user has fine-tuned and gives as teachers: where they are, their hashes, and their label order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkd_core.config.classifier_settings import ClassifierSettings
from pkd_core.data.tokenizer import ALL_TOKENIZER_FILES
from pkd_core.errors import ModelError
from pkd_core.model.classifier_files import classifier_files, read_classifier
from pkd_core.pipeline.model_location import find_folder, short_name
from pkd_core.store.fingerprint import sha256_folder
from pkd_core.store.verification import WatchedFiles

# Begins the parts of a stage's sources that are own teachers, which are counted from 1.
OWN_TEACHER = "own-teacher-"
_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *ALL_TOKENIZER_FILES)


@dataclass(frozen=True)
class OwnTeacher:
    """A fine-tuned classifier on disk.

    Attributes:
        name: As the user gave it, a hub name or a folder.
        folder: Where its files lie.
        digest: Hash of all files that loading it and its tokenizer reads.
        settings: What its config.json says.
    """

    name: str
    folder: Path
    digest: str
    settings: ClassifierSettings

    @property
    def short_name(self) -> str:
        """Its name on the hub, or the last part of its folder's path, which is the same on every machine."""
        return short_name(self.name, self.folder)


def find_own_teacher(name: str) -> OwnTeacher:
    """Locate a classifier by folder or hub name, downloading it if the cache does not have it.

    Raises:
        ModelError: There is no such folder, the hub does not answer or has no such name, or it is no classifier in
            safetensors of a known family.
    """
    folder = find_folder(name, _FILES, "--teacher")
    # The configuration is read before it is hashed.
    watched = WatchedFiles([folder / "config.json"])
    settings = read_classifier(name, folder)
    teacher = OwnTeacher(name, folder.resolve(), hash_classifier(folder), settings)
    if watched.find_changed():
        raise ModelError(f"{name} changed while it was read; run again.")
    return teacher


def hash_classifier(folder: Path) -> str:
    """Return the hash of all files that loading a classifier and its tokenizer reads.

    Raises:
        ModelError: The weights are missing or pickled.
    """
    return sha256_folder(folder, classifier_files(folder))


def own_files(folder: Path) -> list[Path]:
    """Return the path of every file that a classifier may have, whether it exists or not."""
    names = {*classifier_files(folder), *ALL_TOKENIZER_FILES}
    return [folder / name for name in sorted(names)]


def own_teacher_parts(teachers: Sequence[OwnTeacher]) -> dict[str, OwnTeacher]:
    """Return each teacher by its part among a stage's sources."""
    return {f"{OWN_TEACHER}{number}": teacher for number, teacher in enumerate(teachers, start=1)}
