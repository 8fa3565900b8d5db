"""What faults act on: the stack, the network before it, the workers and the load."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import redis
from confluent_kafka import Message, Producer

from connectors.failpoints import Mark
from connectors.kafka import for_confluent
from connectors.lag import LagReader
from connectors.stack.addresses import Addresses
from connectors.stack.local import LocalStack
from headrace.chaos import letters
from headrace.chaos.crew import Crew
from headrace.chaos.letters import Place
from headrace.chaos.load import Load
from headrace.chaos.proxy import KafkaProxy, Proxy
from headrace.installation import THIS, Installation

POLL_S = 0.05
BUSY_S = 60.0

T = TypeVar("T")


class NotLandedError(Exception):
    """A fault did not happen in the middle of work, or had another effect than it must."""


class Ground:
    """A running pipeline. The driver reaches every part directly, and so do the workers unless it
    `is_proxied`, as it must be for faults of the network: proxies take time of the driver's."""

    def __init__(
        self,
        stack: LocalStack,
        log_dir: Path,
        *,
        seed: int,
        rate: float,
        users: int,
        state: str,
        patience_s: float,
        say: Say,
        installation: Installation = THIS,
        is_proxied: bool = False,
    ) -> None:
        self.stack = stack
        self._is_proxied = is_proxied
        self.log_dir = log_dir
        self.seed = seed
        self.state = state
        self.patience_s = patience_s
        """How long is waited for what must come."""
        self.say = say
        self.installation = installation
        """From which workers are started."""
        self.planted: dict[Place, str] = {}
        """Poison in internal topics, with the code that its dead letter must have."""
        self.peaks: dict[str, int] = {}
        """The most memory (MB) that a worker of each name took so far."""
        self.lag = LagReader(self.addresses.kafka)
        self.kafka = KafkaProxy(_port(self.addresses.kafka))
        self.redis = Proxy(_port(self.addresses.redis.rpartition("/")[0]))
        self.cassandra = Proxy(_port(self.addresses.cassandra))
        self.load = Load(self.addresses.kafka, seed, rate=rate, users=users)
        self.crew: Crew
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            for proxy in (self.kafka, self.redis, self.cassandra) if self._is_proxied else ():
                held.enter_context(proxy)
            self.crew = held.enter_context(
                self._crew("first", ("app", "views", "archive", "api"), self.state)
            )
            held.callback(self.lag.close)
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()

    @property
    def addresses(self) -> Addresses:
        """Where the parts really are."""
        return self.stack.addresses

    def more(self, name: str, *apps: str, state: str = "memory") -> Crew:
        """A crew of workers beside the first, not started yet."""
        return self._crew(name, apps, state)

    def _crew(self, name: str, apps: Collection[str], state: str) -> Crew:
        behind_proxies = Addresses(
            kafka=f"127.0.0.1:{self.kafka.port}",
            redis=f"redis://127.0.0.1:{self.redis.port}/0",
            cassandra=f"127.0.0.1:{self.cassandra.port}",
        )
        log_dir = self.log_dir / name
        return Crew(
            behind_proxies if self._is_proxied else self.addresses,
            apps,
            name=name,
            state=state,
            log_dir=log_dir,
            peaks=self.peaks,
            say=self.say,
            installation=self.installation,
        )

    def wait(self, what: str, found: Callable[[], T | None], timeout_s: float | None = None) -> T:
        """The first answer that is true; `patience_s` is waited for it if nothing else is said.

        Raises:
            NotLandedError: there was none in time.
        """
        timeout_s = self.patience_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + timeout_s
        while True:
            self.load.check()
            answer = found()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise NotLandedError(f"{what}: not within {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def waiting(self, name: str) -> int:
        """The records that wait for a worker, now."""
        return self.lag.read().by_group()[f"headrace-{name}"]

    def busy(self, name: str) -> int:
        """Wait until records wait for a worker; how many."""
        return self.wait(f"records that wait for {name}", lambda: self.waiting(name), BUSY_S)

    def marked(self, name: str) -> Mark:
        """Wait until a worker has left its mark at a failpoint."""
        return self.wait("the mark of the failpoint", lambda: self.crew.mark(name), BUSY_S)

    def changed(self, name: str, pid: int) -> int:
        """Wait until a worker runs as another process; its id."""

        def other() -> int | None:
            now = self.crew.pid(name)
            return now if now != pid else None

        return self.wait(f"another process of {name}", other)

    def recover(self, *names: str) -> None:
        """Wait until workers are ready, all or those named."""
        self.crew.forgive()
        self.wait("workers that are ready", lambda: self.crew.are_ready(*names) or None)

    def empty_redis(self) -> None:
        """Delete what a killed Redis has on disk."""
        shutil.rmtree(self.stack.data_dir / "stack" / "redis" / "data")

    def redis_client(self) -> redis.Redis:
        """A client that goes past the proxy; close it."""
        return redis.Redis.from_url(self.addresses.redis)

    def plant(self, records: list[tuple[str, int, bytes]]) -> list[Place]:
        """Write raw records (topic, partition, value) as they are; where they stand."""
        placed: list[Place] = []

        def note(error: object, message: Message) -> None:
            offset, partition = message.offset(), message.partition()
            if error is None and offset is not None and partition is not None:
                placed.append((str(message.topic()), partition, offset))

        producer = Producer({**for_confluent(self.addresses.kafka), "acks": "all"})
        for topic, partition, value in records:
            producer.produce(topic, value, b"poison", partition, on_delivery=note)
        producer.flush(self.patience_s)
        if len(placed) != len(records):
            raise NotLandedError(f"{len(placed)} of {len(records)} records were taken")
        return placed

    def put_away(self, places: list[Place]) -> int:
        """Wait until all who read these records have made dead letters of them; how many."""
        due = letters.due(places)

        def are_there() -> bool:
            return due <= letters.read(self.addresses.kafka).keys()

        self.wait("dead letters", lambda: are_there() or None)
        return len(due)


Say = Callable[[str], None]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
