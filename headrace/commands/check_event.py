"""`headrace check-event`: whether events would be taken, without publishing them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from schemas.events import Event

AVRO_START = b"\0"
MAX_LINE_BYTES = 8 * 1024 * 1024


@click.command("check-event")
@click.argument("file", type=click.File("rb"))
@click.option("--quiet", is_flag=True, help="Print only what would be refused.")
def check_event(file: IO[bytes], quiet: bool) -> None:
    """Say what would become of the events in FILE (- for stdin), by the very checks of the intake.

    FILE has one JSON object a line, with its `type` (post, follow, engagement, user, moderation,
    feedback) beside the fields of that schema, as POST /api/v1/events takes it; or one record in
    Avro, as producers write it (byte 0, the schema's id in 4 bytes, the value); with
    SCHEMA_REGISTRY_URL the id is that registry's. Nothing is sent, and Kafka is not needed. Exits 1
    if an event would come to the dead letters.
    """
    from connectors.publisher import key_of
    from connectors.registry import RegistryDownError
    from connectors.subjects import TOPIC_OF
    from schemas.codec import UndecodableError
    from schemas.validation import RejectedError

    taken = refused = 0
    for number, raw in _records(file):
        try:
            event = _event(raw)
        except (RejectedError, UndecodableError) as error:
            refused += 1
            click.echo(f"{number}: refused, {error.code}: {error}")
            continue
        except RegistryDownError as error:
            raise click.ClickException(f"the schema registry cannot be asked: {error}") from error
        taken += 1
        if not quiet:
            topic, key = TOPIC_OF[type(event)], key_of(event)
            click.echo(f"{number}: taken, topic {topic}, key {key!r}, event {event.event_id!r}")
    if not taken + refused:
        raise click.ClickException("there is no event in it")
    click.echo(f"{taken:,} would be taken, {refused:,} refused", err=True)
    if refused:
        sys.exit(1)


def _records(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Records with their numbers, from 1: the whole file if it is Avro, else lines with text."""
    start = file.read(1)
    if start == AVRO_START:
        yield 1, start + file.read(MAX_LINE_BYTES)
        return
    number = 0
    while line := start + file.readline(MAX_LINE_BYTES):
        number, start = number + 1, b""
        if line.strip():
            yield number, line


def _event(raw: bytes) -> Event:
    import msgspec

    from connectors.settings import settings
    from connectors.translations import own_ids
    from schemas.codec import decode
    from schemas.json_events import event_of
    from schemas.validation import MAX_RECORD_BYTES, RejectedError, validate

    now = time.time_ns() // 1_000_000
    if raw.startswith(AVRO_START):
        if len(raw) > MAX_RECORD_BYTES:
            raise RejectedError("too_large", f"the record has more than {MAX_RECORD_BYTES} bytes")
        url = settings().registry_address
        with own_ids(url) as translated:
            event = decode(translated(raw))
        validate(event, now)
        return event
    try:
        fields = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise RejectedError("not_json", str(error)) from error
    if not isinstance(fields, dict):
        raise RejectedError("not_json", "it is not an object")
    return event_of(fields, now)
