"""Every setting of a run: one frozen model for each stage, with defaults and bounds.

A setting's dotted key is its path here, such as `student.learning_rate` or `distill.temperature`. The same keys serve
`pkd run`, the deployment's parameters, Python, and MLflow's parameter names.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from pkd_core.config.distill_settings import DistillConfig, Init
from pkd_core.config.export_settings import ExportConfig
from pkd_core.config.latency_settings import LatencyConfig
from pkd_core.config.section import Count, Fraction, Name, NonNegative, Positive, Section, Seed
from pkd_core.config.transfer_settings import TransferConfig
from pkd_core.data.truncation import Truncation

Precision = Literal["auto", "float32", "bfloat16"]
OptimizerName = Literal["adamw", "bert-adam"]
Schedule = Literal["all-steps", "full-batches"]
ConventionName = Literal["default", "authors", "paper"]
DEFAULT_THREADS = 4


class TokensConfig(Section):
    """Turning the texts into token ids."""

    max_length: Annotated[
        int,
        Field(
            ge=8,
            le=512,
            description="Most tokens of an example, [CLS] and [SEP] included; a longer one loses tokens from the end "
            "of its longer text.",
        ),
    ] = 128
    truncation: Annotated[
        Truncation,
        Field(
            description="Which text keeps one token more where both are cut to half of an odd number: the second, as "
            "Hugging Face's tokenizers do, or the first, as the authors' code does."
        ),
    ] = "second-text-longer"


class TrainingConfig(Section):
    """The training loop, for teacher and student alike; defaults are the paper's protocol (see docs/method.md)."""

    learning_rate: Annotated[Positive, Field(description="Peak learning rate of AdamW.")] = 2e-5
    num_epochs: Annotated[
        Count, Field(description="Passes over the training data; the epoch with the best dev score is kept.")
    ] = 4
    batch_size: Annotated[Count, Field(description="Examples of an optimizer step.")] = 32
    accumulation_steps: Annotated[
        Count,
        Field(description="Micro-batches that a batch is computed in: less memory, and the same result."),
    ] = 1
    warmup_fraction: Annotated[
        Fraction,
        Field(description="Part of all steps in which the learning rate rises; it then falls linearly to 0."),
    ] = 0.1
    weight_decay: Annotated[
        NonNegative, Field(description="Decay of all weights but biases and LayerNorm.")
    ] = 0.01
    max_grad_norm: Annotated[
        Positive, Field(description="L2 norm of all gradients together above which they are scaled down.")
    ] = 1.0
    precision: Annotated[
        Precision,
        Field(description="Type of the computation; auto is bfloat16 where the device has it, else float32."),
    ] = "auto"
    optimizer: Annotated[
        OptimizerName,
        Field(
            description="adamw; or bert-adam as in the authors' code: no bias correction, epsilon 1e-6, each tensor's "
            "own norm limited by max_grad_norm."
        ),
    ] = "adamw"
    shuffle: Annotated[
        bool, Field(description="Draw a new order for each epoch; otherwise it is that of the file.")
    ] = True
    schedule: Annotated[
        Schedule,
        Field(
            description="Steps that the learning rate is spread over: all; or only those of full batches, as in the "
            "authors' code, after which it is 0."
        ),
    ] = "all-steps"
    standardize_scores: Annotated[
        bool,
        Field(
            description="Learn scores of mean 0 and deviation 1, and convert the trained weights: for scores far from "
            "0 or of another size than 1. Without effect on labels."
        ),
    ] = False


class TeacherConfig(TrainingConfig):
    """The teacher's training; one teacher serves all students of its task, whatever their seeds."""

    seed: Annotated[
        Seed, Field(description="Seed of the teacher's classifier, order and dropout; students have --seeds.")
    ] = 42


class StudentConfig(TrainingConfig):
    """The student's training, and the source of its initial weights."""

    init: Annotated[
        Init,
        Field(
            description="First weights: the first layers of the pretrained model (as in the paper), the first layers "
            "of the teacher, or layers of the teacher that are evenly apart, its last among them."
        ),
    ] = "pretrained-first"


class StatesConfig(Section):
    """Teacher states on disk."""

    dtype: Annotated[
        Literal["float16", "float32"],
        Field(description="Type of the stored [CLS] states; logits are always float32."),
    ] = "float16"


class EvaluationConfig(Section):
    """Scoring a model."""

    max_tokens: Annotated[
        int, Field(ge=512, le=2**24, description="Most tokens of a batch, when a model is scored.")
    ] = 8192


class SpeedConfig(Section):
    """Timing a depth against the teacher: part of no training's address."""

    batch_tokens: Annotated[
        int,
        Field(
            ge=1,
            le=2**20,
            description="Tokens of the timed batch in all, in texts of the dev split's median length.",
        ),
    ] = 128
    max_seconds: Annotated[
        FiniteFloat,
        Field(
            ge=0,
            le=3600,
            description="Ends a measurement that does not become certain; it always has at least 6 rounds.",
        ),
    ] = 30.0
    threads: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="CPU threads of both models; on a busy machine several wait for each other.",
        ),
    ] = 1


class ComputeConfig(Section):
    """How a stage computes where its result depends on it."""

    # It is part of a stage's address unless it is the default.
    threads: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="CPU threads of a stage, whatever the machine has: results depend on them in their last bits.",
        ),
    ] = DEFAULT_THREADS


class Settings(Section):
    """All the settings that the stages of one model read."""

    tokens: TokensConfig = TokensConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distill: DistillConfig = DistillConfig()
    states: StatesConfig = StatesConfig()
    transfer: TransferConfig = TransferConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    speed: SpeedConfig = SpeedConfig()
    export: ExportConfig = ExportConfig()
    latency: LatencyConfig = LatencyConfig()
    compute: ComputeConfig = ComputeConfig()


Method = Literal["finetune", "kd", "pkd-skip", "pkd-last", "kd.full"]
# Those of the paper.
DEFAULT_METHODS: tuple[Method, ...] = ("finetune", "kd", "pkd-skip", "pkd-last")
METHODS: tuple[Method, ...] = (*DEFAULT_METHODS, "kd.full")
DEFAULT_MODEL = "google-bert/bert-base-uncased"


class RunConfig(Section):
    """What a run computes: everything here is part of some stage's address.

    `settings` maps dotted keys to values; they come before the convention's, then the presets, then the defaults.
    """

    tasks: Annotated[tuple[Name, ...], Field(min_length=1, description="GLUE tasks, or folders in data_raw.")]
    methods: Annotated[
        tuple[Method, ...],
        Field(
            min_length=1,
            description="Of finetune, kd, pkd-skip, pkd-last, kd.full. Default: all but kd.full.",
        ),
    ] = DEFAULT_METHODS
    student_layers: Annotated[
        tuple[Count, ...] | None,
        Field(description="Student depths. Default: half the layers of their model."),
    ] = None
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, description="One student for each seed, method and depth."),
    ] = (42,)
    model: Annotated[
        Name, Field(description="Pretrained BERT: a folder, or a name on the Hugging Face hub.")
    ] = DEFAULT_MODEL
    student_model: Annotated[
        Name | None,
        Field(
            description="Pretrained BERT that students are taken from, if not the teacher's; where its width differs, "
            "their [CLS] states are projected to the teacher's."
        ),
    ] = None
    teachers: Annotated[
        tuple[Name, ...],
        Field(
            description="A classifier of your own that is fine-tuned already, as the teacher: a folder, or a name on "
            "the Hugging Face hub, of BERT, RoBERTa, XLM-R, CamemBERT, DistilBERT, DeBERTa, ELECTRA, ALBERT, MPNet or "
            "ModernBERT. Of several, the mean of their probabilities teaches."
        ),
    ] = ()
    convention: Annotated[
        ConventionName, Field(description="How to read the paper: default, authors or paper.")
    ] = "default"
    # pydantic copies the default.
    settings: Annotated[dict[str, Any], Field(description="Settings by dotted key, over the presets.")] = {}  # noqa: RUF012
