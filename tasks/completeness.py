"""Which published stages MLflow does not hold completely: those of a killed run, or all after its database was lost."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from pkd_core.pipeline.export_specs import ExportSpec
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.pipeline.plan import Plan
from pkd_core.pipeline.search_specs import SearchSpec
from pkd_core.pipeline.specs import DistancesSpec, EvaluationSpec, ReportSpec, StudentSpec, TeacherSpec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.stage_store import StageStatus, StageStore
from tasks.completion import missing_values
from tasks.distance_tracking import distance_values
from tasks.evaluation_tracking import evaluation_tags, final_values
from tasks.export_tracking import export_score
from tasks.mlflow_store import Store, all_pages, ensure_store, store_errors
from tasks.registry import complete_versions, exported_name, has_score, registered_name
from tasks.run_contents import belongs_to, newest_first
from tasks.unfinished import attempt_file, fail_dead_runs, fail_others

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion


def find_incomplete(plan: Plan) -> frozenset[str]:
    """Mark MLflow's runs of dead processes as failed, and return the keys of done stages that MLflow lacks a part of.

    Raises:
        StoreError: MLflow's store cannot be opened, or does not answer.
    """
    store = ensure_store(plan.workspace)
    fail_dead_runs(store, plan.workspace)
    done = {one.stage.key: one.stage for one in plan.stages if one.status is StageStatus.DONE}
    if not done:
        return frozenset()
    with store_errors("runs of other machines"):
        fail_others(store, {stage.fingerprint for stage in done.values()})
    finished = _Finished(plan.workspace, store)
    return frozenset(key for key, stage in done.items() if not _is_complete(stage, done, finished))


class _Finished:
    """All finished runs and registered versions of a store, fetched at once.

    Args:
        workspace: Folder of the published stages.
        store: Where the runs are.
    """

    def __init__(self, workspace: Path, store: Store) -> None:
        self.workspace = workspace
        self.stages = StageStore(workspace)
        self._is_shared = store.place is not None
        self._runs: defaultdict[str, list[Run]] = defaultdict(list)
        with store_errors("what is done"):
            self._versions = complete_versions(store)
            found = all_pages(
                store.client.search_runs, [store.experiment_id], "attributes.status = 'FINISHED'"
            )
            for run in newest_first(found):
                self._runs[run.data.tags.get("fingerprint", "")].append(run)

    def has_run(self, stage: Stage) -> bool:
        """Return whether a stage has a finished run, and no attempt that is not ended; where machines share it, one."""
        runs = self._runs_of(stage)
        is_single = len(runs) == 1 or not self._is_shared
        return bool(runs) and is_single and not attempt_file(self.workspace, stage.address).exists()

    def run_of(self, stage: Stage) -> "Run | None":
        """Return the newest finished run of a stage's published bytes."""
        return next(iter(self._runs_of(stage)), None)

    def _runs_of(self, stage: Stage) -> "list[Run]":
        manifest = self.stages.find_manifest(stage.address)
        runs = self._runs[stage.fingerprint] if manifest else []
        return [run for run in runs if manifest and belongs_to(run, manifest.digest)]

    def version_of(self, stage: Stage) -> "ModelVersion | None":
        """Return the registered version of a training's run, unless an alias of its name is wrong."""
        run = self.run_of(stage)
        assert isinstance(stage.spec, TeacherSpec | StudentSpec), stage.key
        name = registered_name(stage.task, stage.spec.method, stage.spec.num_layers)
        return None if run is None else self._versions.get((name, run.info.run_id))

    def exported_version_of(self, stage: Stage) -> "ModelVersion | None":
        """Return the registered version of an export's run, unless an alias of its name is wrong."""
        run = self.run_of(stage)
        name = exported_name(stage.task, stage.name)
        return None if run is None else self._versions.get((name, run.info.run_id))


def _is_complete(stage: Stage, done: dict[str, Stage], finished: _Finished) -> bool:
    match stage.spec:
        case TeacherSpec() | StudentSpec():
            is_registered = bool(stage.trial) or finished.version_of(stage) is not None
            return finished.has_run(stage) and is_registered
        case OwnTeacherSpec() | ReportSpec() | SearchSpec():
            return finished.has_run(stage)
        case EvaluationSpec() if not stage.trial:
            model, tokens = done.get(stage.inputs["model"]), done.get(stage.inputs["tokens"])
            return model is not None and tokens is not None and _has_scores(stage, model, tokens, finished)
        case ExportSpec():
            version = finished.exported_version_of(stage)
            folder = finished.stages.fetch(stage.address)
            return (
                finished.has_run(stage) and version is not None and has_score(version, export_score(folder))
            )
        case DistancesSpec():
            model = done.get(stage.inputs["model"])
            return model is not None and _has_distances(stage, model, finished)
        case _:
            return True


def _has_scores(stage: Stage, model: Stage, tokens: Stage, finished: "_Finished") -> bool:
    run, folder = finished.run_of(model), finished.stages.fetch(stage.address)
    if run is None or missing_values(run, final_values(folder)):
        return False
    if isinstance(model.spec, OwnTeacherSpec):
        return True
    version, manifest = finished.version_of(model), finished.stages.find_manifest(tokens.address)
    return (
        version is not None and manifest is not None and has_score(version, evaluation_tags(folder, manifest))
    )


def _has_distances(stage: Stage, model: Stage, finished: "_Finished") -> bool:
    run = finished.run_of(model)
    values = distance_values(finished.stages.fetch(stage.address))
    return run is not None and not missing_values(run, values)
