"""Ray for one run: its settings, starting it on this machine or connecting to a cluster, and ending it."""

import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flows.environment import environment
from pkd_core.config.placement import is_cluster
from pkd_core.errors import ConfigError, PkdError
from pkd_core.pipeline.needs import Machine

_TOKEN, _TOKEN_FILE, _MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"
# In every Ray process, this one too: a machine that was cut off is then noticed after seconds, and its stages go on
# elsewhere; by default, after minutes or never (ray-project/ray#44692).
EVERYWHERE: Mapping[str, str] = {
    "RAY_grpc_client_keepalive_time_ms": "10000",
    "RAY_grpc_client_keepalive_timeout_ms": "10000",
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
    # By default, a stage that needs more memory than there is would be tried for ever.
    "RAY_task_oom_retries": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Of a warning about stages without a GPU, which are told to compute on the processor.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# Ray's setting for machines that only serve themselves, the default on macOS: all of it listens on 127.0.0.1.
_ON_THIS_MACHINE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_OBJECT_STORE_BYTES = 80_000_000  # Ray's least; records of stages are small
_NAMESPACE = "pkd"


# Its sockets lie there, and Linux limits their paths to 107 characters.
_LONGEST_FOLDER = 24


@contextmanager
def running_ray(placement: str) -> Iterator[None]:
    """Start Ray on this machine, or connect to a cluster, while the body runs.

    What is started here ends with this process, in whatever way that ends.

    Raises:
        ConfigError: A cluster's token is not given.
        PkdError: It does not start, or cannot be reached.
    """
    with environment(_variables(placement)), _short_folder() as folder:
        import ray

        before = signal.getsignal(signal.SIGTERM)
        try:
            if is_cluster(placement):
                ray.init(placement, namespace=_NAMESPACE, log_to_driver=False, configure_logging=False)
            else:
                ray.init(
                    "local",
                    namespace=_NAMESPACE,
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    # Ray lets everybody write to the folder it makes; that around it is this user's alone.
                    _temp_dir=str(Path(folder, "ray")),
                )
        except Exception as error:
            raise PkdError(_not_running(placement, error)) from error
        try:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has set its own
            yield
        finally:
            ray.shutdown()


def machines() -> list[Machine]:
    """Return what the machines of the running Ray have."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    return [
        Machine(int(one.get("CPU", 0)), float(one.get("GPU", 0)), int(one.get("memory", 0)))
        for one in resources
    ]


def _variables(placement: str) -> dict[str, str]:
    """Return what is added to the environment; what the user has set stays."""
    added = {name: value for name, value in EVERYWHERE.items() if name not in os.environ}
    if not is_cluster(placement):
        # A token of its own, which only this process and those that it starts know.
        return {**added, **_ON_THIS_MACHINE, _MODE: "token", _TOKEN: secrets.token_hex(32)}
    if os.environ.get(_MODE) == "disabled":
        return added
    if not (os.environ.get(_TOKEN) or os.environ.get(_TOKEN_FILE)):
        raise ConfigError(
            f"the Ray cluster at {placement} needs its token, as whoever reaches a cluster without one can run any "
            f"code on it; set {_TOKEN} or {_TOKEN_FILE} as where it was started (docs/cluster.md)."
        )
    return {**added, _MODE: "token"}


def _short_folder() -> "tempfile.TemporaryDirectory[str]":
    parent = None if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else "/tmp"
    return tempfile.TemporaryDirectory(prefix="pkd-ray-", dir=parent, ignore_cleanup_errors=True)


def _not_running(placement: str, error: Exception) -> str:
    cause = " ".join(str(error).split()) or type(error).__name__
    if is_cluster(placement):
        return (
            f"there is no Ray cluster at {placement} that this process may use ({cause}); check the address, the "
            f"token in {_TOKEN}, and that its versions of Ray and Python are those of this environment."
        )
    return f"Ray does not start on this machine ({cause}); run again, or give --placement threads."
