"""Checks, before hours are spent, that a search has its data and its model."""

from flows.prepare import check_device, prepare_data
from flows.search.request import SearchRequest
from pkd_core.pipeline.plan import find_inputs
from pkd_core.pipeline.search_plan import Search
from pkd_core.store.stage_store import StageStore


def prepare_search(asked: SearchRequest) -> Search:
    """Check the workspace and the device, download missing data, and find what the search's stages are made from.

    Raises:
        PkdError: There is no such device or model, the task has no data, or a method does not fit the depth.
    """
    run, options, workspace = asked.request.run, asked.request.options, asked.workspace
    StageStore(workspace)
    check_device(options)
    prepare_data(run.tasks, workspace)
    search = Search(run, asked.config, workspace, find_inputs(run, workspace, options.device), options.deep)
    search.check()
    return search
