"""A steady load: `python -m bench.load RATE SECONDS` writes that many engagements a second."""

from __future__ import annotations

import sys

from confluent_kafka import Producer

from bench import marks
from bench.engagements import PARTITIONS, engagements
from connectors.publisher import Pacer
from connectors.settings import settings
from schemas.codec import encode
from schemas.partitioning import partition_of
from schemas.topics import Topic

_POLL_EVERY = 1_000


def main() -> None:
    """Encode all first, so that writing costs little beside what is measured."""
    rate, seconds = float(sys.argv[1]), float(sys.argv[2])
    ready = []
    for event in engagements(max(PARTITIONS, int(rate * seconds))):
        assert event.post_id is not None
        partition = partition_of(event.post_id, PARTITIONS)
        ready.append((encode(event), event.post_id, partition))
    producer = Producer(
        {
            "bootstrap.servers": settings().kafka_brokers,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    pacer = Pacer(rate)
    marks.write(marks.START, marks.now())
    for number, (value, key, partition) in enumerate(ready):
        pacer.wait()
        producer.produce(str(Topic.ENGAGEMENTS), value, key, partition)
        if number % _POLL_EVERY == 0:
            producer.poll(0)
    producer.flush()


if __name__ == "__main__":
    main()
