"""Keeps the workers of the old generation from writing: none is alive, and none can commit."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from connectors.kafka import for_confluent
from connectors.lag import GROUPS
from headrace.dead_letters.handler import APP as LETTERS
from schemas.topics import EXTERNAL, INTERNAL, Topic
from streams.engine.checkpoint import transactional_producer

STAGES = next(iter(GROUPS))
DELIVER = "headrace-deliver"
THREADS = 8
ANSWER_SECONDS = 30.0


def members(brokers: str) -> list[str]:
    """Who is alive of the groups that read what is migrated: workers, and deliveries."""
    admin = AdminClient(for_confluent(brokers))
    asked = admin.describe_consumer_groups([*GROUPS, DELIVER], request_timeout=ANSWER_SECONDS)
    found = []
    for name, answer in asked.items():
        group = answer.result(ANSWER_SECONDS)
        if group.state == ConsumerGroupState.EMPTY:
            continue
        found += [f"{each.client_id} of {name} at {each.host}" for each in group.members]
    return found


def fence(brokers: str, partitions: int) -> None:
    """Abort what the stages of all partitions have begun, and have none of them commit again; the
    same for who handles dead letters, which are written into the same logs."""
    places: Iterable[tuple[str, str, int]] = [
        *((STAGES, topic, p) for topic in (*EXTERNAL, *INTERNAL) for p in range(partitions)),
        (LETTERS, Topic.HANDLED_LETTERS, 0),
    ]

    def take_over(place: tuple[str, str, int]) -> None:
        transactional_producer(brokers, *place)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(take_over, places):
            pass
