"""`pkd predict`: labels texts with a trained model."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from flows.latest_report import latest_report
from pkd_core.data.texts import Texts, texts_of_arguments, texts_of_file, texts_of_lines
from pkd_core.errors import ConfigError
from pkd_core.pipeline.trained import (
    TrainedModel,
    describe_trained,
    find_trained,
    reported_models,
    verify_trained,
)
from pkd_core.store.atomic import atomic_write_text
from pkd_core.store.os_errors import file_errors

REGISTERED = "models:/"


@dataclass(frozen=True)
class PredictRequest:
    """What to predict, with which model, and where the answers go.

    Attributes:
        model: A name from the report, a folder, or an address in MLflow.
        texts: As typed; without texts and file, lines of standard input.
        file: TSV with a header.
        output: A file to write; None for standard output.
        as_json: Write JSON lines.
        device: Where to compute.
        workspace: Folder that holds artifacts.
    """

    model: str
    texts: Sequence[str]
    file: Path | None
    output: Path | None
    as_json: bool
    device: str
    workspace: Path


def predict(request: PredictRequest) -> None:
    """Predict the texts and show the answers.

    Raises:
        PkdError: There is no such model, it is damaged, or a text is not as it expects.
    """
    trained = describe_trained(_find(request.workspace, request.model))
    if len(trained.columns or ()) > 2:
        raise ConfigError(
            f"{request.model} chooses between possible answers, and `pkd predict` labels one text or two; load it with "
            "MLflow, or with transformers' BertForMultipleChoice."
        )
    texts = _read(request, trained)
    verify_trained(trained.folder)
    from pkd_core.evaluation.predict_texts import predict_texts
    from pkd_core.runtime.device import find_device
    from pkd_core.runtime.process_setup import configure_process

    configure_process()
    device = find_device(request.device)
    predictions = predict_texts(trained.folder, texts.examples, trained.max_length, device)
    names = ["score"] if predictions[0].label is None else ["label", "probability"]
    if set(names) & set(texts.columns):
        names = [f"predicted_{name}" for name in names]
    answers = [(one.value,) if one.label is None else (one.label, one.value) for one in predictions]
    _show(request, texts, names, answers)


def _find(workspace: Path, model: str) -> Path:
    if model.startswith(REGISTERED):
        from tasks.registered_stage import find_registered

        return find_registered(workspace, model)
    report = latest_report(workspace)
    return find_trained(workspace, model, reported_models(workspace, report) if report else ())


def _read(request: PredictRequest, trained: TrainedModel) -> Texts:
    if request.file is not None and request.texts:
        raise ConfigError("give either texts or --file, not both.")
    if request.file is not None:
        return texts_of_file(request.file, trained.columns)
    if request.texts:
        return texts_of_arguments(request.texts, trained.columns)
    if sys.stdin.isatty():
        columns = " ".join(f'"{name}"' for name in trained.columns or ("text",))
        raise ConfigError(
            f"give texts to predict (pkd predict {request.model} {columns}), a --file, or lines of standard input."
        )
    return texts_of_lines(sys.stdin.buffer, "standard input", trained.columns)


def _show(
    request: PredictRequest, texts: Texts, names: Sequence[str], answers: Sequence[tuple[str | float, ...]]
) -> None:
    header = (*texts.columns, *names)
    rows = [(*fields, *answer) for fields, answer in zip(texts.rows, answers, strict=True)]
    if request.output is None and not request.as_json and sys.stdout.isatty():
        table = Table(*texts.columns, box=None, pad_edge=False)
        for name in names:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*map(_shown, row))
        Console(markup=False, emoji=False, highlight=False).print(table)
        return
    lines = _json_lines(header, rows) if request.as_json else _tsv_lines(header, rows)
    if request.output is None:
        for line in lines:
            typer.echo(line)
        return
    with file_errors("write", request.output):
        atomic_write_text(request.output, "".join(f"{line}\n" for line in lines), has_concurrent_writers=True)
    typer.echo(f"wrote {request.output}: {len(rows)} predictions")


def _json_lines(header: tuple[str, ...], rows: Sequence[tuple[str | float, ...]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False)


def _tsv_lines(header: tuple[str, ...], rows: Sequence[tuple[str | float, ...]]) -> Iterator[str]:
    for row in (header, *rows):
        # A text that was typed may have line breaks.
        yield "\t".join(" ".join(_shown(value).splitlines()) for value in row)


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"
