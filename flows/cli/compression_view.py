"""What the command line shows of a compression: the table, the verdict, and where the files are."""

from pathlib import Path

import typer

from flows.cli.listing import wrapped
from pkd_core.store.os_errors import file_errors


def show_compression(folder: Path) -> None:
    """Show a published compression.

    Args:
        folder: The folder of its card's stage, or a copy with the same files.

    Raises:
        StoreError: It cannot be read.
    """
    from pkd_core.report.compression.write import (
        PAGE,
        TABLE,
        read_verdict,
    )  # imports scikit-learn, which takes time

    path = folder / TABLE
    with file_errors("read", path):
        typer.echo("\n" + path.read_text(encoding="utf-8", errors="replace"))
    verdict = read_verdict(folder)
    for name, sentence in (("had", verdict.had), ("have", verdict.have), ("cost", verdict.cost)):
        typer.echo(wrapped(f"{name + ':':6}{sentence}", hanging=6 * " "))
    for sentence in (*verdict.objections, *verdict.remarks):
        typer.echo(wrapped(f"- {sentence}", hanging="  "))
    typer.echo(f"\npage: {folder / PAGE}")
