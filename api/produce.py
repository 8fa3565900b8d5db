"""POST /api/v1/events: many events at once, of any user, by who may produce them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from fastapi import APIRouter, status
from pydantic import BaseModel, Field

from api.audit import audit
from api.auth import Caller, Producing
from api.bodies import Body
from api.errors import ProblemError
from api.ids import is_id
from api.models import POST_ID, Awaited, problems
from api.state import Services, Shared
from api.write_route import WriteRoute
from schemas.codec import SUBJECTS
from schemas.events import Event, Moderation
from schemas.json_events import event_of
from schemas.validation import RejectedError

MAX_EVENTS = 1_000
MADE = ("event_id", "at")
"""What the API fills in when it is left out."""

SCHEMA = "Event"
"""What the name of an event's schema ends with on the OpenAPI page."""

router = APIRouter(prefix="/api/v1", tags=["events"], route_class=WriteRoute)

_REFS = [f"#/components/schemas/{event.__name__}{SCHEMA}" for event in get_args(Event)]
_ITEMS: Any = {"oneOf": [{"$ref": ref} for ref in _REFS]}
_EXAMPLE = {
    "type": "follow",
    "event_id": "e-1",
    "action": "follow",
    "user_id": "bob",
    "target": "u:alice",
    "at": 1_767_268_800_000,
}


class EventsIn(Body):
    """Events, each with its `type` beside its fields."""

    events: list[dict[str, Any]] = Field(
        min_length=1,
        max_length=MAX_EVENTS,
        examples=[[_EXAMPLE]],
        json_schema_extra={"items": _ITEMS},
        description="Each with its `type` and the fields of that schema; without an `event_id` it "
        "gets one, without a time (`at`, in ms since 1970) that of the request.",
    )


class EventResult(BaseModel):
    """What became of an event."""

    status: Literal["accepted", "refused"]
    event_id: str | None = Field(None, examples=[POST_ID])
    code: str | None = Field(
        None, description="Why it was refused: as in the dead letters.", examples=["id_too_long"]
    )
    detail: str | None = None


class EventsAccepted(Awaited):
    """Events that are on disk in Kafka, and those that were refused; the views follow."""

    accepted: Annotated[int, Field(ge=0)]
    refused: Annotated[int, Field(ge=0)]
    results: list[EventResult] = Field(description="In the order of the events.")


@router.post(
    "/events",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Publish events",
    responses=problems(
        _400="The body is not JSON.",
        _401="No valid token.",
        _403="The token lacks the scope `produce`.",
        _413="The body is over 2 MiB.",
        _422="There is no event, or there are more than 1,000.",
        _503="Kafka did not acknowledge all in time; `errors` names those (`body.events.<n>`).",
    ),
)
async def publish_events(body: EventsIn, services: Shared, caller: Producing) -> EventsAccepted:
    """Publish up to 1,000 events in the name of any user. Each is judged by itself: one that is
    refused keeps no other back. A verdict (`moderation`) needs the scope `moderate` too, and is the
    caller's. Limits of users, and what users see, do not matter here."""
    read = [_read(event, services, caller) for event in body.events]
    valid = {n: event for n, event in enumerate(read) if not isinstance(event, EventResult)}
    failed = await services.events.publish_each(list(valid.values()))
    audit("events published", user_id=caller.user_id, events=failed.count(False))
    lost = [n for n, is_lost in zip(valid, failed, strict=True) if is_lost]
    if lost:
        raise ProblemError(
            503,
            "unavailable",
            "Not all events were acknowledged in time. They may or may not take effect; send them "
            "again with the same ids.",
            headers={"Retry-After": "2"},
            errors=[{"field": f"body.events.{n}", "detail": "not acknowledged"} for n in lost],
        )
    results = [
        each
        if isinstance(each, EventResult)
        else EventResult(status="accepted", event_id=each.event_id)
        for each in read
    ]
    return EventsAccepted(accepted=len(valid), refused=len(results) - len(valid), results=results)


def _read(raw: dict[str, Any], services: Services, caller: Caller) -> Event | EventResult:
    """The event that was sent, or why it is refused."""
    made = {"event_id": services.events.new_id(services.clock()), "at": services.clock()}
    try:
        event = event_of({**made, **raw}, services.clock())
        if isinstance(event, Moderation):
            _check_moderator(event, caller)
        return event
    except RejectedError as error:
        known = raw.get("event_id")
        return EventResult(
            status="refused",
            event_id=known if is_id(known) else None,
            code=error.code,
            detail=str(error),
        )


def _check_moderator(event: Moderation, caller: Caller) -> None:
    if "moderate" not in caller.scopes or event.moderator_id != caller.user_id:
        raise RejectedError("not_allowed", "a verdict is its moderator's, with the scope moderate")


def event_schemas() -> dict[str, Any]:
    """The JSON schemas of all events, as a body has them."""
    _, found = msgspec.json.schema_components(
        SUBJECTS.values(), ref_template=f"#/components/schemas/{{name}}{SCHEMA}"
    )
    for name, event in SUBJECTS.items():
        schema = found[event.__name__]
        schema["properties"] = {"type": {"const": name}, **schema["properties"]}
        required = [field for field in schema["required"] if field not in MADE]
        schema["required"] = ["type", *required]
    return {f"{name}{SCHEMA}": schema for name, schema in found.items()}
