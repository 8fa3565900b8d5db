"""GET /api/v1/stream: what changes on the caller's timeline, while it happens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, WebSocket, status
from starlette.requests import HTTPConnection

from api.auth import Caller, Reading, allow, identify, unauthorized
from api.errors import ProblemError, unavailable
from api.live.hub import Hub
from api.live.session import Limits, Session
from api.live.wire import PROTOCOL, EventStream, Told, serve_socket
from api.models import problems
from api.state import Services, Shared
from connectors.settings import Settings

_BEARER = "bearer."

router = APIRouter(prefix="/api/v1", tags=["feed"])


def limits_of(settings: Settings) -> Limits:
    """What the settings say of each stream."""
    return Limits(
        longest_seconds=settings.stream_seconds,
        heartbeat_seconds=settings.stream_heartbeat_seconds,
        idle_seconds=settings.stream_idle_seconds,
    )


@router.get(
    "/stream",
    status_code=status.HTTP_200_OK,
    summary="Follow the caller's timeline",
    response_class=EventStream,
    responses=problems(
        _400="The token to go on from is not valid.",
        _401="No valid token.",
        _403="The token lacks the scope `read`.",
        _429="The caller has too many streams.",
        _503="The process has too many streams, or is about to end.",
    ),
)
async def read_stream(
    request: Request,
    services: Shared,
    caller: Reading,
    after: Annotated[str | None, Query(description="As `Last-Event-ID`.")] = None,
    last_event_id: Annotated[
        str | None, Header(description="The `id` behind which a stream goes on.")
    ] = None,
) -> EventStream:
    """Server-Sent Events, or, asked for as a WebSocket, the same as JSON objects
    `{"type", "id", "data"}`. Types and their data:

    * `hello`: the stream stands; `heartbeat_seconds`. What comes from now on is told, or what has
      come since the `id` that was given.
    * `entry`: a new entry of the timeline, as a post of the feed is, with one reason.
    * `remove`: entries that are gone: of a post (`post_id`) for `reasons`, or without these all of
      it, as the user has hidden it, or reports or a moderator have, of one that this stream has
      sent; all for `reasons`; or all that is by a user or shared by one (`author_id`).
    * `counts`: `counts` of a post (`post_id`) that this stream has sent, at most one a second.
    * `notification`: a new state of a notification, as in the list of these.
    * `degraded`: what cannot be reached now (`kafka`, `redis`, `cassandra`), also when that is
      over; nothing is lost meanwhile.
    * `gap`: something may be missing here; read the feed. `reason`: `expired` or `too_much` (away
      for too long), `log` (another deployment's `id`), `opening` (the timeline is put together
      after 30 days), `slow` (what was sent was not taken), `views`.
    * `heartbeat`: the stream goes on.
    * `end`: the last; `reason` is `token` (it has expired), `time`, `restart`, `slow` or `log`.

    Entries come once each, in the order of the timeline's log, whatever their time. Each message's
    `id` says where to go on. WebSockets carry the token as `Authorization`, or, from browsers, as
    the subprotocol `bearer.<token>` beside `headrace.v1`.
    """
    told = _begin(request, services, caller, last_event_id or after)
    return EventStream(told)


@router.websocket("/stream")
async def read_socket(socket: WebSocket) -> None:
    """The same over a WebSocket."""
    try:
        services: Services | None = socket.app.state.services
        if services is None:
            raise unavailable("The API is starting.")
        caller = await _caller(socket)
        told = _begin(socket, services, caller, socket.query_params.get("after"))
    except ProblemError as error:
        await socket.send_denial_response(error.response())
        return
    offered = PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None
    try:
        await socket.accept(subprotocol=offered)
    except BaseException:
        told.leave()
        raise
    await serve_socket(socket, told)


async def _caller(socket: WebSocket) -> Caller:
    """Who opens a socket, by the header or a subprotocol.

    Raises:
        ProblemError: 401 or 403.
    """
    scheme, _, token = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        offered = (each for each in socket.scope["subprotocols"] if each.startswith(_BEARER))
        token = next(offered, "").removeprefix(_BEARER)
    if not token:
        raise unauthorized("A bearer token is needed.")
    return allow(await identify(socket, token), "read")


def _begin(
    connection: HTTPConnection, services: Services, caller: Caller, token: str | None
) -> Told:
    state = connection.app.state
    hub: Hub | None = state.live
    if hub is None:
        raise unavailable("There are no streams here.")
    limits: Limits = state.live_limits
    stream = hub.admit(caller.user_id, token)
    session = Session(stream, hub, services, limits, caller.expires_at)
    return Told(
        messages=session.messages(),
        figures=state.live_figures,
        leave=lambda: hub.leave(stream),
        idle_seconds=limits.idle_seconds,
    )
