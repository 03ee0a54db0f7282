"""Both servers require PKD_LOGIN; it is never shown, and sent only to a server on this machine that requires it."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from command import run_pkd
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from flows.environment import prepare_environment
from flows.service.answers import answers
from flows.service.login import (
    Login,
    keep_new_login,
    kept_login,
    kept_login_path,
    mlflow_environment,
    read_login,
)
from flows.service.mlflow_backend import Backend, server_backend
from flows.service.own_server import own_server
from flows.service.processes import Service
from flows.service.services import (
    Servers,
    mlflow_service,
    serving_service,
)
from pkd_core.errors import ConfigError, PkdError

LOGIN = "me:two words, 100 %: $HOME"
VARIABLES = ("PKD_LOGIN", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_URL")
SERVICE_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize(
    ("set_by_user", "expected"),
    [
        ("", "127.0.0.1,localhost"),
        ("lan.test,localhost", "lan.test,localhost,127.0.0.1"),
        ("*", "*"),
    ],
)
def test_requests_to_our_own_servers_bypass_a_proxy(
    set_by_user: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", set_by_user)
    monkeypatch.setenv("no_proxy", set_by_user)
    for _ in range(2):
        prepare_environment(tmp_path)
    assert os.environ["no_proxy"] == expected
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert answers(f"http://127.0.0.1:{server.server_port}/")


OURS = Login(*LOGIN.split(":", 1))


def test_no_command_line_contains_the_password_of_mlflows_store(tmp_path: Path) -> None:
    uri = "postgresql://me:store-password@db.test/mlflow"
    backend = server_backend(tmp_path, uri, "s3://bucket/prefix")
    service = mlflow_service(Servers(4200, 5000, OURS), backend, {})
    assert service.environment["MLFLOW_BACKEND_STORE_URI"] == uri
    assert "store-password" not in " ".join(service.command)
    assert "store-password" not in repr(backend)


def test_the_deployment_logs_in_to_prefect_and_to_an_mlflow_server_that_has_a_store_of_its_own(
    tmp_path: Path,
) -> None:
    servers = Servers(4200, 5000, OURS)
    of_prefect = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_API_AUTH_STRING": LOGIN}
    own = Backend("sqlite:///mlflow.db", tmp_path.as_uri(), is_of_server=False)
    assert serving_service(servers, own, {}).environment == of_prefect
    of_mlflow = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
        "MLFLOW_TRACKING_USERNAME": OURS.name,
        "MLFLOW_TRACKING_PASSWORD": OURS.password,
    }
    shared = replace(own, is_of_server=True)
    assert serving_service(servers, shared, {}).environment == of_prefect | of_mlflow


def test_a_login_is_made_once_for_this_user_alone_and_replaced_if_others_could_read_it(
    tmp_path: Path,
) -> None:
    assert kept_login(tmp_path) is None
    before = os.umask(0)
    try:
        login = keep_new_login(tmp_path)
    finally:
        os.umask(before)
    path = kept_login_path(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["login"]
    assert kept_login(tmp_path) == login
    assert len(login.password) >= 32
    path.chmod(0o644)
    assert kept_login(tmp_path) is None
    assert keep_new_login(tmp_path) != login
    path.write_text("rubbish", encoding="utf-8")
    assert kept_login(tmp_path) is None


def test_the_server_of_a_run_has_a_login_of_its_own_which_only_this_process_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    launched: list[Any] = []
    monkeypatch.setattr(
        "flows.service.own_server.launch", lambda service, _: launched.append(service) or object()
    )
    monkeypatch.setattr("flows.service.own_server.wait_until_ready", lambda *_: None)
    monkeypatch.setattr("atexit.register", lambda *_: None)
    logins = set()
    for _ in range(2):
        with own_server(tmp_path / "logs") as url:
            login = os.environ["PREFECT_API_AUTH_STRING"]
            assert os.environ["PREFECT_API_URL"] == url == PREFECT_API_URL.value()
            assert PREFECT_API_AUTH_STRING.value() == login != LOGIN
        assert "PREFECT_API_AUTH_STRING" not in os.environ
        service = launched.pop()
        assert service.environment["PREFECT_SERVER_API_AUTH_STRING"] == login
        assert login not in " ".join(service.command)
        logins.add(login)
    assert len(logins) == 2


def test_a_server_that_does_not_start_is_a_users_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = Service(
        "temporary Prefect server", [sys.executable, "-c", "raise SystemExit(3)"], lambda: False, {}
    )
    monkeypatch.setattr("flows.service.own_server.temporary_prefect_service", lambda *_: ends)
    with (
        pytest.raises(
            PkdError, match=r"ended with status 3; its log is .+\.log; check that the disk of .* is kept\)\.$"
        ),
        own_server(tmp_path / "logs"),
    ):
        pass


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
