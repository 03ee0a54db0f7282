"""What the page, the model card and the terminal's table of a compression are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pkd_core.latency.result import Format, LatencyRow

Role = Literal["teacher", "student", "fine-tuned", "other"]
FORMATS: Mapping[Format, str] = {
    "torch-float32": "PyTorch, float32",
    "onnx-float32": "ONNX, float32",
    "onnx-int8": "ONNX, int8",
}


@dataclass(frozen=True)
class Gap:
    """A variant's score minus that of another one on the same examples.

    Attributes:
        difference: A fraction.
        low: Lower end of its 95 % interval.
        high: Upper end.
        num_examples: The difference in examples; None where the score counts none.
        is_distinguishable: Whether it is hardly chance.
    """

    difference: float
    low: float
    high: float
    num_examples: int | None
    is_distinguishable: bool


@dataclass(frozen=True)
class Variant:
    """One model in one format.

    Attributes:
        model: Name of the model's stage, such as "kd-3l-s42".
        method: "teacher", or the student's method.
        num_layers: Depth.
        role: The teacher, the chosen student, a student of its shape that was fine-tuned on labels alone, or another
            student.
        format: Library and type of numbers.
        score: On the final split, a fraction; None where it was not measured.
        interval: Ends of its 95 % interval.
        vs_teacher: The difference to the teacher in PyTorch; None for the teacher.
        vs_finetuning: The difference to plain fine-tuning, to its mean over several seeds; None for that itself, for
            the teacher, or without it.
        agreement: Share of the examples that get the teacher's answer; None for the teacher and for scores.
        size_bytes: Size of the file of weights; None where there is no file.
        timing: Its times, or those of a model of the same shape; None where none was timed.
        refused: Why this format is not published, as a sentence; empty if it is.
    """

    model: str
    method: str
    num_layers: int
    role: Role
    format: Format
    score: float | None
    interval: tuple[float, float] | None
    vs_teacher: Gap | None
    vs_finetuning: Gap | None
    agreement: float | None
    size_bytes: int | None
    timing: LatencyRow | None
    refused: str = ""


@dataclass(frozen=True)
class Distilling:
    """What learning from a teacher brought: the mean score of a method's seeds against that of fine-tuned ones.

    Attributes:
        method: The distilled students' method.
        num_seeds: How many of them there are.
        num_finetuned: How many were fine-tuned on labels alone.
        gap: The difference of the means in PyTorch, over examples and seeds.
        start_alike: Whether both start from the same layers.
    """

    method: str
    num_seeds: int
    num_finetuned: int
    gap: Gap
    start_alike: bool

    @property
    def paid(self) -> bool:
        """Whether the distilled students are better, and that is hardly chance."""
        return self.gap.difference > 0 and self.gap.is_distinguishable


@dataclass(frozen=True)
class Machine:
    """Where the timing was done.

    Attributes:
        name: Model of the processor.
        threads: CPU threads of a call.
        is_busy: Whether other work took so much of the processor that a clock shows much more than the times given.
    """

    name: str
    threads: int
    is_busy: bool


@dataclass(frozen=True)
class DataLook:
    """What the models were trained and scored on.

    Attributes:
        rows: Examples by split.
        label_counts: Training examples of each label, the most frequent first; none for scores.
        length_percentiles: Tokens of a training text by percentile (50, 95, 100), as they were kept.
        max_length: The most tokens that are kept of a text.
        share_cut: Share of training texts that fill all of these, and so may have lost their end.
    """

    rows: Mapping[str, int]
    label_counts: Mapping[str, int]
    length_percentiles: Mapping[int, int]
    max_length: int
    share_cut: float


@dataclass(frozen=True)
class ClassScore:
    """The F1 of one label on the final split.

    Attributes:
        label: The label.
        num_examples: Examples that have it.
        teacher: The teacher's F1.
        student: That of the student that is deployed.
    """

    label: str
    num_examples: int
    teacher: float
    student: float


@dataclass(frozen=True)
class Answer:
    """A model's answer to an example: its label or labels with their probability, or a score without one."""

    text: str
    probability: float | None


@dataclass(frozen=True)
class Disagreement:
    """An example of the final split to which teacher and student answer differently.

    Attributes:
        texts: Its texts.
        label: The label, labels or score that the data give.
        teacher: The teacher's answer.
        student: That of the student that is deployed.
    """

    texts: Sequence[str]
    label: str
    teacher: Answer
    student: Answer


@dataclass(frozen=True)
class Training:
    """How the chosen student was made.

    Attributes:
        teacher: Name of the teacher, or of the pretrained model that it was fine-tuned from.
        has_own_teacher: Whether the teacher was given, not fine-tuned here.
        student_base: What the student's first weights are of: a model's name, or the teacher.
        settings: Of the student's training, by dotted key.
        teacher_settings: Of the teacher's; empty for a teacher that was given.
        best_epoch: Epoch whose weights were kept, from 1.
        precision: What the forward of its training computed in.
    """

    teacher: str
    has_own_teacher: bool
    student_base: str
    settings: Mapping[str, Any]
    teacher_settings: Mapping[str, Any]
    best_epoch: int
    precision: str


@dataclass(frozen=True)
class Compression:
    """A teacher, the student that it was compressed to, and what each variant of them scores, weighs and takes.

    Attributes:
        task: Name of the task.
        text_columns: Names of its one or two columns of texts.
        labels: Label texts in the order of the outputs; empty for scores.
        is_multi_label: Whether a text may have several labels.
        metric: Name of the score.
        split: The split that the scores are of: "test", or "dev" where there is no labelled test split.
        num_examples: Its examples.
        baseline: The score of always giving the most frequent answer, or the mean score.
        variants: The teacher's first, then the student's, then the others'.
        distilling: What learning from the teacher brought; None where nothing was fine-tuned without it.
        deployed: The student's format to be used: int8 unless that was refused.
        budget_ms: The most milliseconds that p99 should take; None if none was asked for.
        machine: Where the timing was done; None if it was not.
        data: What the models learnt from.
        classes: The labels where the student fell most below the teacher.
        disagreements: The examples to which both give the most different answers.
        training: How the student was made.
        versions: Of Python and of libraries.
        command: Repeats all of it; empty if it is not known.
        labelled_by: Names of the teachers whose answers the labels are; empty if people gave them.
    """

    task: str
    text_columns: Sequence[str]
    labels: Sequence[str]
    is_multi_label: bool
    metric: str
    split: Literal["test", "dev"]
    num_examples: int
    baseline: float
    variants: Sequence[Variant]
    distilling: Distilling | None
    deployed: Format
    budget_ms: float | None
    machine: Machine | None
    data: DataLook
    classes: Sequence[ClassScore]
    disagreements: Sequence[Disagreement]
    training: Training
    versions: Mapping[str, str]
    command: str
    labelled_by: str = ""

    def find(self, role: Role, format_: Format) -> Variant | None:
        """Return the first variant of a role in a format, if there is one."""
        return next((one for one in self.variants if (one.role, one.format) == (role, format_)), None)

    @property
    def teacher(self) -> Variant:
        """What there was before: the teacher in PyTorch."""
        found = self.find("teacher", "torch-float32")
        assert found is not None, "the teacher was evaluated"
        return found

    @property
    def student(self) -> Variant:
        """What there is now: the student in the format to be used."""
        found = self.find("student", self.deployed)
        assert found is not None, "the student was evaluated"
        return found
