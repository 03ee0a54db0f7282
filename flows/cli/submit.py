"""`pkd submit`: writes the zip that the GLUE server takes."""

from collections.abc import Collection
from pathlib import Path

import typer

from flows.latest_report import latest_report
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError, StoreError
from pkd_core.evaluation.glue_zip import (
    TestFile,
    check_predictions,
    constant_predictions,
    glue_files,
    write_glue_zip,
)
from pkd_core.pipeline.task_data import bring_data
from pkd_core.pipeline.trained import ReportedModel, best_of, reported_models
from pkd_core.store.local_cache import held_copy
from pkd_core.store.manifest import read_manifest
from pkd_core.store.os_errors import file_errors
from pkd_core.store.verification import verify_files


def submit(workspace: Path, output: Path, method: str | None, layers: int | None, fill: bool) -> None:
    """Write the zip of the latest report's models, and show which model each file is of.

    Args:
        workspace: Folder that holds data_raw and artifacts.
        output: The zip.
        method: Only models of this method ("teacher" too); by default the best student of each task.
        layers: Only models of this depth.
        fill: Write the most frequent label for tasks without a model.

    Raises:
        ConfigError: There is no report, or a task has no such model.
        DataError: A prediction does not fit its test file.
        StoreError: A published file is damaged, or the zip cannot be written.
    """
    report = latest_report(workspace)
    if report is None:
        raise ConfigError(f"there is no report in {workspace.resolve()} yet; run GLUE's tasks first.")
    wanted = [
        model
        for model in reported_models(workspace, report)
        if method in (None, _method(model)) and layers in (None, model.num_layers)
    ]
    if not wanted:
        chosen_by = " and ".join([*([method] if method else []), *([f"{layers} layers"] if layers else [])])
        raise ConfigError(
            f"the latest report has no model of {chosen_by}; `pkd report` shows those that it has."
        )
    chosen = {
        task: best_of([model for model in wanted if model.task == task])
        for task in dict.fromkeys(model.task for model in wanted)
    }
    _check_complete(chosen.keys(), fill)
    bring_data(workspace, GLUE_TASKS)
    data_raw = workspace / "data_raw"
    contents = {}
    for file in glue_files():
        model = chosen.get(file.task.name)
        text = constant_predictions(file, data_raw) if model is None else _predictions(model, file)
        check_predictions(text, file, data_raw)
        contents[file.name] = text
        typer.echo(f"{file.name:11} {model.key if model else 'the most frequent label'}")
    write_glue_zip(output, contents)
    typer.echo(f"wrote {output}: {len(contents)} files, each checked against its test file")


def _check_complete(tasks: Collection[str], fill: bool) -> None:
    missing = [name for name in GLUE_TASKS if name not in tasks]
    if missing and not fill:
        raise ConfigError(
            f"the GLUE server takes all of its tasks at once, and the latest report has no such model of "
            f"{', '.join(missing)}; run them together, or give --fill to answer them with the most frequent label."
        )


def _predictions(model: ReportedModel, file: TestFile) -> str:
    folder = held_copy(model.evaluation)
    verify_files(folder, read_manifest(folder))
    path = folder / "submission" / file.name
    if not path.is_file():
        raise StoreError(
            f"{model.key} has no predictions of {file.split.file}; put the test file there and run again."
        )
    with file_errors("read", path):
        return path.read_text(encoding="utf-8")


def _method(model: ReportedModel) -> str:
    stage = model.key.partition("/")[2]
    return stage if model.is_teacher else stage.rsplit("-", 2)[0]
