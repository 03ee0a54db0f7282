"""`pkd predict`: labels texts with a trained model, as many as there are."""

import io
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import typer

from flows.cli.answer_lines import Form, Lines, form_of
from flows.cli.answering import answered, ending_as_by_ctrl_c, show_table, write_file, write_stream
from flows.cli.lists import split_list
from flows.latest_report import latest_report
from pkd_core.data.texts import Texts, texts_of_arguments, texts_of_lines
from pkd_core.errors import ConfigError
from pkd_core.evaluation.text_answers import TextModel
from pkd_core.own_data.texts import FileOfTexts
from pkd_core.pipeline.bundles import TrainedModel
from pkd_core.pipeline.text_models import open_text_model
from pkd_core.pipeline.trained import describe_trained, find_trained, reported_models, verify_trained

REGISTERED = "models:/"
# As the only text, it stands for standard input.
_STANDARD_INPUT = "-"


@dataclass(frozen=True)
class PredictRequest:
    """What to predict, with which model, and where the answers go.

    Attributes:
        model: A name from the report, a folder, or an address in MLflow.
        texts: As typed; without texts and file, or with the only text "-", lines of standard input.
        file: A file of many texts, of any format that `pkd compress` reads.
        output: A file to write; None for standard output.
        as_json: Write JSON lines.
        device: Where to compute.
        workspace: Folder that holds artifacts.
    """

    model: str
    texts: Sequence[str]
    file: FileOfTexts | None
    output: Path | None
    as_json: bool
    device: str
    workspace: Path

    @property
    def is_of_stream(self) -> bool:
        """Whether standard input is read."""
        return self.file is None and list(self.texts) in ([], [_STANDARD_INPUT])


def file_of(path: Path | None, columns: str | None, encoding: str | None) -> FileOfTexts | None:
    """Return what the options of a command line say of a file.

    Raises:
        ConfigError: They say something of no file.
    """
    if path is not None:
        return FileOfTexts(path, tuple(split_list(columns)) if columns else (), encoding)
    if columns or encoding:
        raise ConfigError("--texts and --encoding say how a --file is read; give one.")
    return None


def predict(request: PredictRequest) -> None:
    """Predict the texts and write the answers as they come; a file is written completely or not at all.

    Raises:
        PkdError: There is no such model, it is damaged, or a text is not as it expects.
    """
    form = form_of(request.output, request.as_json)
    trained = describe_trained(_find(request.workspace, request.model))
    if len(trained.columns or ()) > 2:
        raise ConfigError(
            f"{request.model} chooses between possible answers, and `pkd predict` labels one text or two; load it with "
            "MLflow, or with transformers' BertForMultipleChoice."
        )
    texts = _read(request, trained)
    verify_trained(trained.folder)
    try:
        with ending_as_by_ctrl_c():
            _write(request, open_text_model(trained, request.device), texts, form)
    except KeyboardInterrupt:
        kept = f"; {request.output} is not written" if request.output else ""
        typer.echo(f"pkd: stopped{kept}.", err=True)
        raise typer.Exit(128 + signal.SIGINT) from None


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
        texts, notes = request.file.read(trained.columns)
        for note in notes:
            typer.echo(note, err=True)
        return texts
    if not request.is_of_stream:
        return texts_of_arguments(request.texts, trained.columns)
    if not request.texts and sys.stdin.isatty():
        columns = " ".join(f'"{name}"' for name in trained.columns or ("text",))
        raise ConfigError(
            f"give texts to predict (pkd predict {request.model} {columns}), a --file, or lines of standard input."
        )
    return texts_of_lines(cast("io.BufferedReader", sys.stdin.buffer), "standard input", trained.columns)


def _write(request: PredictRequest, model: TextModel, texts: Texts, form: Form) -> None:
    lines, batches = Lines(texts.columns, model.kind), answered(model, texts)
    if request.output is not None:
        num_rows = write_file(request.output, lines, form, batches)
        typer.echo(f"wrote {request.output}: {num_rows} predictions")
    elif request.as_json or request.is_of_stream or not sys.stdout.isatty():
        write_stream(sys.stdout, lines, form, batches)
    else:
        show_table(lines, batches)
