"""What Kafka's client and Redis's client reach alone on this machine: the physical limits."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition
from redis import Redis

from bench.engagements import PARTITIONS

_SETS = 200_000
_AT_A_TIME = 5_000
_WAIT_MS = 1_000
_VALUE = b"x" * 20


def kafka_records_per_s(brokers: str, topic: str, count: int) -> float:
    """Reading `count` records of a topic with aiokafka's `getmany`, doing nothing with them."""
    return asyncio.run(_read(brokers, topic, count))


async def _read(brokers: str, topic: str, count: int) -> float:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers, enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        began = time.perf_counter()
        seen = 0
        while seen < count:
            fetched = await consumer.getmany(timeout_ms=_WAIT_MS)
            seen += sum(map(len, fetched.values()))
        return seen / (time.perf_counter() - began)
    finally:
        await consumer.stop()


def redis_sets_per_s(url: str) -> float:
    """Setting 200,000 keys with redis-py's pipeline, 5,000 a round trip."""
    client = Redis.from_url(url)
    try:
        began = time.perf_counter()
        for start in range(0, _SETS, _AT_A_TIME):
            pipe = client.pipeline(transaction=False)
            for number in range(start, start + _AT_A_TIME):
                pipe.set(f"limit:{number}", _VALUE)
            pipe.execute()
        return _SETS / (time.perf_counter() - began)
    finally:
        client.close()
