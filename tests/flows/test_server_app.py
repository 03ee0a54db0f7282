"""Both servers' apps: Prefect's builds with the pinned fastapi, and each answers only to its login and own pages."""

import asyncio
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.context import SettingsContext, get_settings_context
from prefect.server.api import server
from prefect.settings import Settings
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from flows.service.listening import listening_at
from flows.service.login import Login, mlflow_environment
from flows.service.mlflow_backend import workspace_backend
from flows.service.prefect_app import ORIGINS_VARIABLE, OwnPagesOnly, create_app
from flows.service.services import Servers, mlflow_service, prefect_service

LOGIN = "me:two words, 100 %: $HOME"


async def _get_health() -> httpx.Response:
    app = server.create_app(ephemeral=True, ignore_cache=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pkd.test") as client:
        return await client.get("/api/health")


def test_prefect_server_app_builds_and_answers_with_the_locked_fastapi() -> None:
    response = asyncio.run(_get_health())

    assert response.status_code == 200
    assert response.json() is True


def statuses(
    app: Any, paths: list[str], logins: list[Login | None], headers: dict[str, str] | None = None
) -> list[list[int]]:
    """Return the status of each path of an ASGI app, by login."""

    async def get() -> list[list[int]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:4200", headers=headers
        ) as client:
            auths = [(login.name, login.password) if login else None for login in logins]
            return [[(await client.get(path, auth=auth)).status_code for path in paths] for auth in auths]

    return asyncio.run(get())


NAME, PASSWORD = LOGIN.split(":", 1)
OURS = Login(NAME, PASSWORD)
LOGINS = [None, Login(NAME, "another-password"), OURS]


@pytest.fixture(scope="module")
def prefect_app() -> Any:
    """The app of `pkd up`'s Prefect server, built with the environment that it gets."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in prefect_service(4200, OURS).environment.items():
            monkeypatch.setenv(name, value)
        with SettingsContext(profile=get_settings_context().profile, settings=Settings()):
            return create_app()


def test_the_prefect_server_of_up_requires_the_login_everywhere_except_at_its_health_check(
    prefect_app: Any,
) -> None:
    answered = statuses(prefect_app, ["/api/health", "/api/admin/version"], LOGINS)
    assert answered == [[200, 401], [200, 401], [200, 200]]
    command = prefect_service(4200, OURS).command
    assert " --host 127.0.0.1 --port 4200 " in " ".join(command)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:4200"}, 200),
        ({"Origin": "http://localhost:4200"}, 200),
        ({"Origin": "http://127.0.0.1:4200"}, 200),
        ({"Host": "attacker.test"}, 400),  # whose name was made to lead here
        ({"Host": "attacker.test:4200", "Origin": "http://attacker.test:4200"}, 400),
        ({"Origin": "http://attacker.test"}, 403),
        ({"Origin": "http://localhost:8000"}, 403),  # a page of another program on this machine
        ({"Origin": "null"}, 403),
    ],
)
def test_prefects_server_answers_only_its_own_pages_and_commands(
    headers: dict[str, str], status: int, prefect_app: Any
) -> None:
    assert statuses(prefect_app, ["/api/admin/version"], [OURS], headers) == [[status]]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "lab:4200"}, 200),
        ({"Host": "127.0.0.2:4200", "Origin": "http://lab:4200"}, 200),
        ({"Host": "localhost:4200"}, 400),
        ({"Host": "lab:4200", "Origin": "http://localhost:4200"}, 403),
        ({"Host": "attacker.test:4200"}, 400),
    ],
)
def test_prefects_server_answers_under_the_names_that_it_is_told(
    headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = prefect_service(4200, OURS, listening_at("127.0.0.2", ["lab"]))
    assert " --host 127.0.0.2 --port 4200 " in " ".join(service.command)
    monkeypatch.setenv(ORIGINS_VARIABLE, service.environment[ORIGINS_VARIABLE])
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    monkeypatch.setattr(server, "create_app", lambda final: app)
    assert statuses(create_app(), ["/"], [None], headers) == [[status]]


def test_no_other_page_may_read_what_prefects_server_answers(prefect_app: Any) -> None:
    async def allowed(origin: str) -> str | None:
        transport = httpx.ASGITransport(prefect_app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4200") as client:
            answer = await client.get("/api/health", headers={"Origin": origin})
            return answer.headers.get("access-control-allow-origin")

    assert asyncio.run(allowed("http://localhost:4200")) == "http://localhost:4200"
    assert asyncio.run(allowed("http://localhost:8000")) is None


def test_a_websocket_of_another_page_is_refused() -> None:
    passed, sent = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message["type"])

    pages = OwnPagesOnly(app, "http://127.0.0.1:4200")
    for origin in (b"http://127.0.0.1:4200", b"http://attacker.test"):
        scope = {"type": "websocket", "headers": [(b"origin", origin)]}
        asyncio.run(pages(scope, None, send))  # type: ignore[arg-type]
    assert passed == ["websocket"]
    assert sent == ["websocket.http.response.start", "websocket.http.response.body"]


@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi")
def test_the_mlflow_server_of_up_requires_the_login_everywhere_except_at_its_health_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mlflow_environment(OURS) as given:
        service = mlflow_service(Servers(4200, 5000, OURS), workspace_backend(tmp_path), given)
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("_MLFLOW_SGI_NAME", "uvicorn")  # as `mlflow server` sets it
        name = service.command[service.command.index("--app-name") + 1]
        # MLflow's distributions list the same app.
        entry_point, *_ = entry_points(group="mlflow.app", name=name)
        app = entry_point.load()()
        paths = ["/health", "/", f"/api/2.0/mlflow/users/get?username={NAME}"]
        answered = statuses(app, paths, LOGINS)
        assert statuses(app, paths[1:], [OURS], {"Host": "attacker.test:4200"}) == [[403, 403]]
    assert answered == [[200, 401, 401], [200, 401, 401], [200, 200, 200]]
    assert "127.0.0.1" in service.command
    assert "5000" in service.command
