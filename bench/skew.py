"""`headrace bench skew`: how long others' posts take while a source with many followers bursts."""

from __future__ import annotations

import time
from contextlib import closing

import msgspec
from confluent_kafka import Producer
from redis import Redis

from bench.core import Say
from bench.crowd import Crowd, publish
from bench.engagements import PARTITIONS
from bench.fanout import APPS, count
from bench.figures import Machine, Target, percentiles, ratio, this_machine
from bench.parts import Parts
from bench.topic import make
from bench.workers import Workers
from connectors.lag import wait_until_quiet
from connectors.redis_keys import Keys, member
from connectors.stack.errors import StackError
from schemas.codec import encode
from schemas.topics import Topic, declared

STAR_FOLLOWERS = 9_000
MAX_RATIO = 2
PROBE_EVERY_S = 0.05
QUIET_S = 900.0
_OTHERS, _FOLLOWERS = 60, 20
_LOST_AFTER_S = 60.0
_LOOK_EVERY_S = 0.002
_PROBING_S = 1.0
WARM_UP_S = 90.0
_PART = 10
"""The star of the warm-up posts one in so many times what the other does."""


class SkewReport(msgspec.Struct, kw_only=True):
    """Milliseconds from when a post of others is due until it is on its last follower's timeline:
    without the burst, and while the burst is under way; how long it lasted in all."""

    machine: Machine
    deliveries: int
    alone_probes: int = 0
    alone_p50_ms: float | None = None
    alone_p99_ms: float | None = None
    probes: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    burst_s: float | None = None
    deliveries_per_s: float | None = None
    ratio_of_p99: float | None = None
    void: str | None = None

    def targets(self) -> list[Target]:
        """What must hold."""
        return [Target("ratio_of_p99", MAX_RATIO, self.ratio_of_p99, is_most=True)]

    @property
    def is_void(self) -> bool:
        """Whether it failed."""
        return self.void is not None


class Probes:
    """Posts of a crowd's authors by turns; each counts from when it was due until all of its
    author's followers have it."""

    def __init__(self, parts: Parts, crowd: Crowd) -> None:
        self._crowd = crowd
        self._keys = Keys(PARTITIONS)
        self._client = Redis.from_url(parts.addresses.redis)
        self._producer = Producer({"bootstrap.servers": parts.addresses.kafka, "linger.ms": 0})
        self._posts = crowd.written()
        self._waiting: list[tuple[float, bytes, list[str]]] = []
        self._times_ms: list[float] = []

    def run(self, seconds: float) -> list[float]:
        """Post every 50 ms for so long, and wait for the last; the milliseconds that each took.

        Raises:
            TimeoutError: one did not come within a minute.
        """
        self._times_ms = []
        begun = time.monotonic()
        due = begun
        while due < begun + seconds or self._waiting:
            now = time.monotonic()
            if due <= now and due < begun + seconds:
                self._send(due)
                due += PROBE_EVERY_S
            self._look()
            time.sleep(_LOOK_EVERY_S)
        return self._times_ms

    def close(self) -> None:
        """Let the connections go."""
        self._producer.flush()
        self._client.close()

    def _send(self, due: float) -> None:
        post = next(self._posts)
        source = int(str(post.author_id)[-7:])
        entry = member(post.post_id, f"u:{post.author_id}")
        feeds = [self._keys.feed(user_id) for user_id in self._crowd.followers(source)]
        self._waiting.append((due, entry, feeds))
        self._producer.produce(str(Topic.POSTS), encode(post))
        self._producer.poll(0)

    def _look(self) -> None:
        if not self._waiting:
            return
        pipe = self._client.pipeline(transaction=False)
        for _, entry, feeds in self._waiting:
            for feed in feeds:
                pipe.zscore(feed, entry)
        found = iter(pipe.execute())
        now = time.monotonic()
        left = []
        for due, entry, feeds in self._waiting:
            missing = [feed for feed in feeds if next(found) is None]
            if missing:
                left.append((due, entry, missing))
            else:
                self._times_ms.append((now - due) * 1_000)
        self._waiting = left
        if left and now - left[0][0] > _LOST_AFTER_S:
            raise TimeoutError(f"{left[0][1]!r} did not come within {_LOST_AFTER_S:.0f} s")


def run(parts: Parts, posts: int, seconds: float, warm_up_s: float, say: Say) -> SkewReport:
    """Probe alone for so long, and then while `posts` of one source are fanned out. Before, all of
    that goes on for a while, so that Kafka's machine code is the same in both."""
    star = Crowd(name="s0", users=STAR_FOLLOWERS, sources=1, audience=STAR_FOLLOWERS, posts=posts)
    first = msgspec.structs.replace(star, name="w0", posts=posts // _PART)
    others = Crowd(
        name="o0",
        users=_OTHERS * _FOLLOWERS,
        sources=_OTHERS,
        audience=_FOLLOWERS,
        posts=1_000_000,
    )
    report = SkewReport(machine=this_machine(), deliveries=star.deliveries)
    brokers = parts.addresses.kafka
    make(brokers, [spec.name for spec in declared()])
    try:
        with (
            Workers(parts.addresses, parts.directory, say) as workers,
            closing(Probes(parts, others)) as probes,
            closing(Redis.from_url(parts.addresses.redis)) as client,
        ):
            workers.start_ready({"app": "topology:app", "views": "topology:views"})
            for crowd in (first, star, others):
                publish(brokers, Topic.USERS, crowd.reads())
                publish(brokers, Topic.FOLLOWS, crowd.follows())
            wait_until_quiet(brokers, QUIET_S, groups=APPS)
            say(f"{warm_up_s:.0f} s of posts to warm up, {seconds:.0f} s of posts of others alone")
            publish(brokers, Topic.POSTS, first.written())
            probes.run(warm_up_s)
            wait_until_quiet(brokers, QUIET_S, groups=APPS)
            alone = probes.run(seconds)
            say(f"{posts:,} posts to {STAR_FOLLOWERS:,} followers, and those of others")
            began = time.monotonic()
            publish(brokers, Topic.POSTS, star.written())
            beside: list[float] = []
            while not _is_over(client, star):
                beside += probes.run(_PROBING_S)
                workers.check()
            report.burst_s = round(time.monotonic() - began, 1)
            wait_until_quiet(brokers, QUIET_S, groups=APPS)
            entries, _ = count(client, star)
    except (StackError, TimeoutError) as error:
        report.void = str(error)
        return report
    if entries < STAR_FOLLOWERS * min(posts, 1_000):
        report.void = f"{entries:,} of {star.deliveries:,} entries are there"
    elif len(beside) < 100:
        report.void = f"the burst was over after {len(beside)} probes: give it more posts"
    else:
        report.alone_probes, report.probes = len(alone), len(beside)
        report.alone_p50_ms, report.alone_p99_ms = percentiles(alone)
        report.p50_ms, report.p99_ms = percentiles(beside)
        report.ratio_of_p99 = ratio(report.p99_ms, report.alone_p99_ms)
        report.deliveries_per_s = round(star.deliveries / report.burst_s, 1)
    return report


def _is_over(client: Redis, star: Crowd) -> bool:
    """Whether all posts are on the timeline of the last follower, in the order of ids."""
    *_, last = star.followers(0)
    return client.zcard(Keys(PARTITIONS).feed(last)) >= star.posts
