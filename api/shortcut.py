"""The way to what is read most often: past the other routes, and what FastAPI puts around each."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import HANDLED, answer_to
from api.query_route import QueryRoute


class Shortcut:
    """ASGI middleware that serves `QueryRoute`s itself, found by their paths, which have no
    parameters; whatever else is asked goes on. They answer as they would without it."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        found = [route for route in routes if isinstance(route, QueryRoute)]
        self._routes = {
            (method, route.path): (route, route.get_route_handler())
            for route in found
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        asked = (scope["method"], scope["path"]) if scope["type"] == "http" else None
        found = None if asked is None or scope.get("root_path") else self._routes.get(asked)
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"], handle = found
        request = Request(scope, receive)
        try:
            response = await handle(request)
        except HANDLED as error:
            response = await answer_to(request, error)
        await response(scope, receive, send)
