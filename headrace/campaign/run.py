"""The steps of a campaign of bad input: start, load, publish, wait, account for every record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import msgspec
from confluent_kafka import KafkaError, Message, Producer
from msgspec import Struct, field

from connectors.kafka import for_confluent
from connectors.lag import LagTimeoutError, wait_until_quiet
from connectors.sources import generate_network
from connectors.stack.local import LocalStack
from headrace.campaign.mutations import Mutated, mutations
from headrace.chaos.ground import Ground, NotLandedError
from headrace.chaos.letters import EXACT, Place
from headrace.chaos.load import now_ms
from headrace.chaos.outcome import Outcome
from headrace.verify.run import Progress
from schemas.dead_letters import DeadLetter
from schemas.topics import Topic
from tests.oracle.expected import Expected
from tests.oracle.read_log import read_topics

DELIVERY_S = 60.0
TOLD_EVERY = 10_000
EXAMPLES = 5

_decode = msgspec.msgpack.Decoder(DeadLetter).decode


class NotPublishedError(Exception):
    """Kafka did not take all that was published."""


class Options(Struct, frozen=True, kw_only=True):
    """How many records, under what load (events a second, of so many people), and how long is
    waited (s) until nothing waits any more."""

    records: int
    seed: int
    rate: float = 300.0
    users: int = 250
    quiet_s: float = 3_600.0


class CampaignOutcome(Outcome, kw_only=True):
    """What came of a campaign, in which no worker may end; times in seconds."""

    records: int = 0
    """That Kafka acknowledged."""
    kinds: dict[str, int] = field(default_factory=dict)
    """By what was done to them."""
    publish_s: float = 0.0
    quiet_s: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)
    """Dead letters by their reason."""
    misjudged: int = 0
    """Records whose dead letter has a wrong reason, or is missing, or one too many."""
    examples: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        return [
            *(*self.of_views(), *self._of_letters(), *self.of_counts()),
            *(*self.of_ends(), *self.of_memory()),
        ]

    def _of_letters(self) -> list[str]:
        if not self.misjudged:
            return []
        return [f"{self.misjudged:,} dead letters are wrong: {', '.join(self.examples)}"]


def run(options: Options, stack: LocalStack, log_dir: Path, progress: Progress) -> CampaignOutcome:
    """Publish bad records into what runs on `stack`, which has its topics and tables, and account
    for each."""
    outcome = CampaignOutcome(seed=options.seed)
    progress.step("starting the workers and the API")
    with Ground(
        stack,
        log_dir,
        seed=options.seed,
        rate=options.rate,
        users=options.users,
        state="rocksdb",
        patience_s=180.0,
        say=progress.detail,
    ) as ground:
        brokers = ground.addresses.kafka
        progress.step(f"publishing {options.records:,} records beside the load")
        people = list(dict.fromkeys(u for pair in generate_network(60, options.seed) for u in pair))
        began = time.monotonic()
        with ground.load:
            bad = islice(mutations(people, options.seed, now_ms), options.records)
            outcome.kinds = publish(brokers, bad, progress.detail)
            outcome.records = sum(outcome.kinds.values())
        outcome.events = ground.load.acknowledged
        outcome.publish_s = _since(began)
        progress.step("waiting until nothing waits any more")
        began = time.monotonic()
        try:
            wait_until_quiet(
                brokers, options.quiet_s, lambda lag: progress.detail(f"{lag.total:,} wait")
            )
        except (NotLandedError, LagTimeoutError) as error:
            outcome.failure = str(error)
        outcome.quiet_s = _since(began)
        expected = outcome.compare(ground, {}, progress)
        judge_letters(outcome, expected, letters(brokers))
    return outcome


def publish(brokers: str, records: Iterable[Mutated], say: Callable[[str], None]) -> dict[str, int]:
    """Publish records as they are; how many of each kind Kafka acknowledged, which is all.

    Raises:
        NotPublishedError: it did not take one.
    """
    producer = Producer(
        {
            **for_confluent(brokers),
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "message.max.bytes": 4_000_000,
            "queue.buffering.max.kbytes": 256 * 1024,
        }
    )
    kinds: Counter[str] = Counter()
    failed: list[str] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error.str())

    for number, record in enumerate(records, 1):
        while True:
            try:
                producer.produce(record.topic, record.value, record.key, on_delivery=note)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        kinds[record.kind] += 1
        if number % TOLD_EVERY == 0:
            say(f"{number:,}")
    left = producer.flush(DELIVERY_S)
    if left or failed:
        raise NotPublishedError(f"{left + len(failed)} records were not taken: {failed[:1]}")
    return dict(kinds)


def letters(brokers: str) -> dict[Place, list[str]]:
    """The reasons of the intake's and the folds' dead letters, by the place of the record."""
    found: dict[Place, list[str]] = {}
    for _, _, _, _, value in read_topics(brokers, (Topic.DEAD_LETTERS,)):
        if value is not None:
            letter = _decode(value)
            if letter.stage.partition("/")[0] == EXACT:
                place = letter.topic, letter.partition, letter.offset
                found.setdefault(place, []).append(letter.code)
    return found


def judge_letters(
    outcome: CampaignOutcome, expected: Expected, found: dict[Place, list[str]]
) -> None:
    """Count the dead letters by reason, and those that are not as the oracle has them."""
    outcome.reasons = dict(Counter(code for codes in found.values() for code in codes))
    for place in expected.rejected.keys() | found.keys():
        wanted, codes = expected.rejected.get(place), found.get(place, [])
        if len(codes) == 1 and codes[0] in expected.reasons.get(place, {wanted}):
            continue
        outcome.misjudged += 1
        if len(outcome.examples) < EXAMPLES:
            outcome.examples.append(f"{place}: {codes} instead of {wanted}")


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)
