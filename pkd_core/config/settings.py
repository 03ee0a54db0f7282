"""Every setting of a run: one frozen model for each stage, with defaults and bounds.

A setting's dotted key is its path here, such as `student.learning_rate` or `distill.temperature`. The same keys serve
`pkd run`, the deployment's parameters, Python, and MLflow's parameter names.

Upper bounds are far above what is useful: they exclude numbers that do not fit, or that would take for ever.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("expected a text without a NUL character")
    return text


# Within the range of float32.
NonNegative = Annotated[FiniteFloat, Field(ge=0, le=1e30)]
Positive = Annotated[FiniteFloat, Field(ge=1e-30, le=1e30)]
Fraction = Annotated[FiniteFloat, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
# torch takes seeds of 64 bits.
Seed = Annotated[int, Field(ge=0, lt=2**63)]
# No path is longer, and none holds a NUL.
Name = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_without_nul)]
Reduction = Literal["batch_mean", "element_mean"]
Precision = Literal["auto", "float32", "bfloat16"]
DEFAULT_THREADS = 4


class Section(BaseModel):
    """A group of settings: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TokensConfig(Section):
    """Tokenising: `max_length` counts [CLS] and [SEP]; longer examples lose tokens, from the longer text first."""

    max_length: Annotated[int, Field(ge=8, le=512)] = 128


class TrainingConfig(Section):
    """The training loop, for teacher and student alike; defaults are the paper's protocol (see docs/method.md).

    `precision` "auto" is bfloat16 where the device computes it natively, else float32.
    `warmup_fraction` is of all optimizer steps; the rate then decays linearly to 0.
    `weight_decay` spares biases and LayerNorm; `max_grad_norm` clips the global L2 norm.
    `accumulation_steps` splits each batch into that many micro-batches, with the same result.
    """

    learning_rate: Positive = 2e-5
    num_epochs: Count = 4
    batch_size: Count = 32
    accumulation_steps: Count = 1
    warmup_fraction: Fraction = 0.1
    weight_decay: NonNegative = 0.01
    max_grad_norm: Positive = 1.0
    precision: Precision = "auto"


class TeacherConfig(TrainingConfig):
    """The teacher's training; one teacher serves all students of its task, whatever their seeds."""

    seed: Seed = 42


class StudentConfig(TrainingConfig):
    """The student's training, and the source of its initial weights.

    `init`: "pretrained-first" copies the first layers of the pretrained model (the paper's way), "teacher-first" those
    of the fine-tuned teacher, "teacher-skip" every s-th layer of the teacher.
    """

    init: Literal["pretrained-first", "teacher-first", "teacher-skip"] = "pretrained-first"


class DistillConfig(Section):
    """The loss L = (1 - alpha) L_CE + alpha L_DS + beta L_PT; alpha weighs the soft loss.

    A `beta` means nothing without `patience_reduction`: "element_mean" divides by examples, layers and hidden size (the
    authors' code), "batch_mean" by examples alone (the paper's formula). Likewise `distillation_reduction`:
    "element_mean" divides the KL by examples and classes (the authors' code), "batch_mean" by examples.
    """

    alpha: Fraction = 0.5
    temperature: Positive = 10.0
    beta: NonNegative = 100.0
    normalize: bool = True
    distillation_reduction: Reduction = "element_mean"
    patience_reduction: Reduction = "element_mean"


class StatesConfig(Section):
    """Teacher states on disk: the type of the [CLS] states (logits are always float32)."""

    dtype: Literal["float16", "float32"] = "float16"


class EvaluationConfig(Section):
    """Evaluation: the most tokens of a batch."""

    max_tokens: Annotated[int, Field(ge=512, le=2**24)] = 8192


class SpeedConfig(Section):
    """Timing a depth against the teacher: part of no training's address.

    `batch_tokens` is how many tokens the timed batch has in all, in texts of the dev split's median length.
    `max_seconds` ends a measurement that does not become certain; it always has at least 6 rounds.
    `threads` is the CPU threads that both models compute with. On a busy machine several threads wait for each other.
    """

    batch_tokens: Annotated[int, Field(ge=1, le=2**20)] = 128
    max_seconds: Annotated[FiniteFloat, Field(ge=0, le=3600)] = 30.0
    threads: Annotated[int, Field(ge=1, le=1024)] = 1


class ComputeConfig(Section):
    """The CPU threads that a stage computes with, whatever the machine has: results depend on them in their last bits.

    It is part of a stage's address unless it is the default.
    """

    threads: Annotated[int, Field(ge=1, le=1024)] = DEFAULT_THREADS


class Settings(Section):
    """All the settings that the stages of one model read."""

    tokens: TokensConfig = TokensConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distill: DistillConfig = DistillConfig()
    states: StatesConfig = StatesConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    speed: SpeedConfig = SpeedConfig()
    compute: ComputeConfig = ComputeConfig()


Method = Literal["finetune", "kd", "pkd-skip", "pkd-last"]
METHODS: tuple[Method, ...] = ("finetune", "kd", "pkd-skip", "pkd-last")
DEFAULT_MODEL = "google-bert/bert-base-uncased"


class RunConfig(Section):
    """What a run computes: everything here is part of some stage's address.

    `settings` maps dotted keys to values; they come before the presets, which come before the defaults.
    """

    tasks: Annotated[tuple[Name, ...], Field(min_length=1, description="GLUE tasks, or folders in data_raw.")]
    methods: Annotated[
        tuple[Method, ...],
        Field(min_length=1, description="Of finetune, kd, pkd-skip, pkd-last. Default: all."),
    ] = METHODS
    student_layers: Annotated[
        tuple[Count, ...] | None, Field(description="Student depths. Default: half the teacher's.")
    ] = None
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, description="One student for each seed, method and depth."),
    ] = (42,)
    model: Annotated[
        Name, Field(description="Pretrained BERT: a folder, or a name on the Hugging Face hub.")
    ] = DEFAULT_MODEL
    settings: Annotated[dict[str, Any], Field(description="Settings by dotted key, over the presets.")] = {}


class RunOptions(Section):
    """How a run computes: nothing here changes a result or its address.

    An option is added here alone: the command line, the flow and its deployment take their options from these fields.
    """

    device: Annotated[Name, Field(description="auto, cpu, cuda, cuda:1 ...")] = "auto"
    deep: Annotated[bool, Field(description="Hash every published file instead of comparing sizes.")] = False
    strict: Annotated[
        bool, Field(description="Stop before distilling a teacher that has learnt nothing.")
    ] = False
    checkpoint_minutes: Annotated[
        FiniteFloat,
        Field(
            ge=0,
            le=100_000,
            description="Minutes between a training's checkpoints, besides one after each epoch.",
        ),
    ] = 5.0
    max_concurrent_runs: Annotated[
        int,
        Field(
            ge=1, le=1000, description="How many runs of this workspace may compute on one device at once."
        ),
    ] = 1
