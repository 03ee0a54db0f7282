"""The best student of each task of a report, and how to use it: lines that work as they are pasted."""

import shlex
from pathlib import Path

from flows.workspace import as_typed
from pkd_core.errors import StoreError
from pkd_core.model.file_checks import read_settings
from pkd_core.pipeline.trained import ReportedModel, best_of, describe_trained, reported_models
from pkd_core.report.cells import metric_name, points
from pkd_core.store.attached import place_of

_TEXTS = ("some text", "another text")


def describe_best(workspace: Path, report: Path) -> str:
    """Return the best student of each task, the command that uses the first of them, and the same in Python.

    It is empty where no model of the report is left, or the report cannot be read: its table is shown all the same.

    Args:
        workspace: As it was given, so that the command finds it from the same folder.
        report: A published report of it.
    """
    try:
        models = reported_models(workspace, report)
    except StoreError:
        return ""
    best = [
        best_of([model for model in models if model.task == task])
        for task in dict.fromkeys(model.task for model in models)
    ]
    if not best:
        return ""
    lines = [
        f"best on dev: {one.key}, {metric_name(one.selection)} {points(one.score)}, {_where(one)}"
        for one in best
    ]
    return "\n".join(["", *lines, *_usage(workspace, best[0])])


def _where(model: ReportedModel) -> str:
    """Return where a model's files are: in the place that machines share, as long as this one has no copy."""
    place = None if model.folder.is_dir() else place_of(model.folder.parents[2])
    path = "/".join(model.folder.parts[-3:])
    return str(model.folder) if place is None else f"{place.url}/{path}"


def _usage(workspace: Path, model: ReportedModel) -> list[str]:
    trained = describe_trained(model.folder)
    if len(trained.columns or ()) > 2:
        return [
            "",
            "in Python:",
            "",
            "from transformers import AutoModelForMultipleChoice",
            f"model = AutoModelForMultipleChoice.from_pretrained({str(model.folder.resolve())!r})",
        ]
    texts = _TEXTS[: len(trained.columns or ("text",))]
    place = [] if workspace == Path() else ["--workspace", as_typed(workspace)]
    command = shlex.join(["pkd", "predict", model.key, *place])
    if not model.folder.is_dir():
        return ["", f"{command} " + " ".join(f'"{text}"' for text in texts)]
    example = repr(texts[0]) if len(texts) == 1 else repr({"text": texts[0], "text_pair": texts[1]})
    options = f", truncation=True, max_length={trained.max_length}" if trained.max_length else ""
    if read_settings(model.folder).problem_type == "multi_label_classification":
        # Otherwise transformers gives the most probable label alone.
        options += ", top_k=None"
    return [
        "",
        f"{command} " + " ".join(f'"{text}"' for text in texts),
        "",
        "or in Python:",
        "",
        "from transformers import pipeline",
        f"classify = pipeline('text-classification', {str(model.folder.resolve())!r})",
        f"print(classify({example}{options}))",
    ]
