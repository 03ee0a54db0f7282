"""Both servers require PKD_LOGIN; it is never shown, and sent only to a server on this machine that requires it."""

import asyncio
import os
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import pytest
from command import run_pkd
from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_API_AUTH_STRING, Settings, temporary_settings

from flows import environment
from flows.environment import answers, prefect_server, prepare_environment
from flows.service.login import Login, mlflow_environment, read_login
from flows.service.services import Servers, mlflow_service, prefect_service, serving_service
from pkd_core.errors import ConfigError, PkdError

LOGIN = "me:two words, 100 %: $HOME"
VARIABLES = ("PKD_LOGIN", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_URL")
SERVICE_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


class Server(HTTPServer):
    """Answers as a Prefect server that requires LOGIN, or none, and records the logins that it receives."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.api = f"http://127.0.0.1:{self.server_port}/api"
        self.requires_login = True
        self.received: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        login = self.headers.get("Authorization")
        if login:
            self.server.received.append(login)
        is_open = self.path == "/api/health" or not self.server.requires_login
        right = f"Basic {b64encode(LOGIN.encode()).decode()}"
        self.send_response(200 if is_open or login == right else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        # Set first, so that monkeypatch also undoes what the tested code sets.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))


def test_a_password_may_have_colons_and_is_not_shown_with_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_login() is None
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    login = read_login()
    assert login == Login("me", "two words, 100 %: $HOME")
    assert login.pair == LOGIN
    assert repr(login) == "Login(name='me')"


@pytest.mark.parametrize(
    "value",
    [
        "no-colon-anywhere",
        ":no-name-anywhere",
        "me:",
        "me:too-short",
        "me:password1234",
        "me:pässword-of-many",
        "me:line\nafter-line",
        "me:trailing-space ",
    ],
)
def test_a_login_that_a_server_would_refuse_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKD_LOGIN", value)
    with pytest.raises(ConfigError, match=r"^PKD_LOGIN needs "):
        read_login()


@pytest.mark.parametrize("command", [["run", "Tiny"], ["up", "Tiny"], ["demo"]])
def test_the_command_line_refuses_a_bad_login_in_one_sentence_without_showing_it(
    command: list[str], workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PKD_LOGIN", "my-name:my-secret")
    assert run_pkd(*command) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("pkd: PKD_LOGIN needs a password of 12 characters")
    assert printed.err.count("\n") == 1
    assert "my-secret" not in printed.out + printed.err
    assert not (workspace / "artifacts").exists()


def test_mlflows_users_are_in_a_folder_for_this_user_alone_and_are_deleted_with_the_server() -> None:
    with mlflow_environment(Login("me", "two words, 100 %")) as given:
        config = Path(given["MLFLOW_AUTH_CONFIG_PATH"])
        assert config.parent.stat().st_mode & 0o777 == 0o700
        assert "two words" not in config.read_text(encoding="utf-8")
    assert not config.parent.exists()
    with mlflow_environment(None) as given:
        assert given == {}


def test_a_run_logs_in_to_a_server_that_requires_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    monkeypatch.setattr(environment, "SERVER_URL", server.api)
    with prefect_server() as url:
        assert url == server.api
        assert os.environ["PREFECT_API_AUTH_STRING"] == LOGIN


def test_a_server_that_requires_no_login_does_not_receive_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.requires_login = False
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    monkeypatch.setattr(environment, "SERVER_URL", server.api)
    with prefect_server() as url:
        assert url == server.api
    assert server.received == []


@pytest.mark.parametrize(
    ("variables", "got", "unset"),
    [
        ({"PKD_LOGIN": "me:another-password"}, "another", "PKD_LOGIN"),
        ({"PREFECT_API_AUTH_STRING": "me:another-password"}, "another", "PREFECT_API_AUTH_STRING"),
        ({}, "none", "PREFECT_API_URL"),
    ],
)
def test_a_run_with_a_server_or_a_login_set_does_not_continue_without_them(
    variables: dict[str, str], got: str, unset: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if variables:
        monkeypatch.setattr(environment, "SERVER_URL", server.api)
    else:
        monkeypatch.setenv("PREFECT_API_URL", server.api)
    with (
        pytest.raises(PkdError, match=rf"needs its login, and got {got}; set PKD_LOGIN .* unset {unset} to "),
        prefect_server(),
    ):
        pass


def test_a_run_with_neither_set_continues_without_a_server_that_may_be_another_users(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "SERVER_URL", server.api)
    with prefect_server() as url:
        assert url is None
    assert "requires a login, and PKD_LOGIN is not set: continuing without it" in capsys.readouterr().out


def test_no_other_machine_receives_the_login(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    # An address of the loopback network that is not recognised as one, in place of another machine's.
    monkeypatch.setenv("PREFECT_API_URL", server.api.replace("127.0.0.1", "127.1"))
    with prefect_server() as url:
        assert url is not None
        assert "PREFECT_API_AUTH_STRING" not in os.environ
    assert server.received == []


@pytest.mark.parametrize(
    ("set_by_user", "expected"),
    [
        ("", "127.0.0.1,localhost"),
        ("lan.test,localhost", "lan.test,localhost,127.0.0.1"),
        ("*", "*"),
    ],
)
def test_requests_to_our_own_servers_bypass_a_proxy(
    set_by_user: str, expected: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", set_by_user)
    monkeypatch.setenv("no_proxy", set_by_user)
    for _ in range(2):
        prepare_environment(tmp_path)
    assert os.environ["no_proxy"] == expected
    assert answers(f"{server.api}/health")


def statuses(app: Any, paths: list[str], logins: list[Login | None]) -> list[list[int]]:
    """Return the status of each path of an ASGI app, by login."""

    async def get() -> list[list[int]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            auths = [(login.name, login.password) if login else None for login in logins]
            return [[(await client.get(path, auth=auth)).status_code for path in paths] for auth in auths]

    return asyncio.run(get())


NAME, PASSWORD = LOGIN.split(":", 1)
OURS = Login(NAME, PASSWORD)
LOGINS = [None, Login(NAME, "another-password"), OURS]


def test_the_prefect_server_of_up_requires_the_login_everywhere_except_at_its_health_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = prefect_service(Servers(4200, 5000, OURS))
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    login = Settings().server.api.auth_string
    assert login is not None
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: login}):
        app = create_app(ephemeral=True, ignore_cache=True)
        answered = statuses(app, ["/api/health", "/api/admin/version"], LOGINS)
    assert answered == [[200, 401], [200, 401], [200, 200]]
    assert service.command[-4:] == ["--host", "127.0.0.1", "--port", "4200"]


@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi")
def test_the_mlflow_server_of_up_requires_the_login_everywhere_except_at_its_health_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow_environment(OURS) as given:
        service = mlflow_service(Servers(4200, 5000, OURS), tmp_path, given)
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("_MLFLOW_SGI_NAME", "uvicorn")  # as `mlflow server` sets it
        name = service.command[service.command.index("--app-name") + 1]
        # MLflow's distributions list the same app.
        entry_point, *_ = entry_points(group="mlflow.app", name=name)
        app = entry_point.load()()
        answered = statuses(app, ["/health", "/", f"/api/2.0/mlflow/users/get?username={NAME}"], LOGINS)
    assert answered == [[200, 401, 401], [200, 401, 401], [200, 200, 200]]
    assert "127.0.0.1" in service.command
    assert "5000" in service.command


def test_the_deployment_logs_in_and_without_a_login_no_server_requires_one(tmp_path: Path) -> None:
    api = {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}
    servers = Servers(4200, 5000, OURS)
    assert serving_service(servers, {}).environment == api | {"PREFECT_API_AUTH_STRING": LOGIN}
    without = Servers(4200, 5000, None)
    assert serving_service(without, {}).environment == prefect_service(without).environment == api
    assert "--app-name" not in mlflow_service(without, tmp_path, {}).command


def test_the_server_that_a_run_starts_requires_the_login_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    monkeypatch.setattr(environment, "SERVER_URL", "http://127.0.0.1:9/api")  # nothing listens there
    with prefect_server() as url:
        assert url is None
        # Prefect starts it with this process's environment.
        assert os.environ["PREFECT_SERVER_API_AUTH_STRING"] == LOGIN
        assert os.environ["PREFECT_API_AUTH_STRING"] == LOGIN


def test_the_documented_command_to_set_the_login_accepts_every_character_and_exports_it() -> None:
    (line,) = {line for line in SERVICE_PAGE.splitlines() if line.startswith("read -rs PKD_LOGIN")}
    login = 'me:a\\b "c" $HOME %'
    shell = subprocess.run(
        ["bash", "-c", f"{line}\npython3 -c \"import os; print(os.environ['PKD_LOGIN'])\""],
        input=f"{login}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == f"{login}\n"
