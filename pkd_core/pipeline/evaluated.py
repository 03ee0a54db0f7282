"""Published evaluations as a person names them, and what they were made of. Nothing here imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkd_core.errors import ModelError, StoreError, listed, quoted
from pkd_core.evaluation.answers import AnswerTable, read_answers
from pkd_core.evaluation.result import EvaluationResult, read_result
from pkd_core.pipeline.trained import TRAINED, ReportedModel, locate_trained, tokens_manifest
from pkd_core.store.catalog import Catalog, address_of, published_manifest
from pkd_core.store.local_cache import held_copy
from pkd_core.store.manifest import read_manifest
from pkd_core.store.os_errors import file_errors
from pkd_core.store.verification import verify_files

_EVALUATION = "evaluation-"
_FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluated:
    """A published evaluation, whose files are what was published.

    Attributes:
        folder: Where it is.
        key: The model's task and stage, such as "RTE/kd-3l-s1".
        result: Scores and settings.
        split: A labelled split.
        metric: Name of the selecting score.
        answers: The answers to that split.
        raw_hash: Hash of the split's raw file; None if its tokens are gone.
    """

    folder: Path
    key: str
    result: EvaluationResult
    split: str
    metric: str
    answers: AnswerTable
    raw_hash: str | None

    @property
    def score(self) -> float:
        """The score of the split."""
        return self.result.scores[f"{self.split}/{self.metric}"]


def find_evaluation(workspace: Path, name: str, reported: Sequence[ReportedModel]) -> Path:
    """Return the folder of a model's evaluation.

    Args:
        workspace: Folder that holds artifacts.
        name: The folder of an evaluation or of a published model; the beginning of the address of one, such as
            "RTE/kd-3l-s1-4f3a"; or a model's name as `find_trained` reads it, or its evaluation's.
        reported: The models of the latest report.

    Raises:
        ModelError: There is none, or there are several.
        StoreError: The system refuses the name as a path.
    """
    with file_errors("use", Path(name)):
        folder = Path(name) if Path(name, _FILE).is_file() else _find_by_address(workspace, name)
    if folder is None:
        folder = locate_trained(workspace, name.replace(f"/{_EVALUATION}", "/", 1), reported)
    return held_copy(folder if _is_evaluation(folder) else evaluation_of(folder))


def evaluation_of(model: Path) -> Path:
    """Return the newest evaluation of a published model.

    Raises:
        ModelError: It has none.
    """
    try:
        manifest = published_manifest(model)
    except StoreError:
        manifest = None
    found = []
    whole = model if len(model.parts) > 2 else model.resolve()
    if manifest is not None and len(whole.parts) > 2:
        catalog = Catalog(whole.parents[2])
        for folder, evaluation in catalog.find(
            whole.parents[1].name, whole.parent.name, f"{_EVALUATION}{manifest.stage}"
        ):
            if evaluation.inputs.get("model") == manifest.digest:
                found.append((evaluation.created, folder))
    if not found:
        raise ModelError(
            f"{model} has no evaluation beside it; compare models that `pkd run` has trained and evaluated."
        )
    return max(found)[1]


def read_evaluation(folder: Path, split: str | None = None) -> Evaluated:
    """Verify and read an evaluation.

    Args:
        folder: Its folder.
        split: Which labelled split's answers to read; None for the one that selected the best epoch.

    Raises:
        ModelError: It has no scores of that split.
        StoreError: It is damaged, or of an earlier version that kept no answers.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    try:
        result = read_result(folder)
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{folder} is of another version of pkd; run again to evaluate its model."
        ) from error
    selecting, _, metric = result.selection.partition("/")
    split = selecting if split is None else split
    scored = [key.removesuffix(f"/{metric}") for key in result.scores if key.endswith(f"/{metric}")]
    if split not in scored:
        raise ModelError(
            f"{folder} has scores of {', '.join(scored)}, and none of {quoted(split)}; give one of these splits."
        )
    tokens = tokens_manifest(folder.resolve(), manifest)
    return Evaluated(
        folder,
        f"{manifest.task}/{manifest.stage.removeprefix(_EVALUATION)}",
        result,
        split,
        metric,
        read_answers(folder, split),
        None if tokens is None else tokens.inputs.get(f"raw/{split}"),
    )


def _is_evaluation(folder: Path) -> bool:
    address = address_of(folder)
    return (folder / _FILE).is_file() or (address is not None and address.stage.startswith(_EVALUATION))


def _find_by_address(workspace: Path, name: str) -> Path | None:
    """Return the only published model or evaluation whose address begins with a name that has digits of its hash."""
    found = []
    for address in Catalog(workspace).addresses():
        key = f"{address.task}/{address.stage}"
        begins = f"{key}-{address.fingerprint}".startswith(name) and len(name) > len(f"{key}-")
        if begins and TRAINED.fullmatch(f"{address.task}/{address.stage.removeprefix(_EVALUATION)}"):
            found.append(address.folder)
    if len(found) > 1:
        raise ModelError(f"{quoted(name)} begins several addresses: {listed(found)}; give more of one.")
    return workspace / found[0] if found else None
