"""PKD_LOGIN is read or refused without showing it, and goes to nobody but a server on this machine that asks for it."""

import asyncio
import os
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from command import run_pkd
from prefect.server.api.server import create_app
from prefect.settings import PREFECT_SERVER_API_AUTH_STRING, temporary_settings

from flows import environment
from flows.environment import answers, prefect_server, prepare_environment
from flows.service.login import Login, for_mlflow, read_login
from pkd_core.errors import ConfigError, PkdError

LOGIN = "me:two words, 100 %: $HOME"
VARIABLES = ("PKD_LOGIN", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_URL")
README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


class Server(HTTPServer):
    """Answers as a Prefect server does that asks for LOGIN, or for none, and remembers what logins it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.api = f"http://127.0.0.1:{self.server_port}/api"
        self.asks = True
        self.received: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        login = self.headers.get("Authorization")
        if login:
            self.server.received.append(login)
        is_open = self.path == "/api/health" or not self.server.asks
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
        # Set first, so that what a test's code sets is taken back as well.
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
def test_a_login_that_a_server_would_not_take_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKD_LOGIN", value)
    with pytest.raises(ConfigError, match=r"^PKD_LOGIN needs "):
        read_login()


@pytest.mark.parametrize("command", [["run", "Tiny"], ["up", "Tiny"], ["demo"]])
def test_the_command_line_refuses_a_bad_login_in_one_sentence_without_showing_it(
    command: list[str], workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PKD_LOGIN", "my-name:my-secret")
    assert run_pkd(*command) == 2
    said = capsys.readouterr()
    assert said.err.startswith("pkd: PKD_LOGIN needs a password of 12 characters")
    assert said.err.count("\n") == 1
    assert "my-secret" not in said.out + said.err
    assert not (workspace / "artifacts").exists()


def test_mlflows_users_stand_in_a_folder_for_this_user_alone_and_go_with_the_server() -> None:
    with for_mlflow(Login("me", "two words, 100 %")) as given:
        config = Path(given["MLFLOW_AUTH_CONFIG_PATH"])
        assert config.parent.stat().st_mode & 0o777 == 0o700
        assert "two words" not in config.read_text(encoding="utf-8")
    assert not config.parent.exists()
    with for_mlflow(None) as given:
        assert given == {}


def test_a_run_logs_in_to_a_server_that_asks_for_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    monkeypatch.setattr(environment, "SERVER_URL", server.api)
    with prefect_server() as url:
        assert url == server.api
        assert os.environ["PREFECT_API_AUTH_STRING"] == LOGIN


def test_a_server_that_asks_for_no_login_is_not_told_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.asks = False
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
def test_a_run_that_names_a_server_or_a_login_does_not_go_without_them(
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


def test_a_run_that_names_neither_goes_without_a_server_that_may_be_somebody_elses(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "SERVER_URL", server.api)
    with prefect_server() as url:
        assert url is None
    assert "asks for a login, and PKD_LOGIN is not set: going without it" in capsys.readouterr().out


def test_no_other_machine_is_told_the_login(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    # Any address of the loopback network but 127.0.0.1 stands for another machine's.
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
def test_our_own_servers_are_not_asked_through_a_proxy(
    set_by_user: str, expected: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", set_by_user)
    monkeypatch.setenv("no_proxy", set_by_user)
    for _ in range(2):
        prepare_environment(tmp_path)
    assert os.environ["no_proxy"] == expected
    assert answers(f"{server.api}/health")


def test_prefect_asks_for_the_login_everywhere_but_where_we_look_whether_it_lives() -> None:
    async def statuses() -> list[int]:
        with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: LOGIN}):
            app = create_app(ephemeral=True, ignore_cache=True)
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://pkd.test/api"
            ) as client:
                name, password = LOGIN.split(":", 1)
                answered = [
                    await client.get("/health"),
                    await client.get("/admin/version"),
                    await client.get("/admin/version", auth=(name, "another-password")),
                    await client.get("/admin/version", auth=(name, password)),
                ]
                return [response.status_code for response in answered]

    assert asyncio.run(statuses()) == [200, 401, 401, 200]


def test_the_readmes_way_to_set_the_login_takes_every_character_and_exports_it() -> None:
    (line,) = {line for line in README.splitlines() if line.startswith("read -rs PKD_LOGIN")}
    login = 'me:a\\b "c" $HOME %'
    shell = subprocess.run(
        ["bash", "-c", f"{line}\npython3 -c \"import os; print(os.environ['PKD_LOGIN'])\""],
        input=f"{login}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == f"{login}\n"
