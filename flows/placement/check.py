"""Checks, without importing Prefect or Ray, that the stages of a run can be placed as it asks."""

from importlib.util import find_spec
from pathlib import Path

from pkd_core.config.placement import THREADS, is_cluster
from pkd_core.config.run_options import RunOptions
from pkd_core.errors import ConfigError
from pkd_core.store.attached import place_of


def check_placement(options: RunOptions, workspace: Path) -> None:
    """Check that the stages of a run can be placed as it asks.

    Raises:
        ConfigError: Ray is not installed, or a cluster's machines do not share the workspace.
    """
    if options.placement == THREADS:
        return
    missing = [name for name in ("ray", "prefect_ray") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"--placement {options.placement} needs {' and '.join(missing)}, which this environment does not have; "
            "run pip install 'pkd[ray]'."
        )
    if is_cluster(options.placement) and place_of(workspace) is None:
        raise ConfigError(
            f"--placement {options.placement} needs a workspace that all machines of the cluster share, and got a "
            "folder of this one; give --workspace s3://BUCKET/PREFIX or file:///SHARED/FOLDER."
        )
