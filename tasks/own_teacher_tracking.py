"""What MLflow records of an own teacher: a run without training, which its evaluation completes; no model of it."""

from pkd_core.pipeline.job import RunContext
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec, own_teacher_spec
from pkd_core.pipeline.stage import Stage
from pkd_core.store.address import StageRecord
from pkd_core.store.manifest import Manifest
from tasks.completion import complete_run
from tasks.mlflow_store import Store
from tasks.run_contents import RunContents, run_name
from tasks.unfinished import attempt_file

_SHORT = 12


def log_own_teacher(
    stage: Stage, spec: OwnTeacherSpec, record: StageRecord, context: RunContext, flow_run: str
) -> None:
    """Log what is known of an own teacher before it is scored.

    Raises:
        PkdError: If MLflow does not accept it.
    """
    contents = RunContents(
        name=run_name(stage),
        tags={
            "task": stage.task,
            "method": spec.method,
            "layers": str(spec.num_layers),
            "seed": "",
            **own_teacher_tags(context, "base_model"),
            "family": ", ".join(spec.families),
            "fingerprint": stage.fingerprint,
            "flow_run": flow_run,
        },
        params={},
        datasets={f"{stage.task}/{part}": digest for part, digest in stage.sources.items()},
    )
    attempt = attempt_file(context.workspace, stage.address)
    complete_run(context.workspace, attempt, contents, record.digest, [], _add_nothing)


def own_teacher_tags(context: RunContext, name: str) -> dict[str, str]:
    """Return the tags of a run's own teachers: their names, and the beginnings of their hashes."""
    return {
        name: " + ".join(teacher.short_name for teacher in context.own_teachers),
        f"{name}_digest": " + ".join(teacher.digest[:_SHORT] for teacher in context.own_teachers),
    }


def is_own_teacher(model: Manifest) -> bool:
    """Return whether a published stage is an own teacher."""
    return own_teacher_spec(model.config) is not None


def _add_nothing(_store: Store, _run_id: str) -> None:
    pass
