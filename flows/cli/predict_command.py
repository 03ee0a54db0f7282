"""The words that `pkd predict` takes."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Workspace


def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name from the report, such as RTE/pkd-skip-3l-s42, or RTE for the best student; a model folder; a "
            "bundle, or one ONNX file of it; or an address in MLflow, such as models:/pkd-RTE-3l@best.",
        ),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts; two for each example of a task of pairs. Default, or -: lines of standard input, answered as "
            "they come.",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Predict a file: CSV, TSV, JSON Lines, Parquet, or lines of text.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--texts", help="The file's columns of texts, comma-separated. Default: the model's own."
        ),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="The file's encoding. Default: UTF-8, UTF-16 or Windows-1252.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the answers to a file that ends in .tsv, .csv or .jsonl.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object for each example.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    workspace: Workspace = Path(),
) -> None:
    """Predict texts with a trained model: label and probability, or score."""
    from flows.cli import predict as command

    given = command.file_of(file, columns, encoding)
    command.predict(command.PredictRequest(model, texts or (), given, output, as_json, device, workspace))
