"""The models of a run: the pretrained BERTs, and own teachers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkd_core.config.command import run_command
from pkd_core.config.settings import DEFAULT_MODEL, RunConfig
from pkd_core.data.tokenizer import TOKENIZER_FILES, lowers_case
from pkd_core.errors import ConfigError, ModelError
from pkd_core.model.classifier_files import check_classifier
from pkd_core.model.file_checks import check_pretrained, has_language_head, loaded_files, read_settings
from pkd_core.pipeline.model_location import find_folder, short_name
from pkd_core.pipeline.own_teachers import OwnTeacher, find_own_teacher
from pkd_core.store.fingerprint import fingerprint, sha256_folder
from pkd_core.store.verification import WatchedFiles

_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)


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
        return short_name(self.name, self.folder)


@dataclass(frozen=True)
class Models:
    """The pretrained models of a run.

    Attributes:
        teacher: What the teacher is fine-tuned from; with own teachers, what the students are taken from.
        other: What the students are taken from, if that is another model.
        own_teachers: Classifiers that are fine-tuned already, and teach in place of one that the run trains.
    """

    teacher: PretrainedModel
    other: PretrainedModel | None = None
    own_teachers: tuple[OwnTeacher, ...] = ()

    @property
    def student(self) -> PretrainedModel:
        """What the students are taken from."""
        return self.other or self.teacher

    @property
    def num_teacher_layers(self) -> int:
        """The teacher's depth; of several, that of the deepest."""
        depths = [teacher.settings.num_layers for teacher in self.own_teachers]
        return max(depths, default=self.teacher.num_layers)

    @property
    def teacher_width(self) -> int:
        """The teacher's hidden size; of several, that of the widest."""
        widths = [teacher.settings.hidden_size for teacher in self.own_teachers]
        return max(widths) if widths else read_settings(self.teacher.folder).hidden_size

    @property
    def teacher_name(self) -> str:
        """What the teacher is, or is fine-tuned from, without a folder's path."""
        return " + ".join(teacher.short_name for teacher in self.own_teachers) or self.teacher.short_name

    @property
    def teacher_digest(self) -> str:
        """Hash of what the teacher is, or is fine-tuned from."""
        digests = [teacher.digest for teacher in self.own_teachers] or [self.teacher.weights]
        return digests[0] if len(digests) == 1 else fingerprint("teachers", 1, {"digests": digests}, {})

    @property
    def student_base(self) -> PretrainedModel | None:
        """What the students are taken from, if that is not what the teacher is or is fine-tuned from."""
        if not self.own_teachers:
            return self.other
        only = self.own_teachers[0] if len(self.own_teachers) == 1 else None
        return None if only and self.is_students_base(only) else self.teacher

    def is_students_base(self, teacher: OwnTeacher) -> bool:
        """Return whether the students are taken from an own teacher's layers."""
        return teacher.folder == self.teacher.folder

    def command_of(self, run: RunConfig) -> str:
        """Return the command that repeats a run; a folder's path, which is of one machine, is only its last part."""
        if self.own_teachers:
            student = self.teacher.short_name if run.student_model else None
            names = [teacher.short_name for teacher in self.own_teachers]
            return run_command(run, DEFAULT_MODEL, student, names)
        return run_command(run, self.teacher.short_name, self.other.short_name if self.other else None)

    @property
    def share_tokens(self) -> bool:
        """Whether both have the same tokenizer, and thus the same tokens."""
        return self.student.tokenizer == self.teacher.tokenizer

    @property
    def remark(self) -> str:
        """How the tokenizers differ, in a sentence; empty if they do not."""
        if self.own_teachers:
            own = self.student_base is not None
            return "Each teacher reads the texts with its own tokenizer, students with theirs." if own else ""
        if self.share_tokens:
            return ""
        sentence = "Teacher and students have different tokenizers: each reads the texts as tokens of its own"
        teacher, student = (
            "in small letters" if lowers_case(model.folder) else "as they are written"
            for model in (self.teacher, self.student)
        )
        return sentence + (f", the teacher {teacher}, students {student}." if teacher != student else ".")


def find_models(name: str, student_name: str | None, teacher_names: Sequence[str] = ()) -> Models:
    """Locate the model of a run and that of its students, which is no other one if its files have the same bytes.

    Args:
        name: The model that the teacher is fine-tuned from.
        student_name: The students' own model.
        teacher_names: Own teachers, in place of one that is fine-tuned. Without a model of their own, students are
            taken from the only teacher, which is a BERT then.

    Raises:
        ModelError: See `find_model` and `find_own_teacher`; or the students have no model.
        ConfigError: There are own teachers, and a model for one to be fine-tuned from.
    """
    if teacher_names:
        return _find_own(name, student_name, teacher_names)
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
    folder = find_folder(name, _FILES, option)
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


def _find_own(name: str, student_name: str | None, teacher_names: Sequence[str]) -> Models:
    if name != DEFAULT_MODEL:
        raise ConfigError(
            f"--model {name} is what a teacher is fine-tuned from, and --teacher gives one that is fine-tuned already; "
            "give --student-model for the students' model."
        )
    teachers = tuple(map(find_own_teacher, teacher_names))
    if student_name is not None:
        return Models(find_model(student_name, "--student-model"), own_teachers=teachers)
    if len(teachers) > 1 or teachers[0].settings.model_type != "bert":
        which = f"is of the family {teachers[0].settings.model_type}" if len(teachers) == 1 else "are several"
        raise ConfigError(
            f"students are taken from a BERT, and {' and '.join(teacher_names)} {which}; give --student-model, such as "
            f"--student-model {DEFAULT_MODEL}."
        )
    return Models(find_model(teacher_names[0], "--teacher"), own_teachers=teachers)


def check_models(models: Models) -> None:
    """Check that the weights and tokenizers of a run's models are complete and fit their settings.

    Raises:
        ModelError: They do not.
    """
    for teacher in models.own_teachers:
        check_classifier(teacher.name, teacher.folder)
    for model in (models.teacher, models.other):
        if model is not None:
            check_model(model)


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
