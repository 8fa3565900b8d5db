"""`headrace source`: says how the posts of a source reach its followers."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from streams.facts import How

ACKNOWLEDGED_S = 30.0


@click.command()
@click.argument("source")
@click.argument("how", type=click.Choice(("auto", "heavy", "light")))
def source(source: str, how: How) -> None:
    """Say HOW the posts of SOURCE (u:<user id> or t:<topic>) reach its followers, from now on.

    \b
    heavy   readers pull them
    light   they are pushed onto every follower's timeline
    auto    as the number of followers says (HEADRACE_HEAVY_FOLLOWERS)

    Uses KAFKA_BROKERS, else the running local stack. Nothing is lost or doubled by a change: what
    a source holds when it becomes light is pushed to all that follow it then.

    \b
    Examples:
      headrace source u:ann heavy
      headrace source t:rust auto
    """
    from confluent_kafka import Producer

    from connectors.addresses import NoAddressError, resolve
    from connectors.kafka import for_confluent
    from connectors.settings import settings
    from schemas.events import Follow
    from schemas.partitioning import partition_of
    from schemas.topics import Topic
    from schemas.validation import validate
    from streams.engine.records import RejectedError
    from streams.facts import Handling, encode_fact

    name = source.casefold() if source.startswith("t:") else source
    now = time.time_ns() // 1_000_000
    event_id = uuid.uuid4().hex
    try:
        validate(Follow(event_id=event_id, action="follow", user_id="-", target=name, at=now), now)
        brokers = resolve().kafka
    except RejectedError as error:
        raise click.BadParameter(str(error), param_hint="SOURCE") from error
    except NoAddressError as error:
        raise click.ClickException(str(error)) from error
    producer = Producer({**for_confluent(brokers), "enable.idempotence": True})
    partition = partition_of(name, settings().partitions)
    fact = encode_fact(Handling(name, how, now, event_id))
    producer.produce(str(Topic.BY_SOURCE), fact, name, partition)
    if producer.flush(ACKNOWLEDGED_S):
        raise click.ClickException(
            f"Kafka at {brokers} has not acknowledged it in {ACKNOWLEDGED_S:.0f} s: is it up, and "
            "are its topics made (headrace work)?"
        )
    click.echo(f"{name} is {how}")
