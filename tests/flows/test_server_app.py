"""Prefect's server starts with the pinned fastapi; newer versions install without a conflict and break it."""

import asyncio

import httpx
from prefect.server.api.server import create_app


async def _get_health() -> httpx.Response:
    app = create_app(ephemeral=True, ignore_cache=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pkd.test") as client:
        return await client.get("/api/health")


def test_prefect_server_app_builds_and_answers_with_the_locked_fastapi() -> None:
    response = asyncio.run(_get_health())

    assert response.status_code == 200
    assert response.json() is True
