"""`pkd up` with PKD_LOGIN: both servers require it, our own requests send it, and nothing shows it."""

import os
import re
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tiny import quick_arguments, write_tiny_task
from up_process import BIN, Up, authorization, start, wait_for

pytestmark = pytest.mark.slow

PASSWORD = "two words, 100 %: $HOME"
LOGIN = f"me:{PASSWORD}"
WRONG = "me:another-password"


def status(url: str, login: str | None = None) -> int:
    request = urllib.request.Request(url, headers=authorization(login))
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def addresses(up: Up) -> tuple[str, ...]:
    """What must not be served without the login."""
    mlflow = f"http://127.0.0.1:{up.mlflow_port}"
    return (
        f"{up.api}/admin/version",
        f"{up.api}/deployments/name/pkd/full-glue",
        f"{mlflow}/",
        f"{mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=pkd",
    )


@contextmanager
def started(root: Path, words: list[str], login: str) -> Iterator[Up]:
    up = start(root, words, login)
    try:

        def is_up() -> bool:
            assert up.process.poll() is None, up.output
            return "Ctrl-C stops all three" in up.output

        wait_for(is_up, 180, "`pkd up`'s welcome")
        yield up
    finally:
        for pid in up.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        up.process.wait()


@pytest.fixture(scope="module")
def words(tiny_model: Path) -> list[str]:
    return ["TinyA", "--methods", "kd", "--model", str(tiny_model), *quick_arguments()]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("login")
    write_tiny_task(root / "data_raw", "TinyA")
    with started(root, words, LOGIN) as running:
        yield running


def run_beside(up: Up, words: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `pkd run` in another terminal."""
    removed = ("PREFECT_", "PKD_LOGIN")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(removed)}
    return subprocess.run(
        [str(BIN / "pkd"), "run", *words],
        cwd=up.root,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def folder_of_users(up: Up) -> Path:
    """The folder of MLflow's users, from the environment of its process."""
    (mlflow,) = (pid for pid, command in up.processes().items() if re.match(r"\S+ -m mlflow ", command))
    variables = Path(f"/proc/{mlflow}/environ").read_bytes().split(b"\0")
    (config,) = (one for one in variables if one.startswith(b"MLFLOW_AUTH_CONFIG_PATH="))
    return Path(config.partition(b"=")[2].decode()).parent


def test_both_servers_refuse_every_request_without_the_login(up: Up) -> None:
    for address in addresses(up):
        assert [status(address), status(address, WRONG), status(address, LOGIN)] == [401, 401, 200], address


def test_a_deployment_runs_to_its_end_behind_the_login(up: Up) -> None:
    command = up.prefect("deployment", "run", "pkd/full-glue", "--watch")
    assert command.returncode == 0, command.stdout
    assert up.latest_flow_run()["state_type"] == "COMPLETED"


def test_a_run_in_another_terminal_shows_on_the_server_with_the_login_and_stops_without(
    up: Up, words: list[str]
) -> None:
    at_server = {"PREFECT_API_URL": up.api}
    # What is done already would need no server.
    words = [*words, "--seeds", "7"]
    for variables in ({}, {"PKD_LOGIN": WRONG}):
        refused = run_beside(up, words, at_server | variables)
        assert refused.returncode == 2, refused.stdout
        assert re.fullmatch(
            r"pkd: the Prefect server at .* needs its login, .* set PKD_LOGIN .*\n", refused.stderr
        )
    before = up.latest_flow_run()["id"]
    let_in = run_beside(up, words, at_server | {"PKD_LOGIN": LOGIN})
    assert let_in.returncode == 0, let_in.stderr
    assert f"this run is shown at {up.api.removesuffix('/api')}\n" in let_in.stdout
    assert up.latest_flow_run()["id"] != before


def test_the_password_is_in_no_file_no_argument_and_no_output(up: Up) -> None:
    forms = (PASSWORD.encode(), b64encode(LOGIN.encode()), repr(PASSWORD)[1:-1].encode())
    users = folder_of_users(up)
    files = [path for folder in (up.root, users) for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    assert any(path.name == "users.db" for path in files)
    assert [path for path in files if any(form in path.read_bytes() for form in forms)] == []
    commands = up.processes()
    assert len(commands) >= 4
    assert [command for command in commands.values() if PASSWORD in command] == []
    assert '    export PREFECT_API_AUTH_STRING="$PKD_LOGIN"\n' in up.output
    assert stat.S_IMODE(users.stat().st_mode) == 0o700


def test_another_password_takes_effect_with_the_next_start(up: Up, words: list[str]) -> None:
    users = folder_of_users(up)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(timeout=60) == 0, up.output
    assert not users.exists()
    with started(up.root, words, WRONG) as again:
        for address in addresses(again):
            assert [status(address, LOGIN), status(address, WRONG)] == [401, 200], address


def test_the_server_of_a_run_lets_nobody_else_in(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    code = (
        "from pathlib import Path\n"
        "from flows.environment import prepare_environment\n"
        "from flows.service.own_server import own_server\n"
        "prepare_environment(Path())\n"
        "with own_server(Path('logs')):\n"
        "    from prefect import get_client\n"
        "    with get_client(sync_client=True) as client:\n"
        "        print(client.api_url, client.api_healthcheck(), client.read_flows(), flush=True)\n"
        "        input()\n"
    )
    with subprocess.Popen(
        [str(BIN / "python"), "-c", code],
        cwd=tmp_path,
        env=environment | {"PKD_LOGIN": LOGIN},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        url, health, flows = wait_for(process.stdout.readline, 120, "the server's address").split(maxsplit=2)
        assert (health, flows) == ("None", "[]\n")
        assert [status(f"{url}admin/version"), status(f"{url}admin/version", LOGIN)] == [401, 401]
        process.stdin.write("\n")
