"""What every write passes: a limit, and whether its caller is erased; it is made once for a key,
and waits for its view."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute

from api.auth import Caller, allow, authenticated
from api.errors import ProblemError, invalid
from api.idempotency import REPLAYED, DerivedIds, Remembered, fingerprint_of, key_of, reused
from api.ledger import note_failure
from api.limits import CLASSES
from api.state import Services
from api.stores import StoreDownError
from api.writes import Ids, RequestEvents

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FOR_ERASED = frozenset({"erase"})
"""Routes whose writes are taken of who is erased: to ask for it again does no harm."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class WriteRoute(APIRoute):
    """A route whose writes have a limit, and take an idempotency key and `?wait=view`; its reads
    are those of any route."""

    def get_route_handler(self) -> Handler:
        """What serves one request of this route."""
        handle = super().get_route_handler()
        if set(self.methods or ()) <= SAFE_METHODS:
            return handle

        kind = CLASSES.get(self.name, "writes")

        async def write(request: Request) -> Response:
            services: Services | None = request.app.state.services
            caller = await authenticated(request)
            if services is None or caller is None:
                return await handle(request)  # which refuses it

            async def limited(request: Request) -> Response:
                headers = await services.limiter.take(
                    kind, caller.user_id, is_for_erased=self.name in FOR_ERASED
                )
                response = await handle(request)
                response.headers.update(headers)
                return response

            is_awaited = _is_awaited(request)
            key = key_of(request)
            events: RequestEvents | None
            if key is None:
                events = _of_request(request, services, services.clock())
                response = await limited(request)
            else:
                attempt = Attempt(services, caller, key, await fingerprint_of(request))
                response, events = await attempt.made_once(request, limited)
            if not is_awaited or response.status_code != status.HTTP_202_ACCEPTED:
                return response
            published = [] if events is None else events.published
            return _telling(response, await services.waiting.until_shown(published))

        return write


class Attempt:
    """One request with an idempotency key.

    All that a repeated write publishes has the ids of the first, as they are derived from the
    caller, the key and the request, and its time, which the ledger keeps: the folds take it for the
    same. Once it was accepted, the ledger has the answer too, and nothing is published.
    """

    def __init__(self, services: Services, caller: Caller, key: str, fingerprint: bytes) -> None:
        self._services = services
        self._ledger = services.stores.ledger
        self._caller = caller
        self._key = key
        self._mine = Remembered(fingerprint, services.clock())

    async def made_once(
        self, request: Request, handle: Handler
    ) -> tuple[Response, RequestEvents | None]:
        """The answer to the request, and its events, or the answer that was given before."""
        held = await self._claim()
        if held is not None and held.fingerprint != self._mine.fingerprint:
            raise reused()
        if held is not None and held.body:
            allow(self._caller, held.scope)
            return _accepted(held.body, {REPLAYED: "true"}), None
        at = self._mine.at if held is None else held.at
        ids = DerivedIds(self._caller.user_id, self._key, self._mine.fingerprint)
        events = _of_request(request, self._services, at, ids)
        try:
            response = await handle(request)
        except Exception as error:
            if held is self._mine and _is_refusal(error):
                await self._forget()
            raise
        if held is not None and response.status_code == status.HTTP_202_ACCEPTED:
            scope, body = request.state.scope_taken, bytes(response.body)
            await self._settle(Remembered(self._mine.fingerprint, at, scope, body))
        return response, events

    async def _claim(self) -> Remembered | None:
        """What the ledger has, which may be what is new; None when it cannot be asked."""
        try:
            return await self._ledger.claim(self._caller.user_id, self._key, self._mine)
        except StoreDownError as error:
            note_failure("claim", error)
            return None

    async def _settle(self, request: Remembered) -> None:
        try:
            await self._ledger.settle(self._caller.user_id, self._key, request)
        except StoreDownError as error:
            note_failure("settle", error)

    async def _forget(self) -> None:
        try:
            await self._ledger.forget(self._caller.user_id, self._key, self._mine)
        except StoreDownError as error:
            note_failure("forget", error)


def _of_request(
    request: Request, services: Services, at: int, ids: Ids | None = None
) -> RequestEvents:
    """Give the request services of its own, for events of the time `at` (ms)."""
    request.state.services, events = services.of_request(at, ids)
    return events


def _is_awaited(request: Request) -> bool:
    wait = request.query_params.get("wait")
    if wait not in (None, "view"):
        raise invalid("query.wait", "only `view` can be waited for")
    return wait is not None


def _telling(response: Response, is_visible: bool | None) -> Response:
    body = msgspec.json.decode(response.body)
    body["is_visible"] = is_visible
    response.body = msgspec.json.encode(body)
    response.headers["Content-Length"] = str(len(response.body))
    return response


def _accepted(body: bytes, headers: dict[str, str]) -> Response:
    return Response(
        body,
        status_code=status.HTTP_202_ACCEPTED,
        headers=headers,
        media_type="application/json",
    )


def _is_refusal(error: Exception) -> bool:
    """Whether nothing was published, as the request was refused."""
    if isinstance(error, ProblemError):
        return error.status < 500
    return isinstance(error, HTTPException | RequestValidationError)
