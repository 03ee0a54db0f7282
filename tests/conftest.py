"""Keeps every test offline, quick, and away from the user's own Prefect and MLflow state.

Libraries read these settings when they are imported, so they are set here, before any test module is.
"""

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator

import hypothesis
import pytest
from s3_server import s3_server

# A busy machine may take any time for one example.
hypothesis.settings.register_profile("pkd", deadline=None)
hypothesis.settings.load_profile("pkd")

# Nearly half of the time on a disk is waiting for it, as the store and both databases have all that they write
# synchronised. Whoever names a folder in TMPDIR has it used instead. A container's /dev/shm may be a few MB, and where
# nothing may be executed there, the programs that tests write could not run.
_memory, _needed_bytes = "/dev/shm", 10**9
if (
    "TMPDIR" not in os.environ
    and os.access(_memory, os.W_OK)
    and shutil.disk_usage(_memory).free > _needed_bytes
    and not os.statvfs(_memory).f_flag & os.ST_NOEXEC
):
    os.environ["TMPDIR"] = tempfile.tempdir = _memory

_prefect_home = tempfile.TemporaryDirectory(prefix="pkd-prefect-", ignore_cleanup_errors=True)

os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Tiny models gain nothing from a second thread, and lose much on a busy machine.
        "OMP_NUM_THREADS": "1",
        # Nothing listens there: pyproject.toml names the server of `pkd up`, which no test may talk to.
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_HOME": _prefect_home.name,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TOKENIZERS_PARALLELISM": "false",
    }
)
for _name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_PROFILE"):
    os.environ.pop(_name, None)


def pytest_collection_finish() -> None:
    """Keep what was imported from the garbage collector, which looked through a million objects at each full pass."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let Prefect's server, which says at exit that it stops, find its terminal closed without complaint."""
    logging.raiseExceptions = False


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The endpoint of an S3 server without buckets."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prefect's own server for as long as the tests run, found by every flow run of this process, and by no other."""
    from flows.environment import prepare_environment
    from flows.service.own_server import own_server

    folder = tmp_path_factory.mktemp("prefect")
    prepare_environment(folder)
    before = os.environ["PREFECT_API_URL"]
    with own_server(folder / "logs"), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PREFECT_API_URL", before)
        monkeypatch.delenv("PREFECT_API_AUTH_STRING")
        monkeypatch.delenv("PREFECT_UI_URL")
        yield


@pytest.fixture(scope="session")
def server_variables(server: None) -> dict[str, str]:
    """The environment of a command line in this process that finds the server."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

    return {
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PREFECT_API_AUTH_STRING": str(PREFECT_API_AUTH_STRING.value()),
    }
