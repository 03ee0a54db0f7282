"""What a stage needs of a machine, by its kind: an engine that places stages gives it that much."""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError
from pkd_core.pipeline.kinds import StageKind
from pkd_core.pipeline.several_processes import num_processes
from pkd_core.pipeline.stage import Stage

_MIB = 2**20
# Python with torch, transformers and MLflow, and what a table of tokens takes.
_PROCESS_BYTES = 1024 * _MIB
# Weights, gradients, two moments of AdamW, and the weights of the best epoch; what a batch takes is small beside them.
_COPIES_OF_TRAINING = 6
_COPIES_OF_USE = 2

_TRAININGS = (StageKind.TEACHER, StageKind.STUDENT)
# Others' work beside them would change what they measure. Those of the latency stages run on the processor.
_TIMED_ON_PROCESSOR = (StageKind.LATENCY_CANDIDATES, StageKind.LATENCY)
_WHOLE_GPU = (StageKind.TEACHER, StageKind.STATES, StageKind.SPEED, StageKind.TRANSFER)
_PART_OF_GPU = (StageKind.STUDENT, StageKind.EVALUATION, StageKind.DISTANCES)


@dataclass(frozen=True)
class Needs:
    """What a stage needs.

    Attributes:
        cores: CPU cores; None for all of a machine's.
        gpus: GPUs, or the part of one; 0 for a stage that computes on the processor.
        memory: Bytes of the machine's memory.
    """

    cores: int | None
    gpus: float
    memory: int


@dataclass(frozen=True)
class Machine:
    """What a machine has, in the same units."""

    cores: int
    gpus: float
    memory: int


def needs_of(stage: Stage, options: RunOptions, model_folder: Path, has_gpu: bool) -> Needs:
    """Return what a stage needs.

    Args:
        stage: The stage.
        options: How the run works.
        model_folder: Folder of the pretrained model that the stage's weights are of.
        has_gpu: Whether models are computed on GPUs.
    """
    processes = num_processes(stage, options)
    # Processes that compute together have a GPU each.
    students_per_gpu = options.students_per_gpu if processes == 1 else 1
    gpus = processes * gpus_of(stage, students_per_gpu) if has_gpu else 0.0
    is_timed = stage.kind in _TIMED_ON_PROCESSOR or (stage.kind is StageKind.SPEED and not gpus)
    memory = processes * (_PROCESS_BYTES + _copies(stage) * _weights(model_folder))
    return Needs(
        cores=None if is_timed else processes * (stage.threads or 1),
        gpus=gpus,
        # Beside several processes there is the one that has started them.
        memory=memory if processes == 1 else memory + _PROCESS_BYTES,
    )


def fitted(needs: Needs, machines: list[Machine], name: str) -> Needs:
    """Return needs of which some machine has enough: more cores or memory than it has would be waited for for ever.

    A stage computes with its own number of threads all the same: results depend on it.

    Args:
        needs: What the stage needs.
        machines: Those that there are.
        name: The stage's name, for the error.

    Raises:
        ConfigError: No machine has so many GPUs.
    """
    able = [machine for machine in machines if machine.gpus >= needs.gpus]
    if not able:
        most = max((machine.gpus for machine in machines), default=0)
        raise ConfigError(
            f"{name} needs {needs.gpus:g} GPUs of one machine, and the largest has {most:g}; start Ray where there are "
            "more, or give --device cpu."
        )
    largest = max(able, key=lambda machine: (machine.cores, machine.memory))
    cores = largest.cores if needs.cores is None else min(needs.cores, largest.cores)
    return replace(needs, cores=cores, memory=min(needs.memory, largest.memory))


def gpus_of(stage: Stage, students_per_gpu: int) -> float:
    """Return the GPUs that a stage takes, or the part of one, where models are computed on GPUs."""
    if stage.kind is StageKind.TRANSFER and stage.threads is None:
        return 0.0  # it runs no model
    if stage.kind in _WHOLE_GPU:
        return 1.0
    return 1.0 / students_per_gpu if stage.kind in _PART_OF_GPU else 0.0


def _copies(stage: Stage) -> int:
    if stage.kind in _TRAININGS:
        return _COPIES_OF_TRAINING
    return 0 if stage.threads is None else _COPIES_OF_USE


def _weights(folder: Path) -> int:
    """Return the bytes of a model's weights, in whole MiB."""
    return ceil(sum(path.stat().st_size for path in folder.glob("*.safetensors")) / _MIB) * _MIB
