"""The app of every Prefect server that pkd starts: Prefect's own, which answers only its own pages and commands.

A page of any other address could otherwise use the API through the browser of whoever opens it: Prefect by itself
accepts every Host and Origin, and some requests that change something need no permission of the browser (CORS).
"""

import os
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ORIGINS_VARIABLE = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"  # Prefect's own setting


class OwnPagesOnly:
    """Refuses the requests that a browser sends for another page, WebSockets too: they name its origin."""

    def __init__(self, app: ASGIApp, origins: str) -> None:
        self.app = app
        self.origins = origins.split(",")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] in ("http", "websocket"):
            origin = Headers(scope=scope).get("origin")
            if origin is not None and origin not in self.origins:
                refusal = f"This server takes requests of its own pages only: {' or '.join(self.origins)}."
                await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def create_app() -> Starlette:
    """Build the app, for uvicorn's option --factory; reads Prefect's settings from the environment."""
    from prefect.server.api.server import create_app as create_prefect_app

    app = create_prefect_app(final=True)
    origins = os.environ[ORIGINS_VARIABLE]
    hosts = {str(urlsplit(origin).hostname) for origin in origins.split(",")}
    app.add_middleware(OwnPagesOnly, origins=origins)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=sorted(hosts), www_redirect=False)
    return app
