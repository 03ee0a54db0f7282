"""One stage of a plan: its specification, what it is made from, and the address that follows from both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pkd_core.config.settings import DEFAULT_THREADS
from pkd_core.pipeline.kinds import CODE_VERSIONS, StageKind
from pkd_core.pipeline.models import PretrainedModel
from pkd_core.pipeline.specs import THREADS, StageSpec
from pkd_core.store.address import Address, Area
from pkd_core.store.fingerprint import fingerprint

_AREAS: Mapping[StageKind, Area] = {
    StageKind.TOKENS: "data_feat",
    StageKind.STATES: "data_feat",
    StageKind.TRANSFER: "data_feat",
}
STUDENT_TOKENS = "student-tokens"
# Published under another name: as any tokens, so that a run with the students' model as its only one finds them too.
_PUBLISHED_AS = {STUDENT_TOKENS: "tokens"}


@dataclass(frozen=True)
class Stage:
    """A stage that a plan asks for.

    Attributes:
        task: Task that it belongs to.
        name: Unique within its task, such as "tokens" or "pkd-skip-3l-s42".
        spec: Everything that it reads besides its inputs.
        inputs: Keys of the stages that it reads, by their part ("tokens", "teacher", "states", "model", "speed").
        sources: Hashes of what it reads from outside the store (raw files, the pretrained model), by part.
        threads: CPU threads that it computes with; None if it computes nothing, or if its specification has them.
        fingerprint: Hash of all of the above, with the inputs' fingerprints in place of their keys.
        student_model: The students' own pretrained model, for a stage that reads it in place of the run's; its hashes
            are among the sources.
        trial: What a search tries here, such as "alpha=0.5 T=10": it tells stages of one name apart within a plan, and
            changes nothing of the result. MLflow registers no model of a trial. Empty outside of searches.
    """

    task: str
    name: str
    spec: StageSpec
    inputs: Mapping[str, str]
    sources: Mapping[str, str]
    threads: int | None
    fingerprint: str
    student_model: PretrainedModel | None = None
    trial: str = ""

    @property
    def kind(self) -> StageKind:
        """What the stage does."""
        return self.spec.kind

    @property
    def key(self) -> str:
        """The stage's name within a plan, such as "RTE/teacher" or "RTE/kd-3l-s42 (alpha=0.5 T=10)"."""
        return f"{self.task}/{self.name}" + (f" ({self.trial})" if self.trial else "")

    @property
    def address(self) -> Address:
        """Where the stage's output is published."""
        name = _PUBLISHED_AS.get(self.name, self.name)
        return Address(_AREAS.get(self.kind, "artifacts"), self.task, name, self.fingerprint)

    @property
    def config(self) -> dict[str, Any]:
        """The specification as JSON values, as the stage's manifest records it."""
        return _config(self.spec, self.threads)


def make_stage(
    task: str,
    name: str,
    spec: StageSpec,
    inputs: Mapping[str, Stage],
    sources: Mapping[str, str],
    threads: int | None = None,
    student_model: PretrainedModel | None = None,
) -> Stage:
    """Build a stage, deriving its fingerprint from its specification, its sources and its inputs' fingerprints."""
    parts = {part: stage.fingerprint for part, stage in inputs.items()} | dict(sources)
    address = fingerprint(spec.kind, CODE_VERSIONS[spec.kind], _config(spec, threads), parts)
    keys = {part: stage.key for part, stage in inputs.items()}
    return Stage(task, name, spec, keys, sources, threads, address, student_model)


def _config(spec: StageSpec, threads: int | None) -> dict[str, Any]:
    # The default is left out: addresses are older than this setting.
    chosen = {} if threads in (None, DEFAULT_THREADS) else {THREADS: threads}
    return spec.model_dump(mode="json") | chosen
