"""Trained models as a person names them: those of a report, those that are published, and any model folder.

Nothing here imports torch: to find a model takes no seconds.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkd_core.config.settings import METHODS
from pkd_core.data.task import text_columns
from pkd_core.errors import ModelError, StoreError, listed, quoted
from pkd_core.pipeline.bundles import TrainedModel, describe_bundle, model_path
from pkd_core.pipeline.file_shape import FileShape
from pkd_core.report.summary import FILE
from pkd_core.store.catalog import Catalog, local_copy, published_manifest
from pkd_core.store.local_cache import held_copy
from pkd_core.store.manifest import MANIFEST_NAME, Manifest, read_manifest
from pkd_core.store.os_errors import file_errors
from pkd_core.store.verification import verify_files

# Task and name of a stage that trains a model.
TRAINED = re.compile(rf"[^/]+/(teacher|({'|'.join(map(re.escape, METHODS))})-[0-9]+l-s[0-9]+)")
# And of one that exports such a model.
EXPORTED = re.compile(r"[^/]+/export-.+")


@dataclass(frozen=True)
class ReportedModel:
    """A trained model of a report.

    Attributes:
        key: Task and stage, such as "RTE/pkd-skip-3l-s42".
        num_layers: Depth.
        selection: Which score selected its best epoch, such as "dev/accuracy".
        score: That score, a fraction.
        folder: Where it is published.
        evaluation: Where its evaluation is published.
    """

    key: str
    num_layers: int
    selection: str
    score: float
    folder: Path
    evaluation: Path

    @property
    def task(self) -> str:
        """Its task."""
        return self.key.partition("/")[0]

    @property
    def is_teacher(self) -> bool:
        """Whether it is the task's teacher."""
        return self.key.endswith("/teacher")


def reported_models(workspace: Path, report: Path) -> list[ReportedModel]:
    """Return the models of a published report that are still there, in its order.

    Raises:
        StoreError: The report cannot be read.
    """
    try:
        rows = json.loads((local_copy(report) / FILE).read_text(encoding="utf-8"))["rows"]
        evaluated, catalog = read_manifest(report).inputs, Catalog(workspace)
        models = [_reported(catalog, row, evaluated) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, StoreError) as error:
        raise StoreError(f"the report {report} cannot be read; run again to write a new one.") from error
    return [model for model in models if model is not None]


def best_of(models: Sequence[ReportedModel]) -> ReportedModel:
    """Return the model with the highest score; of equals the one with fewer layers, then the first one.

    Students come before teachers.
    """
    return max(models, key=lambda model: (not model.is_teacher, model.score, -model.num_layers))


def find_trained(workspace: Path, name: str, reported: Sequence[ReportedModel]) -> Path:
    """Return the folder of a model with its files on this machine, or an ONNX file of a bundle.

    Raises:
        ModelError: See `locate_trained`.
        StoreError: See `locate_trained`, or a shared workspace cannot fetch the files.
    """
    return held_copy(locate_trained(workspace, name, reported))


def locate_trained(workspace: Path, name: str, reported: Sequence[ReportedModel]) -> Path:
    """Return where a model is published, or an ONNX file of a bundle; a shared workspace need not have it here.

    Args:
        workspace: Folder that holds artifacts.
        name: A path (see `model_path`), or a stage such as "RTE/pkd-skip-3l-s42". Less of it ("RTE", "RTE/3l",
            "RTE/pkd-skip", "RTE/pkd-skip-3l") means the best such model of the report.
        reported: The models of the latest report, which come first.

    Raises:
        ModelError: There is no such model, or there are several.
        StoreError: The system refuses the name as a path.
    """
    with file_errors("use", Path(name)):
        path = model_path(name)
    if path is not None:
        return path
    if matches := [model for model in reported if _matches(name, model)]:
        return best_of(matches).folder
    addresses = Catalog(workspace).addresses()
    keys = {address.folder: f"{address.task}/{address.stage}" for address in addresses}
    published = {
        folder: key for folder, key in keys.items() if TRAINED.fullmatch(key) or EXPORTED.fullmatch(key)
    }
    folders = [folder for folder, key in published.items() if key == name]
    if len(folders) == 1:
        return workspace / folders[0]
    if folders:
        raise ModelError(
            f"{quoted(name)} has been trained several times, and the latest report has none of them; give one of the "
            f"folders {', '.join(map(str, folders))}."
        )
    if Path(name).is_dir():
        raise ModelError(
            f"{name}: expected a model folder, found no config.json and no bundle.json; choose another."
        )
    known = sorted(set(published.values()))
    advice = (
        f"choose one of {listed(known)}" if known else "give the --workspace of a run, or train one (pkd run)"
    )
    raise ModelError(f"there is no model {quoted(name)} in {workspace.resolve()}; {advice}.")


def describe_trained(folder: Path) -> TrainedModel:
    """Return how a model reads texts, as its bundle says or the manifests of its workspace record it.

    Raises:
        ModelError: It is a bundle whose settings cannot be read.
    """
    if (bundle := describe_bundle(folder)) is not None:
        return bundle
    try:
        manifest = published_manifest(folder)
    except StoreError:
        return TrainedModel(folder, None, None)
    tokens = tokens_manifest(folder.resolve(), manifest)
    if tokens is None:
        return TrainedModel(folder, None, None)
    shape = FileShape.model_validate(tokens.config["task"])
    return TrainedModel(folder, text_columns(shape.splits), tokens.facts["max_length"])


def verify_trained(folder: Path) -> None:
    """Hash the files of a folder that pkd has published; any other folder has nothing to compare with.

    Raises:
        StoreError: The folder is damaged.
    """
    if not (folder / MANIFEST_NAME).exists():
        return
    try:
        verify_files(folder, read_manifest(folder))
    except StoreError as error:
        raise StoreError(
            f"{folder} is damaged: {str(error).removesuffix('.')}; `pkd verify` lists what is, and the `pkd run` that "
            "made it builds it again."
        ) from error


def _reported(catalog: Catalog, row: Mapping[str, Any], evaluated: Mapping[str, str]) -> ReportedModel | None:
    """Return the model of a report's row, given the digests of the report's evaluations; None if it is gone."""
    method, task, num_layers = row["method"], row["task"], row["num_layers"]
    name = method if method == "teacher" else f"{method}-{num_layers}l-s{row['seed']}"
    digest = evaluated[f"{task}/evaluation-{name}"]
    folders = _evaluated_folders(catalog, task, name, digest)
    if folders is None:
        return None
    selection = row["selection"]
    return ReportedModel(f"{task}/{name}", num_layers, selection, row["scores"][selection], *folders)


def _matches(name: str, model: ReportedModel) -> bool:
    if model.key == name or ("/" in name and model.key.startswith(f"{name}-")):
        return True
    return not model.is_teacher and name in (model.task, f"{model.task}/{model.num_layers}l")


def _evaluated_folders(catalog: Catalog, task: str, name: str, digest: str) -> tuple[Path, Path] | None:
    """Return the folder of the model that the evaluation with this digest read, and that of the evaluation."""
    for evaluation_folder, evaluation in catalog.find("artifacts", task, f"evaluation-{name}"):
        if evaluation.digest == digest:
            for path, manifest in catalog.find("artifacts", task, name):
                if manifest.digest == evaluation.inputs.get("model"):
                    return path, evaluation_folder
    return None


def tokens_manifest(folder: Path, manifest: Manifest) -> Manifest | None:
    """Return the manifest of the tokens that a model was trained or evaluated on, if they are in its workspace."""
    if len(folder.parents) < 3:
        return None
    tokens = Catalog(folder.parents[2]).find("data_feat", manifest.task, "tokens")
    return next((one for _, one in tokens if one.digest == manifest.inputs.get("tokens")), None)
