"""What `pkd compress` is asked for: whose classifier, how small the student is to be, and how it is trained."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pkd_core.config.overrides import build_run_config, validated
from pkd_core.config.section import Count, Name, Positive, Section, Seed
from pkd_core.config.settings import DEFAULT_MODEL, Method, RunConfig
from pkd_core.errors import ConfigError


def _without_unit(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    number = value.strip().removesuffix("ms").rstrip()
    try:
        float(number)
    except ValueError:
        raise ValueError("expected milliseconds, such as 20ms") from None
    return number


Milliseconds = Annotated[Positive, BeforeValidator(_without_unit)]
DeployFormat = Literal["onnx-int8", "onnx-float32", "torch-float32"]


class CompressConfig(Section):
    """How a classifier is compressed; every field but `deploy_format` and `latency_ms` is part of a run."""

    teachers: Annotated[
        tuple[Name, ...],
        Field(
            description="Your fine-tuned classifier: a folder, or a name on the Hugging Face hub; of several, the mean "
            "of their probabilities is learnt. Default: one is fine-tuned from the model."
        ),
    ] = ()
    student_layers: Annotated[
        Count | None, Field(description="Layers of the student. Default: half of its model's.")
    ] = None
    latency_ms: Annotated[
        Milliseconds | None,
        Field(
            description="Instead of a number of layers: the most milliseconds that 99 of 100 of your own texts may "
            "take, one at a time; the deepest student that keeps to it is trained."
        ),
    ] = None
    deploy_format: Annotated[
        DeployFormat, Field(description="The form of the model that is to keep to the latency.")
    ] = "onnx-int8"
    model: Annotated[
        Name,
        Field(
            description="Pretrained BERT that a teacher is fine-tuned from where none is given: a folder or a hub name."
        ),
    ] = DEFAULT_MODEL
    student_model: Annotated[
        Name | None,
        Field(description="Pretrained BERT whose first layers students start from. Default: the teacher's."),
    ] = None
    methods: Annotated[
        tuple[Method, ...],
        Field(
            min_length=1,
            description="Ways of training a student; the one with the best dev score is kept.",
        ),
    ] = ("finetune", "kd")
    seeds: Annotated[
        tuple[Seed, ...], Field(min_length=1, description="One student for each seed and method.")
    ] = (42,)
    # pydantic copies the default.
    settings: Annotated[
        dict[str, Any], Field(description="Settings by dotted key, over the recommended ones.")
    ] = {}  # noqa: RUF012


def build_compress_config(**values: Any) -> CompressConfig:
    """Build what a compression is asked for, and check everything that can be checked without data and models.

    Raises:
        ConfigError: A value is unknown, of the wrong type or out of range, or a number of layers and a latency are
            both given.
    """
    config = validated(CompressConfig, values)
    if config.student_layers is not None and config.latency_ms is not None:
        raise ConfigError(
            "the student's layers are chosen by a latency or given as a number, got both "
            f"({config.latency_ms:g} ms and {config.student_layers}); give --latency or --student-layers."
        )
    run = run_of(config, "task", config.student_layers, {})
    return config.model_copy(update={"settings": run.settings})


def run_of(
    config: CompressConfig, task: str, student_layers: int | None, recommended: Mapping[str, Any]
) -> RunConfig:
    """Return the run that trains the students of a compression, as `pkd run` would.

    Args:
        config: The compression.
        task: Name of the task that its data are.
        student_layers: The students' depth; None for half of their model's.
        recommended: Settings by dotted key, below those that were given.

    Raises:
        ConfigError: A setting is unknown or has no effect.
    """
    of_run = {name: getattr(config, name) for name in RunConfig.model_fields if hasattr(config, name)}
    layers = None if student_layers is None else (student_layers,)
    settings = {**recommended, **config.settings}
    values = of_run | {"tasks": (task,), "student_layers": layers, "settings": settings}
    return build_run_config(is_compression=True, **values)
