"""What `pkd up` prints once its services answer: their addresses, and the commands that use them."""

import os
import shlex

from flows.request import Request
from flows.service.login import VARIABLE, kept_login_path
from flows.service.mlflow_backend import Backend
from flows.service.services import COMPRESS_DEPLOYMENT, DEPLOYMENT, SEARCH_DEPLOYMENT, Servers
from tasks.mlflow_store import experiment_page


def welcome(request: Request, servers: Servers, backend: Backend, runs_flows: bool) -> str:
    """Return the lines for the terminal; they name the login's place, never the login.

    Args:
        request: The deployments' defaults.
        servers: The running servers, with whose MLflow store this process works.
        backend: What MLflow's server keeps its data in.
        runs_flows: Whether this machine runs the deployments.

    Raises:
        StoreError: MLflow does not answer.
    """
    api = servers.prefect_api_for_others
    # The shell inserts the login, so that it appears neither here nor in the shell's history.
    if os.environ.get(VARIABLE):
        source, pair = f"${VARIABLE}", VARIABLE
    else:
        path = kept_login_path(request.workspace)
        source, pair = f"$(cat {shlex.quote(str(path))})", f"the login in {path}"
    where = "On each machine, with that login" if servers.listening.is_for_others else "In another terminal"
    of_mlflow = _MLFLOW.format(url=servers.mlflow_for_others) if backend.is_of_server else ""
    deployments = _DEPLOYMENTS.format(task=request.run.tasks[0]) if runs_flows else ""
    tasks = f"Tasks by default: {', '.join(request.run.tasks)}. " if runs_flows else ""
    return f"""
Prefect   {api.removesuffix("/api")}
MLflow    {servers.mlflow_for_others}/{experiment_page(request.workspace)}
Both require {pair}: MLflow name and password, Prefect's page name:password in one.

{where}:
    export PREFECT_API_URL={api}
    export PREFECT_API_AUTH_STRING="{source}"
{of_mlflow}{deployments}
{tasks}Ctrl-C stops all {"three" if runs_flows else "of it"}."""


_MLFLOW = """    export MLFLOW_TRACKING_URI={url}
    export MLFLOW_TRACKING_USERNAME="${{PREFECT_API_AUTH_STRING%%:*}}"
    export MLFLOW_TRACKING_PASSWORD="${{PREFECT_API_AUTH_STRING#*:}}"
"""

_DEPLOYMENTS = f"""    prefect deployment run pkd/{DEPLOYMENT} --watch
    prefect deployment run pkd/{COMPRESS_DEPLOYMENT} --watch --param 'data="reviews.csv"'
    prefect deployment run pkd-search/{SEARCH_DEPLOYMENT} --watch --param 'tasks=["{{task}}"]'
"""
