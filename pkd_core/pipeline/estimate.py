"""How long a plan will take, by what the workspace's earlier stages took on the same machine."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.config.transfer_settings import TransferConfig
from pkd_core.data.task import Task
from pkd_core.errors import StoreError
from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.plan import Plan, PlannedStage
from pkd_core.pipeline.sources import UNLABELLED
from pkd_core.pipeline.specs import (
    DistancesSpec,
    EvaluationSpec,
    StudentSpec,
    TeacherSpec,
    TeacherStatesSpec,
    TokensSpec,
    TransferSpec,
)
from pkd_core.pipeline.stage import Stage
from pkd_core.runtime.device import model_of
from pkd_core.store.durations import Duration, append_duration, read_durations
from pkd_core.store.manifest import Manifest

if TYPE_CHECKING:
    import torch


@contextmanager
def recorded_duration(
    stage: Stage, context: RunContext, transfer_set: Manifest | None = None
) -> Iterator[None]:
    """Record how long the body takes to build a stage, if it succeeds; a record that cannot be written does no harm.

    Args:
        stage: The stage.
        context: Where the run works.
        transfer_set: Manifest of the transfer set among the stage's inputs; None if there is none.
    """
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    with suppress(OSError, ValueError, KeyError, TypeError, StoreError):
        transfer = TransferConfig.model_validate(transfer_set.config["transfer"]) if transfer_set else None
        model = context.model_of(stage)
        # A model that the stage did not need is not fetched for this.
        sources = context.sources
        folder = sources.model_as_it_is(context.workspace, model) if sources else model.folder
        data_raw = context.data_raw(stage.task) if stage.task in context.tasks else context.workspace
        duration = _duration(stage, transfer, context.tasks, data_raw, folder, context.device, seconds)
        append_duration(context.workspace, duration)


def estimate_seconds(plan: Plan, device: "torch.device") -> dict[str, float]:
    """Return the seconds that stages to do will take, by their keys, without those of which nothing is known.

    Each is that of the most similar recorded stage of its kind, in proportion to the amount of work. An estimate holds
    for one stage at a time, on a machine that does nothing else.
    """
    known = read_durations(plan.workspace)
    specs = {planned.stage.key: planned.stage.spec for planned in plan.stages}
    transfers = {key: spec.transfer for key, spec in specs.items() if isinstance(spec, TransferSpec)}
    estimates: dict[str, float] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        for planned in plan.todo:
            model = (planned.stage.student_model or plan.model).folder
            transfer = transfers.get(planned.stage.inputs.get("transfer", ""))
            wanted = _duration(planned.stage, transfer, plan.tasks, plan.data_raw, model, device, 0.0)
            if similar := _most_similar(wanted, known):
                seconds = similar.seconds * wanted.amount / similar.amount
                estimates[planned.stage.key] = seconds * part_to_do(planned)
    return estimates


def _most_similar(wanted: Duration, known: Sequence[Duration]) -> Duration | None:
    def conditions(one: Duration) -> tuple[str, str, int | None, int]:
        return one.kind, one.machine, one.threads, one.hidden_size

    similar = [one for one in reversed(known) if conditions(one) == conditions(wanted)]
    return min(similar, key=lambda one: abs(math.log(one.amount / wanted.amount)), default=None)


def part_to_do(planned: PlannedStage) -> float:
    """Return the part of a stage that its last attempt has left to do, from 0 to 1."""
    position = planned.position
    return 1 - position.step / position.num_steps if position else 1.0


def _duration(
    stage: Stage,
    transfer: TransferConfig | None,
    tasks: Mapping[str, Task],
    data_raw: Path,
    model: Path,
    device: "torch.device",
    seconds: float,
) -> Duration:
    hidden_size = json.loads((model / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    sizes = _file_sizes(tasks[stage.task], data_raw) if stage.task in tasks else {}
    amount = _amount(stage, transfer, sizes)
    return Duration(stage.kind, model_of(device), stage.threads, int(hidden_size), amount, seconds)


def _amount(stage: Stage, transfer: TransferConfig | None, sizes: Mapping[str, int]) -> float:
    """Return the amount of a stage's work: bytes of text, times layers and epochs where that is what counts.

    Args:
        stage: The stage.
        transfer: The settings of the transfer set that it reads; None if it reads none.
        sizes: Bytes of each split's file, and of the unlabelled texts' under "unlabelled".
    """
    train = sizes.get("train", 0)
    splits = sum(size for name, size in sizes.items() if name != UNLABELLED)
    further = _transfer_bytes(transfer, sizes) if transfer else 0
    match stage.spec:
        case TokensSpec():
            amount = splits
        case (
            TeacherSpec(num_layers=layers, training=training)
            | StudentSpec(num_layers=layers, training=training)
        ):
            amount = (train + further) * layers * training.num_epochs
        case TeacherStatesSpec():
            amount = further if transfer else train
        case TransferSpec(transfer=settings):
            # Predicting words takes far longer than all else, and is done once for each training example.
            amount = train if settings.predicts_words else _transfer_bytes(settings, sizes)
        case EvaluationSpec(num_layers=layers):
            amount = (splits - train) * layers
        case DistancesSpec(num_layers=layers):
            amount = layers
        case _:
            amount = 1
    return float(max(amount, 1))


def _transfer_bytes(transfer: TransferConfig, sizes: Mapping[str, int]) -> int:
    """Return about how many bytes of text a transfer set has."""
    unlabelled = sizes.get(UNLABELLED, 0) if transfer.unlabelled else 0
    return unlabelled + transfer.num_copies * sizes.get("train", 0)


def _file_sizes(task: Task, data_raw: Path) -> dict[str, int]:
    paths = {split.name: data_raw / split.file for split in (*task.splits, task.unlabelled_split)}
    return {name: path.stat().st_size for name, path in paths.items() if path.is_file()}
