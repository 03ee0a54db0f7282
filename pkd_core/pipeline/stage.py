"""One stage of a plan: what it makes, from what, and the address that follows from both."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pkd_core.store.address import Address, Area
from pkd_core.store.fingerprint import canonical_json, fingerprint


class StageKind(StrEnum):
    """The kinds of stage, in the order in which a task's data passes through them."""

    TOKENS = "tokens"
    TEACHER = "teacher"
    STATES = "teacher-states"
    STUDENT = "student"
    EVALUATION = "evaluation"
    REPORT = "report"


# A stage's version goes up when its code changes so that old results no longer stand. Beside each version,
# tests/pipeline/golden_results.json holds what a tiny fixed run makes with it; a test fails when the two disagree.
CODE_VERSIONS: Mapping[StageKind, int] = {
    StageKind.TOKENS: 1,
    StageKind.TEACHER: 2,
    StageKind.STATES: 1,
    StageKind.STUDENT: 2,
    StageKind.EVALUATION: 1,
    StageKind.REPORT: 1,
}

_AREAS: Mapping[StageKind, Area] = {
    StageKind.TOKENS: "data_feat",
    StageKind.STATES: "data_feat",
}


@dataclass(frozen=True)
class Stage:
    """A stage that a plan asks for.

    Attributes:
        kind: What it does.
        task: GLUE task it belongs to.
        name: Unique within its task, such as "tokens" or "pkd-skip-3l-s42".
        config: Everything it reads besides its inputs, as JSON values.
        inputs: Keys of the stages that it reads, by the part they play ("tokens", "teacher", "states", "model").
        sources: Hashes of what it reads from outside the store (raw files, the pretrained model), by part.
        fingerprint: Hash of all of the above, with the inputs' fingerprints in place of their keys.
    """

    kind: StageKind
    task: str
    name: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    sources: Mapping[str, str]
    fingerprint: str

    @property
    def key(self) -> str:
        """The stage's name within a plan, such as "RTE/teacher"."""
        return f"{self.task}/{self.name}"

    @property
    def address(self) -> Address:
        """Where the stage's output is published."""
        return Address(_AREAS.get(self.kind, "artifacts"), self.task, self.name, self.fingerprint)


def make_stage(
    kind: StageKind,
    task: str,
    name: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, Stage],
    sources: Mapping[str, str],
) -> Stage:
    """Build a stage, deriving its fingerprint from its own facts and its inputs' fingerprints."""
    parts = {part: stage.fingerprint for part, stage in inputs.items()} | dict(sources)
    address = fingerprint(kind, CODE_VERSIONS[kind], config, parts)
    # As a manifest gives it back, so that the two can be compared.
    config = json.loads(canonical_json(config))
    keys = {part: stage.key for part, stage in inputs.items()}
    return Stage(kind, task, name, config, keys, sources, address)


def dotted_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training stage's configuration under the dotted keys that a user would type, and its layer map."""
    section = "teacher" if config["method"] == "teacher" else "student"
    dotted = {f"{section}.{key}": value for key, value in config["training"].items()}
    dotted |= {f"distill.{key}": value for key, value in config.get("distill", {}).items()}
    if config.get("layer_map"):
        dotted["layer_map"] = " ".join(f"{student}<-{teacher}" for student, teacher in config["layer_map"])
    return dotted
