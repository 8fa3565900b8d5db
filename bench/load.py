"""A load: `python -m bench.load RATE SECONDS` writes that many engagements a second, and
`python -m bench.load most SECONDS` as many as are read meanwhile."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import Protocol

from confluent_kafka import Producer

from bench import marks
from bench.engagements import PARTITIONS, engagements
from connectors.lag import LagReader
from connectors.publisher import Pacer
from connectors.settings import settings
from schemas.codec import encode
from schemas.partitioning import partition_of
from schemas.topics import Topic

MOST = "most"
AHEAD = 200_000
READERS = {
    "headrace-bench-fold": (str(Topic.ENGAGEMENTS),),
    "headrace-bench-sink": (str(Topic.VIEW_COUNTERS),),
}
_MOST_READY_PER_S = 180_000
_POLL_EVERY = 1_000
_LOOK_EVERY_S = 0.05
_LINGER_MS = 50


class Pace(Protocol):
    """Says when the next record may be written."""

    def wait(self) -> bool:
        """Return then; True if that took a sleep."""


class Ahead:
    """Lets at most 200,000 records wait for the fold or the sink."""

    def __init__(self, lag: LagReader) -> None:
        self._lag = lag
        self._left = AHEAD

    def wait(self) -> bool:
        """Return when the next record may be written; True if that took a sleep."""
        slept = False
        while self._left <= 0:
            self._left = AHEAD - self._lag.read().total
            if self._left <= 0:
                time.sleep(_LOOK_EVERY_S)
                slept = True
        self._left -= 1
        return slept


def main() -> None:
    """Encode all first, so that writing costs little beside what is measured."""
    rate, seconds = sys.argv[1], float(sys.argv[2])
    per_second = _MOST_READY_PER_S if rate == MOST else float(rate)
    ready = []
    for event in engagements(max(PARTITIONS, int(per_second * seconds))):
        assert event.post_id is not None
        partition = partition_of(event.post_id, PARTITIONS)
        ready.append((encode(event), event.post_id, partition))
    brokers = settings().kafka_brokers
    if rate == MOST:
        with closing(LagReader(brokers, READERS)) as lag:
            _write(brokers, ready, Ahead(lag), seconds)
    else:
        _write(brokers, ready, Pacer(per_second), seconds)


def _write(brokers: str, ready: list[tuple[bytes, str, int]], pace: Pace, seconds: float) -> None:
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "compression.type": "lz4",
            "linger.ms": _LINGER_MS,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    marks.write(marks.START, marks.now())
    end = time.monotonic() + seconds
    for number, (value, key, partition) in enumerate(ready):
        pace.wait()
        producer.produce(str(Topic.ENGAGEMENTS), value, key, partition)
        if number % _POLL_EVERY == 0:
            producer.poll(0)
            if time.monotonic() > end:
                break
    producer.flush()


if __name__ == "__main__":
    main()
