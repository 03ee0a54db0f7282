"""The options of `pkd search`: those of `pkd run`, and a preview."""

from typing import Annotated

import typer

from flows.cli.options import AsJson, Quiet, Verbose, takes_request
from flows.cli.run import amount
from flows.environment import prepare_environment
from flows.search.request import SearchRequest
from pkd_core.errors import ConfigError


@takes_request(build=SearchRequest.build)
def search(
    asked: SearchRequest,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what is trained and what of it is done; run nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Search the best settings of each method for one task, in the paper's rounds (docs/search.md)."""
    from flows.cli import search as command

    if as_json and not plan:
        raise ConfigError("--json is for --plan; what a search has found is in its search.json.")
    prepare_environment(asked.workspace)
    if plan:
        command.preview_search(asked, as_json)
    else:
        command.search(asked, amount(quiet, verbose))
