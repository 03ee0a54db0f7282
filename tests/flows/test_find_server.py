"""A run finds a Prefect server that is one, and logs in only where it may; anything else is one sentence in seconds."""

import json
import os
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows.service import find_server as module
from flows.service.find_server import find_server
from flows.service.login import keep_new_login
from flows.service.up_record import write_record
from pkd_core.errors import ConfigError, PkdError

LOGIN = "me:two words, 100 %: $HOME"
VARIABLES = ("PKD_LOGIN", "PREFECT_API_AUTH_STRING", "PREFECT_API_URL")


class Server(ThreadingHTTPServer):
    """Answers as a Prefect server that requires a login, or none, and records the logins that it receives."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.api = f"http://{host}:{self.server_port}/api"
        self.login: str | None = LOGIN
        self.health, self.version = b"true", b'"3.8.8"'
        self.status = 200
        self.received: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        is_health = self.path == "/api/health"
        if not is_health:
            self.server.may_answer.wait()
        login = self.headers.get("Authorization")
        if login:
            self.server.received.append(login)
        right = self.server.login and f"Basic {b64encode(self.server.login.encode()).decode()}"
        is_open = is_health or self.server.login is None
        self.send_response(self.server.status if is_open or login == right else 401)
        self.end_headers()
        # Who reads no more than a Prefect server sends closes the connection.
        with suppress(ConnectionError):
            self.wfile.write(self.server.health if is_health else self.server.version)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.may_answer.set()
        running.shutdown()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        # Set first, so that monkeypatch also undoes what the tested code sets.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "*")


def test_a_run_logs_in_to_a_server_that_requires_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    monkeypatch.setattr(module, "SERVER_URL", server.api)
    assert find_server(tmp_path) == server.api
    assert os.environ["PREFECT_API_AUTH_STRING"] == LOGIN


def test_a_server_that_requires_no_login_does_not_receive_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = None
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    monkeypatch.setattr(module, "SERVER_URL", server.api)
    assert find_server(tmp_path) == server.api
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
    variables: dict[str, str],
    got: str,
    unset: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if variables:
        monkeypatch.setattr(module, "SERVER_URL", server.api)
    else:
        monkeypatch.setenv("PREFECT_API_URL", server.api)
    with pytest.raises(
        PkdError, match=rf"needs its login, and got {got}; set PKD_LOGIN .* unset {unset} to "
    ):
        find_server(tmp_path)


def test_a_run_with_neither_set_continues_without_a_server_that_may_be_another_users(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_new_login(tmp_path)
    monkeypatch.setattr(module, "SERVER_URL", server.api)
    assert find_server(tmp_path) is None
    assert "requires a login, and PKD_LOGIN is not set: continuing without it" in capsys.readouterr().out
    # The login that this workspace's `pkd up` made is for its server alone.
    assert server.received == []


def test_a_run_finds_the_up_of_its_workspace_and_logs_in_with_the_login_that_it_made(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = keep_new_login(tmp_path)
    server.login = login.pair
    write_record(tmp_path, server.api, {}, {})
    assert find_server(tmp_path) == server.api
    assert os.environ["PREFECT_API_AUTH_STRING"] == login.pair
    path = tmp_path / "artifacts" / "up.json"
    ended = json.loads(path.read_text(encoding="utf-8")) | {"command": "pkd up, ended"}
    path.write_text(json.dumps(ended), encoding="utf-8")
    server.received.clear()
    del os.environ["PREFECT_API_AUTH_STRING"]
    monkeypatch.setattr(module, "SERVER_URL", server.api)
    assert find_server(tmp_path) is None
    assert server.received == []


def test_the_login_of_a_running_pkd_up_reaches_its_server_on_an_address_for_other_machines(
    tmp_path: Path,
) -> None:
    login = keep_new_login(tmp_path)
    with Server("127.0.0.2") as server:  # any but 127.0.0.1, to which alone a login is sent otherwise
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        server.login = login.pair
        write_record(tmp_path, server.api, {}, {})
        assert find_server(tmp_path) == server.api
        server.shutdown()
    assert os.environ["PREFECT_API_AUTH_STRING"] == login.pair


def test_no_other_machine_receives_the_login(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PKD_LOGIN", LOGIN)
    # An address of the loopback network that is not recognised as one, in place of another machine's.
    monkeypatch.setenv("PREFECT_API_URL", server.api.replace("127.0.0.1", "127.1"))
    with pytest.raises(PkdError, match="needs its login, and got another; set PREFECT_API_AUTH_STRING to it"):
        find_server(tmp_path)
    assert server.received == []


@pytest.mark.parametrize(
    "value",
    [
        "nonsense",
        "4200",
        "ftp://127.0.0.1/api",
        "http://",
        "http://127.0.0.1:99999/api",
        "http://[::1/api",
        "\udcff",
    ],
)
def test_what_is_no_address_is_one_sentence(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", value)
    with pytest.raises(
        ConfigError, match="PREFECT_API_URL needs the address of a Prefect server's API, such as "
    ):
        find_server(tmp_path)


def test_a_long_address_is_shortened_and_its_password_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"ftp://me:my-secret@host/{'x' * 1000}")
    with pytest.raises(ConfigError) as refused:
        find_server(tmp_path)
    assert "my-secret" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("health", "version", "status", "fact"),
    [
        (b"", b"", 200, "is no Prefect server"),
        (b"<html>", b"<html>", 200, "is no Prefect server"),
        (b"true", b"<html>", 200, "is no Prefect server"),
        (b"true", b"true", 200, "is no Prefect server"),
        (b"true", b'"hello"', 200, "is no Prefect server"),
        (b"true", b'"3.8.8"', 404, "is no Prefect server"),
        (b"x" * 10_000_000, b"", 200, "is no Prefect server"),
        (b"true", b'"2.20.1"', 200, "is Prefect 2.20.1, the client Prefect 3"),
    ],
)
def test_another_web_server_is_refused_where_it_was_named_and_passed_over_where_it_was_not(
    health: bytes,
    version: bytes,
    status: int,
    fact: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.login, server.health, server.version, server.status = None, health, version, status
    monkeypatch.setattr(module, "SERVER_URL", server.api)
    assert find_server(tmp_path) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert fact in line and line.endswith(": continuing without it")
    monkeypatch.setenv("PREFECT_API_URL", server.api)
    with pytest.raises(ConfigError, match=fact):
        find_server(tmp_path)


def test_a_listener_that_speaks_no_http_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"220 mail.test ESMTP\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/api")
        with pytest.raises(ConfigError, match=r"what answers at http://127\.0\.0\.1:.* is no Prefect server"):
            find_server(tmp_path)


def test_a_server_that_hangs_after_its_health_check_is_one_sentence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.3)
    server.may_answer.clear()
    monkeypatch.setenv("PREFECT_API_URL", server.api)
    with pytest.raises(ConfigError, match="does not answer within 0 s"):
        find_server(tmp_path)


def test_nothing_that_listens_means_a_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("http://127.0.0.1:9/api", "http://localhost:9/api/"):
        monkeypatch.setenv("PREFECT_API_URL", url)
        assert find_server(tmp_path) is None
