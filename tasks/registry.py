"""MLflow's registered models: one name for a task and depth, whose versions are its trained models.

The aliases of a name follow from its versions: `newest`, and `best`, the highest dev score.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pkd_core.errors import StoreError
from tasks.mlflow_store import Store, all_pages

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

NEWEST, BEST = "newest", "best"
SCORE, METRIC, DEV_DATA = "score", "metric", "dev_data"
_VERSION_TAGS = (
    *("task", "method", "layers", "seed", "format", "base_model", "base_model_digest", "fingerprint"),
    *("teacher_base_model", "teacher_base_model_digest"),
)
_PREFIX = "pkd-"
_EXPORT = re.compile(r"export-(?P<method>.+)-(?P<layers>[0-9]+)l-s(?P<seed>[0-9]+)")


def registered_name(task: str, method: str, num_layers: int) -> str:
    """Return the name of a task's teacher, or of its students of a depth, whatever their method and seed.

    >>> registered_name("RTE", "teacher", 12), registered_name("RTE", "pkd-skip", 3)
    ('pkd-RTE-teacher', 'pkd-RTE-3l')
    """
    return f"{_PREFIX}{task}-teacher" if method == "teacher" else f"{_PREFIX}{task}-{num_layers}l"


def exported_tags(stage: str) -> dict[str, str]:
    """Return method, depth and seed of an exported model, as its stage's name has them; of a teacher only the method.

    >>> exported_tags("export-pkd-skip-3l-s42"), exported_tags("export-teacher")
    ({'method': 'pkd-skip', 'layers': '3', 'seed': '42'}, {'method': 'teacher'})
    """
    match = _EXPORT.fullmatch(stage)
    return match.groupdict() if match else {"method": "teacher"}


def exported_name(task: str, stage: str) -> str:
    """Return the name of a task's exported teachers, or of its exported students of a depth.

    >>> exported_name("RTE", "export-teacher"), exported_name("RTE", "export-pkd-skip-3l-s42")
    ('pkd-RTE-teacher-onnx', 'pkd-RTE-3l-onnx')
    """
    tags = exported_tags(stage)
    return f"{registered_name(task, tags['method'], int(tags.get('layers', 0)))}-onnx"


def register(store: Store, run: "Run", model: "LoggedModel", name: str) -> None:
    """Make a logged model a version of a name, and attach it to its run; harmless to repeat.

    Args:
        store: Where the run is.
        run: The training's run; the version gets its origin as tags.
        model: The run's model.
        name: From `registered_name`.
    """
    from mlflow.entities import LoggedModelOutput

    _create_name(store, name, run.data.tags)
    own = find_version(store, name, run.info.run_id)
    # Not "models:/<id>": MLflow would look that id up in its global store, not in this one.
    version = own or store.client.create_model_version(
        name,
        source=model.artifact_location,
        run_id=run.info.run_id,
        tags={key: run.data.tags[key] for key in _VERSION_TAGS if key in run.data.tags},
        model_id=model.model_id,
        description=_describe_version(run.data.tags),
    )
    _delete_but_one(store, name, run.info.run_id)
    fill_aliases(store, name)
    linked = json.dumps([{"name": name, "version": str(version.version)}])
    store.client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": linked})
    attached = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
    if model.model_id not in attached:
        store.client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])


def _delete_but_one(store: Store, name: str, run_id: str) -> None:
    """Delete all versions of a name but one that are the same run's model: another machine may complete it as well."""
    same = [version for version in _versions(store, name) if version.run_id == run_id]
    for extra in sorted(same, key=lambda one: int(one.version))[1:]:
        store.client.delete_model_version(name, str(extra.version))


def unregister(store: Store, run_id: str) -> None:
    """Delete the versions that are a run's model, and let the aliases of their names follow."""
    for version in all_pages(store.client.search_model_versions, f"run_id = '{run_id}'"):
        store.client.delete_model_version(version.name, str(version.version))
        fill_aliases(store, version.name)


def set_score(store: Store, version: "ModelVersion", tags: Mapping[str, str]) -> None:
    """Add a dev score to a version, and let the name's alias `best` follow it; harmless to repeat.

    Args:
        store: Where the version is.
        version: The version.
        tags: The tags `SCORE`, `METRIC` and `DEV_DATA`.
    """
    if not has_score(version, tags):
        described = _describe_version({**version.tags, **tags})
        store.client.update_model_version(version.name, str(version.version), described)
        # The score last: a version that has it lacks nothing.
        for key in (METRIC, DEV_DATA, SCORE):
            store.client.set_model_version_tag(version.name, str(version.version), key, tags[key])
    fill_aliases(store, version.name)


def has_score(version: "ModelVersion", tags: Mapping[str, str]) -> bool:
    """Return whether a version has exactly this score."""
    return all(version.tags.get(key) == value for key, value in tags.items())


def score_tags(score: float, metric: str, dev_data: str) -> dict[str, str]:
    """Return the tags of a dev score: the fraction, its metric, and the hash of the dev data."""
    return {SCORE: f"{score:.6f}", METRIC: metric, DEV_DATA: dev_data[:12]}


def version_of(store: Store, name: str, run_id: str) -> "ModelVersion":
    """Return the version of a name that is a run's model.

    Raises:
        StoreError: There is none.
    """
    version = find_version(store, name, run_id)
    if version is None:
        raise StoreError(f"MLflow has no version of {name} for the run {run_id}; run again to complete it.")
    return version


def fill_aliases(store: Store, name: str) -> None:
    """Set the aliases of a name that are not as they follow from its versions.

    They are read again after they were set, until they agree: another run may have added a score meanwhile.
    """
    while True:
        aliases = store.client.get_registered_model(name).aliases
        wrong = _wrong_aliases(_versions(store, name), aliases)
        if not wrong:
            return
        for alias, version in wrong.items():
            _set_alias(store, name, alias, version)


def _set_alias(store: Store, name: str, alias: str, version: int) -> None:
    from mlflow.exceptions import MlflowException

    try:
        store.client.set_registered_model_alias(name, alias, str(version))
    except MlflowException:
        # Another stage or run that sets it for the first time at the same moment breaks a uniqueness in the database.
        if alias not in store.client.get_registered_model(name).aliases:
            raise


def complete_versions(store: Store) -> "dict[tuple[str, str], ModelVersion]":
    """Return every version of pkd by its name and run, except those of names whose aliases are wrong."""
    condition = f"name LIKE '{_PREFIX}%'"
    versions: defaultdict[str, list[ModelVersion]] = defaultdict(list)
    for version in all_pages(store.client.search_model_versions, condition):
        versions[version.name].append(version)
    # MLflow leaves the aliases of versions out when it searches them.
    names = all_pages(store.client.search_registered_models, condition)
    right = {name.name for name in names if not _wrong_aliases(versions[name.name], name.aliases)}
    return {(name, str(one.run_id)): one for name in right for one in versions[name]}


def _wrong_aliases(versions: "Sequence[ModelVersion]", aliases: Mapping[str, object]) -> dict[str, int]:
    expected = {NEWEST: max(int(version.version) for version in versions)} if versions else {}
    if (best := _best(versions)) is not None:
        expected[BEST] = best
    return {alias: number for alias, number in expected.items() if str(aliases.get(alias)) != str(number)}


def _best(versions: "Sequence[ModelVersion]") -> int | None:
    """Return the number of the version with the highest score, the older one of equals.

    Only scores of one metric on the same dev data compare: those of the newest version that has a score.
    """
    scored = [one for one in sorted(versions, key=lambda one: int(one.version)) if _score(one) > -math.inf]
    comparable = [one for one in scored if _scale(one) == _scale(scored[-1])]
    return int(max(comparable, key=_score).version) if comparable else None


def _score(version: "ModelVersion") -> float:
    """Return a version's score; minus infinity without one, or where somebody has typed anything else."""
    try:
        score = float(version.tags.get(SCORE, "nan"))
    except ValueError:
        return -math.inf
    return score if math.isfinite(score) else -math.inf


def _scale(version: "ModelVersion") -> tuple[str | None, str | None]:
    return version.tags.get(METRIC), version.tags.get(DEV_DATA)


def _create_name(store: Store, name: str, tags: Mapping[str, str]) -> None:
    from mlflow.exceptions import MlflowException

    models = "teachers" if tags.get("method") == "teacher" else f"students of {tags.get('layers')} layers"
    exported = ", exported to ONNX" if "format" in tags else ""
    described = (
        f"All {models} of {tags.get('task')}{exported}. "
        f"`{BEST}` has the highest dev score, `{NEWEST}` is the last one."
    )
    try:
        store.client.create_registered_model(name, description=described)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _describe_version(tags: Mapping[str, str]) -> str:
    """Return a sentence such as "accuracy 66.4 on dev: pkd-skip, 3 layers, seed 42, from bert-base-uncased."."""
    trained = [str(tags.get("method"))]
    trained += [f"{tags['layers']} layers"] if "layers" in tags else []
    trained += [f"seed {tags['seed']}"] if "seed" in tags else []
    trained += [tags["format"]] if "format" in tags else []
    score = f"{tags[METRIC]} {100 * float(tags[SCORE]):.1f} on dev: " if SCORE in tags else ""
    base = f", from {tags['base_model']}" if "base_model" in tags else ""
    teacher = f", teacher from {tags['teacher_base_model']}" if "teacher_base_model" in tags else ""
    return f"{score}{', '.join(trained)}{base}{teacher}."


def find_version(store: Store, name: str, run_id: str) -> "ModelVersion | None":
    """Return the version of a name that is a run's model, if there is one."""
    return next((one for one in _versions(store, name) if one.run_id == run_id), None)


def _versions(store: Store, name: str) -> "list[ModelVersion]":
    return list(all_pages(store.client.search_model_versions, f"name = '{name}'"))
