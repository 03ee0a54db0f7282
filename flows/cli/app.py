"""The command line `pkd`."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import display
from flows.environment import compute_on_one_thread, prepare_environment
from flows.latest_report import latest_report
from flows.limits import check_limits
from flows.request import Request
from flows.stopping import ending_at_signals, received_signal, report_stopped
from pkd_core.errors import PkdError
from pkd_core.runtime.process_setup import keep_freed_memory
from pkd_core.store.os_errors import file_errors, resource_errors

app = typer.Typer(
    help="Compress BERT by Patient Knowledge Distillation, as a cached, tracked pipeline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _usable(workspace: Path) -> Path:
    with file_errors("use", workspace):
        workspace.exists()
    return workspace


Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="TASK|key=value", help="Tasks, and settings by dotted key."),
]
Workspace = Annotated[
    Path, typer.Option(help="Folder that holds data_raw, data_feat and artifacts.", callback=_usable)
]
Methods = Annotated[
    str | None, typer.Option(help="Comma-separated: finetune, kd, pkd-skip, pkd-last. Default: all.")
]
Layers = Annotated[
    str | None, typer.Option(help="Comma-separated student depths. Default: half the teacher's.")
]
Seeds = Annotated[str, typer.Option(help="Comma-separated; one student a seed.")]
Model = Annotated[
    str | None, typer.Option(help="Pretrained BERT: a folder, or a name on the Hugging Face hub.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]
Deep = Annotated[bool, typer.Option("--deep", help="Hash every published file instead of comparing sizes.")]
Minutes = Annotated[
    float, typer.Option(min=0.0, help="A training's checkpoints, besides one at each epoch's end.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop before distilling a teacher that has learnt nothing.")
]
Share = Annotated[
    int, typer.Option(min=1, help="So many runs of this workspace may compute on one device at once.")
]
Here = Path()


@app.command()
def demo(workspace: Workspace = Path("demo")) -> None:
    """Run the whole pipeline offline on a small task and model of its own; takes about two minutes."""
    compute_on_one_thread()
    from flows.demo import demo_request

    prepare_environment(workspace)
    _run(demo_request(workspace), next_steps=display.after_demo(workspace))


@app.command()
def run(
    words: Words = None,
    methods: Methods = None,
    student_layers: Layers = None,
    seeds: Seeds = "42",
    model: Model = None,
    workspace: Workspace = Here,
    device: Device = "auto",
    deep: Deep = False,
    strict: Strict = False,
    checkpoint_minutes: Minutes = 5.0,
    share: Share = 1,
) -> None:
    """Train and distil for the named tasks, computing only what is not done."""
    prepare_environment(workspace)
    request = Request.parse(words, methods, student_layers, seeds, model, workspace, device, deep)
    _run(replace(request, strict=strict, checkpoint_minutes=checkpoint_minutes, share=share))


@app.command()
def plan(
    words: Words = None,
    methods: Methods = None,
    student_layers: Layers = None,
    seeds: Seeds = "42",
    model: Model = None,
    workspace: Workspace = Here,
    deep: Deep = False,
) -> None:
    """Show what `run` would do with the same arguments, what is done, and why."""
    from flows.prepare import check_data
    from pkd_core.pipeline.plan import make_plan

    request = Request.parse(words, methods, student_layers, seeds, model, workspace, "auto", deep)
    planned = make_plan(request.run, workspace, deep)
    check_data(planned, workspace / "data_raw")
    display.show_plan(planned)


@app.command()
def verify(workspace: Workspace = Here) -> None:
    """Hash every published file and name what is damaged; exit status 1 if anything is."""
    from pkd_core.store.scan import verify_all

    if not workspace.is_dir():
        raise PkdError(f"there is no folder {workspace}; give the workspace whose stages are to be verified.")
    start = time.monotonic()
    checked = list(verify_all(workspace))
    if not display.show_verified(checked, time.monotonic() - start):
        raise typer.Exit(1)


@app.command()
def clean(
    workspace: Workspace = Here,
    last: Annotated[
        int | None, typer.Option(min=1, help="Spare only what so many newest different runs refer to.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
) -> None:
    """List what no run refers to any more, with sizes and ages; delete it only with --yes."""
    from flows.cli.clean import clean as clean_up

    clean_up(workspace, last, yes)


@app.command()
def fetch(
    tasks: Annotated[list[str], typer.Argument(help="GLUE tasks.")], workspace: Workspace = Here
) -> None:
    """Download GLUE tasks from the Hugging Face hub into data_raw, overwriting nothing."""
    from pkd_core.data.download import fetch as download_task

    for task in tasks:
        for path in download_task(task, workspace / "data_raw"):
            typer.echo(f"wrote {path}")


@app.command()
def presets() -> None:
    """List the published settings by task, method and student depth, each with the row that it comes from."""
    from pkd_core.config.presets import all_presets

    display.show_presets(all_presets())


@app.command()
def report(workspace: Workspace = Here) -> None:
    """Show the table of the workspace's latest run, and where its report lies."""
    folder = latest_report(workspace)
    if folder is None:
        raise PkdError(
            f"there is no report in {workspace.resolve()} yet; make one with `pkd run TASK` or `pkd demo`."
        )
    display.show_report(folder)


@app.command()
def up(
    words: Words = None,
    methods: Methods = None,
    student_layers: Layers = None,
    seeds: Seeds = "42",
    model: Model = None,
    workspace: Workspace = Here,
    device: Device = "auto",
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
) -> None:
    """Start what `prefect deployment run pkd/full-glue` needs; the arguments become the deployment's defaults."""
    from flows.service.up import serve_until_stopped
    from pkd_core.data.glue import load_task

    prepare_environment(workspace)
    request = Request.parse(
        words, methods, student_layers, seeds, model, workspace, device, False, default_all=True
    )
    for task in request.run.tasks:
        load_task(task, workspace / "data_raw")
    serve_until_stopped(request, prefect_port, mlflow_port)


def _run(request: Request, next_steps: str = "") -> None:
    """Check everything that can be checked, then run the flow here and show its report."""
    check_limits()
    keep_freed_memory()
    from flows.crashes import ending_at_crashes
    from flows.environment import prefect_server, start_own_server
    from flows.prepare import check_data, prepare

    planned = prepare(request.run, request.workspace, request.device, request.deep)
    check_data(planned, request.workspace / "data_raw")
    display.show_counts(planned)
    before = latest_report(request.workspace)
    with prefect_server() as server, ending_at_signals(), ending_at_crashes():
        from flows.pkd import pkd

        display.show_server(server)
        if server is None:
            start_own_server()
        state = pkd(**request.parameters(), return_state=True)
    if stopped := received_signal():
        raise typer.Exit(report_stopped(stopped))
    folder = latest_report(request.workspace)
    # A run that failed before any evaluation has no report, and an older run's is not its own.
    if folder is not None and (state.is_completed() or folder != before):
        display.show_report(folder)
    typer.echo(next_steps)
    if not state.is_completed():
        raise PkdError(state.message or state.name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence and exit status 2."""
    _exit_with_sentence(lambda: app(args=arguments, prog_name="pkd"))


def _exit_with_sentence(call: Callable[[], None]) -> None:
    try:
        with resource_errors("this command"):
            call()
    except PkdError as error:
        # Libraries' words, which some sentences quote, may go over several lines.
        typer.echo(f"pkd: {' '.join(str(error).split()).removesuffix('.')}.", err=True)
        sys.exit(2)
