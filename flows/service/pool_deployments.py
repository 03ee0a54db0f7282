"""Registers the deployments of a work pool, whose workers start the flows on other machines."""

import asyncio
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from flows.pkd import pkd
from flows.search.flow import pkd_search
from flows.service.serve import search_parameters
from flows.service.services import DEPLOYMENT, SEARCH_DEPLOYMENT
from pkd_core.errors import ConfigError, quoted


def register(pool: str, parameters: Mapping[str, Any]) -> list[str]:
    """Register the deployments of runs and searches on a pool, or change those that are there.

    Args:
        pool: The pool's name.
        parameters: The deployments' default parameters.

    Returns:
        Their names.

    Raises:
        ConfigError: There is no such pool.
    """
    _check_pool(pool)
    flows = (
        (pkd, DEPLOYMENT, dict(parameters)),
        (pkd_search, SEARCH_DEPLOYMENT, search_parameters(parameters)),
    )
    for flow, name, defaults in flows:
        deployment = RunnerDeployment.from_flow(
            flow,
            name=name,
            parameters=defaults,
            work_pool_name=pool,
            # What is installed with pkd, on whatever machine: a worker looks there for hooks of crashed runs.
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        applied = deployment.apply()
        if asyncio.iscoroutine(applied):
            asyncio.run(applied)
    return [f"{flow.name}/{name}" for flow, name, _ in flows]


def _check_pool(name: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(name)
        except ObjectNotFound:
            raise ConfigError(
                f"the Prefect server has no work pool {quoted(name)}; create it first, such as with `prefect "
                f"work-pool create {name} --type process --base-job-template pool.json` (docs/cluster.md)."
            ) from None
