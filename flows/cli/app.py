"""The command line `pkd`."""

import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import display
from flows.cli.command import Command, usage_sentence
from flows.cli.compress_command import compress
from flows.cli.options import (
    AsJson,
    IgnoredQuiet,
    IgnoredVerbose,
    Quiet,
    Verbose,
    Workspace,
    takes_request,
)
from flows.cli.pool_commands import deploy, flow_run
from flows.cli.predict_command import predict
from flows.cli.push_command import push
from flows.cli.run import amount, run_request
from flows.cli.search_command import search
from flows.cli.up_command import up
from flows.environment import prepare_environment
from flows.request import Request
from pkd_core.config.settings import Method
from pkd_core.errors import ConfigError, PkdError
from pkd_core.store.os_errors import resource_errors

app = typer.Typer(
    help="Compress BERT by Patient Knowledge Distillation, as a cached, tracked pipeline.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"pkd {version('pkd')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.command()
def demo(
    workspace: Workspace = Path("demo"),
    placement: Annotated[str, typer.Option(help="Where stages are computed: threads, or ray.")] = "threads",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the complete pipeline offline on a small built-in task and model; takes about three minutes."""
    prepare_environment(workspace)
    from flows.demo import demo_request

    preparing = "writing the demo's data and pretraining its BERT"
    run_request(
        lambda: demo_request(workspace, placement),
        amount(quiet, verbose),
        display.after_demo(workspace),
        preparing,
    )


app.command()(compress)


@app.command()
@takes_request()
def run(request: Request, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Train and distil for the named tasks, computing only what is not done."""
    prepare_environment(request.workspace)
    run_request(lambda: request, amount(quiet, verbose))


@app.command()
@takes_request()
def plan(
    request: Request, as_json: AsJson = False, quiet: IgnoredQuiet = False, verbose: IgnoredVerbose = False
) -> None:
    """Show what `run` would do with the same arguments, what is done, and why."""
    from flows.cli.plan_command import show_plan

    amount(quiet, verbose)
    show_plan(request, as_json)


app.command()(search)


@app.command()
def verify(workspace: Workspace = Path(), as_json: AsJson = False) -> None:
    """Hash every published file and name what is damaged; exit status 1 if anything is."""
    from flows.cli.inspect import verify as verify_workspace

    if not verify_workspace(workspace, as_json):
        raise typer.Exit(1)


@app.command()
def runs(workspace: Workspace = Path(), as_json: AsJson = False) -> None:
    """List the recorded runs: what was asked for, how much is done, and the file that repeats each."""
    from flows.cli.runs_command import show_runs

    show_runs(workspace, as_json)


@app.command()
def clean(
    workspace: Workspace = Path(),
    last: Annotated[
        int | None, typer.Option(min=1, help="Keep only what the N newest different runs refer to.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what no run refers to any more, with sizes and ages; delete it only with --yes."""
    from flows.cli.clean import clean as clean_up

    clean_up(workspace, last, yes, as_json)


@app.command()
def fetch(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="GLUE tasks, or RACE.")],
    workspace: Workspace = Path(),
) -> None:
    """Download GLUE tasks and RACE from the Hugging Face hub into data_raw, overwriting nothing."""
    from pkd_core.data.download import download_task
    from pkd_core.pipeline.task_data import bring_data, send_data
    from pkd_core.store.attached import place_of

    for task in tasks:
        bring_data(workspace, [task])
        for path in download_task(task, workspace / "data_raw"):
            typer.echo(f"wrote {path}")
        if place := place_of(workspace):
            send_data(workspace, task)
            typer.echo(f"sent {task} to {place.url}")


@app.command()
def presets() -> None:
    """List the published settings by task, method and student depth, each with the row that it comes from."""
    from pkd_core.config.presets import all_presets

    display.show_presets(all_presets())


@app.command()
def settings(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="TASK|key=value", help="A task, and settings by dotted key.")
    ] = None,
    method: Annotated[Method, typer.Option(help="The student's method.")] = "pkd-skip",
    student_layers: Annotated[
        int | None, typer.Option(min=1, max=1000, help="The student's depth. Default: half its model's.")
    ] = None,
    teacher_layers: Annotated[int, typer.Option(min=1, max=1000, help="The teacher's depth.")] = 12,
    student_model_layers: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Depth of the students' model. Default: the teacher's."),
    ] = None,
    as_json: AsJson = False,
    workspace: Workspace = Path(),
) -> None:
    """Show every setting: its value for a task, where that comes from, its bounds and its meaning."""
    from flows.cli.settings_command import show_settings

    models = (teacher_layers, student_model_layers or teacher_layers)
    show_settings(arguments or [], method, student_layers, models, workspace, as_json)


@app.command()
def report(workspace: Workspace = Path(), as_json: AsJson = False) -> None:
    """Show the table of the workspace's latest run, and where its report is."""
    from flows.cli.inspect import report as show_latest_report

    show_latest_report(workspace, as_json)


app.command()(predict)
app.command()(push)


@app.command()
def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A name from the report, such as RTE/pkd-skip-3l-s42, or RTE/3l for the best such model; a folder; "
            "the beginning of a folder's name (RTE/kd-3l-s1-4f3a); or an address in MLflow.",
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another, of the same task.")],
    task: Annotated[
        str | None, typer.Option(help="The task of names without one: --task RTE teacher kd-3l.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="A labelled split: test, where it has labels. Default: dev, which chose the epochs."
        ),
    ] = None,
    disagreements: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show N examples with different answers.")
    ] = 0,
    as_json: AsJson = False,
    workspace: Workspace = Path(),
) -> None:
    """Compare two models on the same examples: difference with interval, who is right where, where they disagree."""
    from flows.cli.compare import CompareRequest, compare_models

    compare_models(CompareRequest(first, second, task, split, disagreements, as_json, workspace))


@app.command()
def submit(
    output: Annotated[Path, typer.Option(help="The zip to write.")] = Path("submission.zip"),
    method: Annotated[
        str | None, typer.Option(help="Models of this method, teacher too. Default: the best student.")
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Models of this depth.")] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="Answer tasks without a model with the most frequent label.")
    ] = False,
    workspace: Workspace = Path(),
) -> None:
    """Write the zip that the GLUE server takes, from the latest report's models, checked against the test files."""
    from flows.cli.submit import submit as write_submission

    write_submission(workspace, output, method, layers, fill)


app.command()(up)
app.command()(deploy)
app.command(name="flow-run", hidden=True)(flow_run)


for _command in app.registered_commands:
    _command.cls = Command


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence and exit status 2."""
    _exit_with_sentence(lambda: sys.exit(_call(arguments)))


def _call(arguments: list[str] | None) -> int:
    try:
        return app(args=arguments, prog_name="pkd", standalone_mode=False) or 0
    except typer.TyperException as error:
        raise ConfigError(usage_sentence(error)) from error
    except typer.Abort:
        return 1


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
