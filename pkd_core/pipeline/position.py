"""Where an interrupted training would resume."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pkd_core.pipeline.facts import TokensFacts, TransferFacts
from pkd_core.pipeline.specs import StudentSpec, TeacherSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.manifest import Manifest
from pkd_core.store.work_folder import can_resume, resume_folder
from pkd_core.training.checkpoint_state import read_step


@dataclass(frozen=True)
class Position:
    """A training's position: optimizer steps done, and steps in all."""

    step: int
    num_steps: int

    def __str__(self) -> str:
        return f"step {self.step} of {self.num_steps}"


def find_position(
    stage: Stage, digests: Mapping[str, str], inputs: Mapping[str, Manifest], workspace: Path
) -> Position | None:
    """Return the checkpoint that a stage would resume from, by its state file alone; None if there is none.

    Args:
        stage: The stage.
        digests: Current digest of its inputs and sources, by part, as far as they are published.
        inputs: Manifest of its inputs, by part, as far as they are published.
        workspace: The workspace.
    """
    work = workspace / stage.address.work_folder
    if not isinstance(stage.spec, TeacherSpec | StudentSpec) or not resume_folder(work).is_dir():
        return None
    try:
        step = read_step(resume_folder(work)) if can_resume(work, digests) else None
        rows = _num_rows(stage, inputs)
    except (OSError, KeyError, ValidationError):
        return None
    training = stage.spec.training
    num_steps = training.num_epochs * math.ceil(rows / training.batch_size)
    return Position(step, num_steps) if step else None


def _num_rows(stage: Stage, inputs: Mapping[str, Manifest]) -> int:
    """Return how many examples an epoch has: the training split, and the transfer set if the training reads one.

    Raises:
        KeyError: One of them is not published.
        pydantic.ValidationError: A manifest is of an older version.
    """
    rows = TokensFacts.model_validate(inputs["tokens"].facts).rows["train"]
    if "transfer" in stage.inputs:
        transfer = TransferFacts.model_validate(inputs["transfer"].facts)
        rows += transfer.num_unlabelled + transfer.num_copies
    return rows
