"""`headrace bench engagement`: all that users do, through all folds, in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial

import msgspec
import psutil  # type: ignore[import-untyped]
from confluent_kafka import Producer
from redis import Redis

from bench.core import Say
from bench.engagements import PARTITIONS
from bench.fanout import APPS
from bench.figures import Figures, Machine, Target, measured, ratio, this_machine
from bench.mix import POSTS, Mix
from bench.mix_tally import Tally
from bench.mix_views import PlainViews, ProductViews, Views, wrong
from bench.parts import Parts
from bench.topic import FACTS, SHORT, STOCK_MIX_CHANGELOGS, make
from bench.workers import Workers, cpu_seconds, patience_s
from connectors.lag import wait_until_quiet
from connectors.stack.errors import StackError
from schemas.codec import encode
from schemas.events import Engagement, Post
from schemas.partitioning import partition_of
from schemas.topics import Topic, declared

MIN_PER_S = 50_000
MIN_RATIO = 10
MAX_HOT_RATIO = 1.3
STOCK_EVENTS = 30_000  # at a thousand or two a second
EVENTS_A_POST = 5  # at least, so that a short run does not make all posts
QUIET_S = 300.0
WRITE_S = 120.0
_TRANSACTION_MS = 600_000
_HOUR_MS = 3_600_000
_LOOK_EVERY_S = 0.02
_CHECK_EVERY_S = 1.0

Ready = list[tuple[bytes, str, int]]
"""Encoded events, with key and partition."""


class EngagementReport(msgspec.Struct, kw_only=True):
    """Figures where each post is as likely as another (`even`), where half of all events are about
    one (`hot`), and of stock Faust (even). `cpu_seconds_by_process` has the app and its sink apart.

    `ratio_hot_to_even` is of the seconds that an event takes, `_per_cpu` of CPU seconds.
    """

    machine: Machine
    events: int
    even: Figures
    hot: Figures
    stock: Figures
    events_per_s: float | None = None
    ratio_to_stock: float | None = None
    ratio_to_stock_per_cpu: float | None = None
    ratio_hot_to_even: float | None = None
    ratio_hot_to_even_per_cpu: float | None = None

    def compare(self) -> None:
        """Compute the ratios."""
        even, hot, stock = self.even, self.hot, self.stock
        self.events_per_s = even.records_per_s
        self.ratio_to_stock = ratio(even.records_per_s, stock.records_per_s)
        self.ratio_to_stock_per_cpu = ratio(even.records_per_cpu_s, stock.records_per_cpu_s)
        self.ratio_hot_to_even = ratio(even.records_per_s, hot.records_per_s)
        self.ratio_hot_to_even_per_cpu = ratio(even.records_per_cpu_s, hot.records_per_cpu_s)

    def targets(self) -> list[Target]:
        """What must hold: 50,000 events/s, or 10 times stock Faust where that is less."""
        stock = self.stock.records_per_s
        wanted = MIN_PER_S if stock is None else min(MIN_PER_S, round(MIN_RATIO * stock))
        return [
            Target("events_per_s", wanted, self.events_per_s),
            Target("ratio_hot_to_even", MAX_HOT_RATIO, self.ratio_hot_to_even, is_most=True),
        ]

    @property
    def is_void(self) -> bool:
        """Whether any part failed or came to something else than the plain fold."""
        return any(figures.void for figures in (self.even, self.hot, self.stock))


def run(parts: Parts, events: int, say: Say) -> EngagementReport:
    """Measure each in turn, with topics, Redis and processes of its own."""
    began_at = time.time_ns() // 1_000_000 - _HOUR_MS
    posts = min(POSTS, events // EVENTS_A_POST)
    even = Mix(count=events, began_at=began_at, post_count=posts)
    hot = Mix(count=events, began_at=began_at, post_count=posts, is_hot=True)
    few = Mix(count=min(events, STOCK_EVENTS), began_at=began_at, post_count=posts)
    report = EngagementReport(
        machine=this_machine(),
        events=events,
        even=_figures(
            parts, even, say, partial(_product, even), "each post is as likely as another"
        ),
        hot=_figures(parts, hot, say, partial(_product, hot), "half are about one post"),
        stock=_figures(parts, few, say, _stock, "stock Faust"),
    )
    report.compare()
    return report


Measure = Callable[[Parts, Ready, Redis, Workers], tuple[float, dict[str, float], Views]]


def _figures(parts: Parts, mix: Mix, say: Say, measure: Measure, what: str) -> Figures:
    say(f"{mix.count:,} events: {what}")
    tally = Tally()
    ready: Ready = []
    for event in mix.events():
        tally.add(event)
        ready.append(_placed(event, event.post_id or event.user_id))
    make(
        parts.addresses.kafka,
        [*(spec.name for spec in declared()), SHORT, FACTS, *STOCK_MIX_CHANGELOGS],
    )
    load = round(os.getloadavg()[0], 2)
    with closing(Redis.from_url(parts.addresses.redis)) as client:
        client.flushall()
        try:
            with Workers(parts.addresses, parts.directory, say) as workers:
                seconds, cpu, views = measure(parts, ready, client, workers)
                void = wrong(views, tally, mix.began_at)
        except (StackError, TimeoutError) as error:
            void = str(error)
    if void:
        return Figures(events=mix.count, load=load, void=void)
    return measured(mix.count, load, seconds, cpu)


def _product(
    mix: Mix, parts: Parts, ready: Ready, client: Redis, workers: Workers
) -> tuple[float, dict[str, float], Views]:
    """All of `topology:app` in one process, and the Redis sink in another. The events are written
    in one transaction: they are there for readers at once, and nothing is encoded meanwhile."""
    brokers = parts.addresses.kafka
    app, sink = workers.start_ready({"app": "topology:app", "views": "topology:views"})
    processes = {"sink": sink, "app": app}
    workers.say(f"  the app is process {app.pid}, its sink {sink.pid}")
    posts = [_placed(post, post.post_id) for post in mix.posts()]
    _in_a_transaction(brokers, Topic.POSTS, posts)()
    wait_until_quiet(brokers, QUIET_S, groups=APPS)
    show = _in_a_transaction(brokers, Topic.ENGAGEMENTS, ready)
    views = ProductViews(client, brokers)
    before = _cpu(processes)
    began = time.monotonic()
    show()
    _wait(views, workers, len(ready))
    seconds = time.monotonic() - began
    after = _cpu(processes)
    wait_until_quiet(brokers, QUIET_S, groups=APPS)
    return seconds, {name: after[name] - before[name] for name in processes}, views


def _stock(
    parts: Parts, ready: Ready, client: Redis, workers: Workers
) -> tuple[float, dict[str, float], Views]:
    """Stock Faust in one process, which writes Redis itself, from its first event on."""
    _in_a_transaction(parts.addresses.kafka, SHORT, ready)()
    views = PlainViews(client)
    process, start = workers.start_measured("stock", workers.faust("bench.stock_mix:app"))
    _wait(views, workers, len(ready))
    seconds = time.monotonic() - start.at
    return seconds, {"stock": cpu_seconds(process) - start.cpu}, views


def _wait(views: Views, workers: Workers, events: int) -> None:
    timeout_s = patience_s(events)
    deadline = time.monotonic() + timeout_s
    checked = time.monotonic()
    while not views.is_over():
        now = time.monotonic()
        if now > checked + _CHECK_EVERY_S:
            checked = now
            workers.check()
        if now > deadline:
            raise workers.too_late("the last events were not there", timeout_s)
        time.sleep(_LOOK_EVERY_S)


def _cpu(processes: dict[str, psutil.Process]) -> dict[str, float]:
    return {name: cpu_seconds(process) for name, process in processes.items()}


def _placed(event: Engagement | Post, entity: str) -> tuple[bytes, str, int]:
    return encode(event), entity, partition_of(entity, PARTITIONS)


def _in_a_transaction(
    brokers: str, topic: str, ready: Iterable[tuple[bytes, str, int]]
) -> Callable[[], None]:
    """Write events, of which readers see nothing before what this returns is called."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "transactional.id": "bench-mix",
            "transaction.timeout.ms": _TRANSACTION_MS,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )
    producer.init_transactions(WRITE_S)
    producer.begin_transaction()
    for number, (value, key, partition) in enumerate(ready):
        producer.produce(topic, value, key, partition)
        if number % 1_000 == 0:
            producer.poll(0)
    if producer.flush(WRITE_S):
        raise TimeoutError(f"not all events were acknowledged in {topic}")
    return partial(producer.commit_transaction, WRITE_S)
