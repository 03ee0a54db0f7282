"""Opens the place where a flow run's stages are computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.placement.check import check_placement
from flows.placement.submission import Submit, SubmitInThread
from pkd_core.config.placement import THREADS
from pkd_core.config.run_options import RunOptions
from tasks.progress import ShowStage


@contextmanager
def placing(options: RunOptions, workspace: Path, show: ShowStage) -> Iterator[Submit]:
    """Yield what submits the stages of the current flow run, which places them as its options say.

    Args:
        options: How the run works.
        workspace: Its workspace.
        show: Shows a stage while it is being built.

    Raises:
        ConfigError: They cannot be placed so.
        PkdError: Ray does not start, or cannot be reached.
    """
    check_placement(options, workspace)
    if options.placement == THREADS:
        yield SubmitInThread(show)
        return
    from flows.placement.on_ray import on_ray

    with on_ray(options, show) as submit:
        yield submit
