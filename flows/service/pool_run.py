"""The process of a flow run that a work pool's worker has started: it runs pkd's own flow, whatever the server names.

A worker's own command would load the flow as the deployment says, from its pull steps, path and entrypoint, which
anybody who may write to the server can change. The pool's template gives `pkd flow-run` as a fixed command instead.
"""

import os
import runpy
import sys
from pathlib import Path
from uuid import UUID

from flows.environment import prepare_environment
from flows.service.root import ROOT_VARIABLE
from flows.workspace import open_workspace
from pkd_core.errors import ConfigError, quoted
from pkd_core.store.os_errors import file_errors

SECRETS_VARIABLE = "PKD_SECRETS"
_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
_FLOWS = {"pkd": "flows.pkd.pkd", "pkd-search": "flows.search.flow.pkd_search"}


def run_from_pool() -> None:
    """Run the flow run that the environment names, below the workspace that the pool's template names.

    Raises:
        ConfigError: The environment is not that of a pool's worker, or the run is of a flow that is not pkd's.
        StoreError: The folder of secrets cannot be read.
    """
    read_secrets()
    run_id, workspace = os.environ.get(_RUN_VARIABLE, ""), os.environ.get(ROOT_VARIABLE)
    if not _is_id(run_id) or not workspace:
        raise ConfigError(
            f"pkd flow-run is the command of a work pool's template, and needs {_RUN_VARIABLE} from its worker and "
            f"{ROOT_VARIABLE} from the template; start a run with `prefect deployment run` or `pkd run`."
        )
    root = open_workspace(workspace).resolve()
    os.environ[ROOT_VARIABLE] = str(root)
    prepare_environment(root)
    os.environ["PREFECT__FLOW_ENTRYPOINT"] = _FLOWS[_name_of_flow(UUID(run_id))]
    sys.argv = [sys.argv[0], run_id]
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def read_secrets() -> None:
    """Set a variable for each file of the folder PKD_SECRETS, named like it, unless the environment has it.

    Docker and Kubernetes mount secrets as such folders; variables they show to whoever may list containers.

    Raises:
        StoreError: A file cannot be read.
    """
    folder = os.environ.get(SECRETS_VARIABLE)
    if not folder:
        return
    with file_errors("read", Path(folder)):
        for path in sorted(Path(folder).iterdir()):
            # Kubernetes keeps the files in a hidden folder, and links to them.
            if not path.name.startswith(".") and path.is_file():
                os.environ.setdefault(path.name, path.read_text(encoding="utf-8").strip())


def _name_of_flow(run_id: UUID) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        name = client.read_flow(client.read_flow_run(run_id).flow_id).name
    if name not in _FLOWS:
        raise ConfigError(f"a pool of pkd runs the flows {' and '.join(_FLOWS)}, got {quoted(name)}.")
    return name


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
