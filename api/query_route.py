"""What is read most often: its parameters are solved here, not anew by their types each time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.datastructures import QueryParams

from api.auth import reading
from api.conditional import MAX_TAG_BYTES
from api.errors import invalid
from api.state import services_of

KEPT_QUERIES = 1_000
MAX_KEPT_BYTES = 128
"""Most ask for a first page, in the same words."""

NAMES = ["services", "caller", "query", "if_none_match"]


class QueryRoute(APIRoute):
    """A route of `endpoint(services, caller, query, if_none_match)`: `Shared`, `Reading`, a model
    of all parameters in the query, and a header.

    FastAPI documents it by that signature, and would solve it by looking at the types of each
    parameter on each request, which takes longer than a page of a feed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What serves one request of this route."""
        endpoint = self.endpoint
        assert list(inspect.signature(endpoint).parameters) == NAMES
        model: type[BaseModel] = get_type_hints(endpoint)["query"]

        def parse(raw: bytes) -> BaseModel:
            return model.model_validate(dict(QueryParams(raw)))

        parse_short = lru_cache(KEPT_QUERIES)(parse)

        async def handle(request: Request) -> Response:
            services = await services_of(request)
            caller = await reading(request)
            raw: bytes = request.scope["query_string"]
            try:
                query = (parse_short if len(raw) <= MAX_KEPT_BYTES else parse)(raw)
            except ValidationError as error:
                found = error.errors(include_url=False)
                raise RequestValidationError(
                    [{**each, "loc": ("query", *each["loc"])} for each in found]
                ) from None
            tag = request.headers.get("if-none-match")
            if tag is not None and len(tag) > MAX_TAG_BYTES:
                raise invalid("header.if-none-match", f"over {MAX_TAG_BYTES} bytes")
            response: Response = await endpoint(services, caller, query, tag)
            return response

        return handle
