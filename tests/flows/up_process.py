"""A running `pkd up`, and what tests read from the processes that it runs."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import uuid4

BIN = Path(sys.executable).parent
# Every process that `pkd up` starts inherits this variable, also through others, and is found by it in /proc.
MARK = "PKD_TEST_UP"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: Callable[[], Any], seconds: float, name: str) -> Any:
    """Return the call's result once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"{name} did not come within {seconds:.0f} s"
        time.sleep(0.5)
    return found


@dataclass(frozen=True)
class Up:
    """A running `pkd up`, and what tests read from the processes that it runs."""

    process: subprocess.Popen[str]
    root: Path
    prefect_port: int
    mlflow_port: int
    mark: str
    given_login: str | None = None
    host: str = "127.0.0.1"

    @property
    def login(self) -> str:
        """Return name:password, as given in PKD_LOGIN, or as `pkd up` has made it."""
        return self.given_login or (self.root / "artifacts" / "login").read_text(encoding="utf-8").strip()

    @property
    def output(self) -> str:
        return (self.root / "up.txt").read_text(encoding="utf-8")

    @property
    def api(self) -> str:
        return f"http://{self.host}:{self.prefect_port}/api"

    def post(self, path: str, body: Mapping[str, Any], method: str = "POST") -> Any:
        """Return what Prefect's server answers."""
        headers = {"Content-Type": "application/json"} | authorization(self.login)
        request = urllib.request.Request(
            f"{self.api}/{path}", json.dumps(body).encode(), headers, method=method
        )

        def answered() -> bytes | None:
            # With its database busy, Prefect's server asks to come again.
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return bytes(response.read())
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
            return None

        content = wait_for(lambda: (found := answered()) is not None and [found], 60, "an answer")[0]
        return json.loads(content) if content else None

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Prefect's own command line against the server, as README does."""
        environment = os.environ | {"PREFECT_API_URL": self.api, "PREFECT_API_AUTH_STRING": self.login}
        command = [str(BIN / "prefect"), *words]
        return subprocess.run(
            command, env=environment, cwd=self.root, capture_output=True, text=True, timeout=500, check=False
        )

    def latest_flow_run(self) -> dict[str, Any]:
        runs = self.post("flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
        run: dict[str, Any] = runs[0]
        return run

    def states(self, flow_run: str) -> dict[str, str]:
        """Return the name of each task's state, once all have ended; of a stage's several tasks, the last one's."""

        def ended() -> dict[str, str] | None:
            runs = self.post("task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}, "limit": 200})
            ended_types = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
            if all(run["state_type"] in ended_types or run["state_name"] == "NotReady" for run in runs):
                runs.sort(key=lambda run: run["created"])
                return {run["name"]: run["state_name"] for run in runs}
            return None

        states: dict[str, str] = wait_for(ended, 30, "the end of every task")
        return states

    def processes(self) -> dict[int, str]:
        """Return the command of every living process of this `pkd up`, by its id."""
        return marked_processes(self.mark)


def marked_processes(mark: str) -> dict[int, str]:
    """Return the command of every living process with this mark, by its id."""
    found = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(
                b"\0"
            ):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = command
    return found


def authorization(login: str | None) -> dict[str, str]:
    """Return the header that logs in by name:password."""
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}


def start(
    root: Path,
    words: list[str],
    login: str | None = None,
    host: str = "127.0.0.1",
    variables: Mapping[str, str] | None = None,
) -> Up:
    prefect_port, mlflow_port, mark = free_port(), free_port(), uuid4().hex
    ports = ["--prefect-port", str(prefect_port), "--mlflow-port", str(mlflow_port)]
    # As in a user's shell: no server named, no other Prefect home, and the workspace as the current folder.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    if login:
        # What is killed leaves its temporary folder behind: not in the system's.
        environment |= {"PKD_LOGIN": login, "TMPDIR": str(root)}
    with (root / "up.txt").open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [str(BIN / "pkd"), "up", *words, "--host", host, *ports],
            cwd=root,
            env={**environment, **(variables or {}), MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Up(process, root, prefect_port, mlflow_port, mark, login, host)
