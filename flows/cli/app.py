"""The command line `pkd`."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import display
from flows.cli.options import Workspace, takes_request
from flows.environment import prepare_environment
from flows.latest_report import latest_report
from flows.limits import check_limits
from flows.request import Request
from flows.stopping import ending_at_signals, received_signal, report_stopped
from pkd_core.errors import PkdError
from pkd_core.runtime.process_setup import configure_process
from pkd_core.store.os_errors import resource_errors

app = typer.Typer(
    help="Compress BERT by Patient Knowledge Distillation, as a cached, tracked pipeline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"pkd {version('pkd')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def demo(workspace: Workspace = Path("demo")) -> None:
    """Run the complete pipeline offline on a small built-in task and model; takes about two minutes."""
    prepare_environment(workspace)
    _set_up_process()
    from flows.demo import demo_request

    _run(demo_request(workspace), next_steps=display.after_demo(workspace))


@app.command()
@takes_request()
def run(request: Request) -> None:
    """Train and distil for the named tasks, computing only what is not done."""
    prepare_environment(request.workspace)
    _set_up_process()
    _run(request)


@app.command()
@takes_request()
def plan(request: Request) -> None:
    """Show what `run` would do with the same arguments, what is done, and why."""
    from flows.prepare import check_data
    from pkd_core.pipeline.plan import make_plan

    planned = make_plan(request.run, request.workspace, request.options.deep)
    check_data(planned)
    display.show_plan(planned)


@app.command()
def verify(workspace: Workspace = Path()) -> None:
    """Hash every published file and name what is damaged; exit status 1 if anything is."""
    from pkd_core.store.scan import verify_all

    if not workspace.is_dir():
        raise PkdError(f"there is no folder {workspace}; give the workspace to verify.")
    start = time.monotonic()
    checked = list(verify_all(workspace))
    if not display.show_verified(checked, time.monotonic() - start):
        raise typer.Exit(1)


@app.command()
def clean(
    workspace: Workspace = Path(),
    last: Annotated[
        int | None, typer.Option(min=1, help="Keep only what the N newest different runs refer to.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
) -> None:
    """List what no run refers to any more, with sizes and ages; delete it only with --yes."""
    from flows.cli.clean import clean as clean_up

    clean_up(workspace, last, yes)


@app.command()
def fetch(
    tasks: Annotated[list[str], typer.Argument(help="GLUE tasks.")], workspace: Workspace = Path()
) -> None:
    """Download GLUE tasks from the Hugging Face hub into data_raw, overwriting nothing."""
    from pkd_core.data.download import download_task

    for task in tasks:
        for path in download_task(task, workspace / "data_raw"):
            typer.echo(f"wrote {path}")


@app.command()
def presets() -> None:
    """List the published settings by task, method and student depth, each with the row that it comes from."""
    from pkd_core.config.presets import all_presets

    display.show_presets(all_presets())


@app.command()
def report(workspace: Workspace = Path()) -> None:
    """Show the table of the workspace's latest run, and where its report is."""
    from flows.best import describe_best

    folder = latest_report(workspace)
    if folder is None:
        raise PkdError(
            f"there is no report in {workspace.resolve()} yet; make one with `pkd run TASK` or `pkd demo`."
        )
    display.show_report(folder)
    typer.echo(describe_best(workspace, folder))


@app.command()
def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name from the report, such as RTE/pkd-skip-3l-s42, or RTE for the best student; a model folder; or "
            "an address in MLflow, such as models:/pkd-RTE-3l@best.",
        ),
    ],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT", help="Texts; two for each example of a task of pairs. Default: stdin."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Predict a TSV file with the task's columns in its header.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the answers to a file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON object for each example.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    workspace: Workspace = Path(),
) -> None:
    """Predict texts with a trained model: label and probability, or score."""
    from flows.cli import predict as command

    command.predict(command.PredictRequest(model, texts or (), file, output, as_json, device, workspace))


@app.command()
@takes_request(default_all=True)
def up(
    request: Request,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Start what `prefect deployment run pkd/full-glue` needs; the arguments become the deployment's defaults."""
    from flows.service.up import serve_until_stopped
    from pkd_core.data.glue import load_task

    prepare_environment(request.workspace)
    for task in request.run.tasks:
        load_task(task, request.workspace / "data_raw")
    serve_until_stopped(request, prefect_port, mlflow_port)


def _set_up_process() -> None:
    check_limits()
    configure_process()


def _run(request: Request, next_steps: str = "") -> None:
    """Check everything that can be checked, then run the flow in this process and show its report."""
    from flows.best import describe_best
    from flows.crashes import ending_at_crashes
    from flows.dead_threads import ending_at_dead_threads
    from flows.prepare import check_data, prepare

    planned = prepare(request)
    check_data(planned)
    display.show_counts(planned)
    before = latest_report(request.workspace)
    with (
        ending_at_signals(),
        ending_at_crashes(),
        ending_at_dead_threads(),
        _prefect_server(request.workspace),
    ):
        from flows.pkd import build_flow

        flow = build_flow(lambda _: planned)
        state = flow(**request.parameters(), return_state=True)
    if stopped := received_signal():
        raise typer.Exit(report_stopped(stopped))
    folder = latest_report(request.workspace)
    # A run that failed before any evaluation has no report; the latest one is then an older run's.
    if folder is not None and (state.is_completed() or folder != before):
        display.show_report(folder)
        typer.echo(describe_best(request.workspace, folder))
    typer.echo(next_steps)
    if not state.is_completed():
        raise PkdError(state.message or state.name)


@contextmanager
def _prefect_server(workspace: Path) -> Iterator[None]:
    """Let Prefect use the running server while the body runs, or one that is started for it."""
    from flows.service.find_server import find_server
    from flows.service.own_server import own_server

    server = find_server(workspace)
    display.show_server(server)
    if server is None:
        with own_server(workspace.resolve() / "artifacts" / "logs"):
            yield
    else:
        os.environ["PREFECT_API_URL"] = server
        yield


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence and exit status 2."""
    _exit_with_sentence(lambda: app(args=arguments, prog_name="pkd"))


def _exit_with_sentence(call: Callable[[], None]) -> None:
    try:
        with resource_errors("this command"):
            call()
    except PkdError as error:
        # Prefect would report lines that its server does not take any more, after the sentence.
        logging.raiseExceptions = False
        # Some messages quote a library's, which may have several lines, or a name that has control characters.
        line = " ".join(str(error).split())
        sentence = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
        typer.echo(f"pkd: {sentence.removesuffix('.')}.", err=True)
        sys.exit(2)
