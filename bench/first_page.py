"""`headrace bench first-page`: how long the first page takes of who comes back after a month."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from random import Random
from urllib.parse import urlsplit

import msgspec

from bench.core import Say
from bench.figures import Machine, Target, percentiles, this_machine
from bench.parts import Parts
from connectors.cassandra import connect
from connectors.log_id import log_id_of
from connectors.prepare import prepare
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from headrace.supervisor import Supervisor
from schemas.topics import Topic
from schemas.views import PostView, RelationView, UserView
from streams.archive_sink import CassandraStore
from streams.engine.sink import Write

MAX_MS = 100
AUTHORS = 5_000
FOLLOWED = 500
WARM_UP = 40
POSTS = 20
"""On a page."""

MOST_POSTS = 60
"""Of an author, within 30 days; most have a tenth or less of it."""

DAYS = 29
_DAY_MS = 86_400_000
_AT_ONCE = 5_000
SEED = 5

Place = tuple[int, str]


class FirstPageReport(msgspec.Struct, kw_only=True):
    """Milliseconds from a request for a feed that is not kept, to its first page; void (None) if a
    page was not the newest posts of those followed."""

    machine: Machine
    readers: int
    followed: int
    posts: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    void: str | None = None

    def targets(self) -> list[Target]:
        """What must hold."""
        return [Target("p50_ms", MAX_MS, self.p50_ms, is_most=True)]

    @property
    def is_void(self) -> bool:
        """Whether it failed."""
        return self.void is not None


class Town:
    """Authors who post seldom or often, and dormant readers who each follow some of them."""

    def __init__(self, readers: int) -> None:
        random, now = Random(SEED), time.time_ns() // 1_000_000
        self.posts: dict[str, list[Place]] = {
            f"author{number:05}": sorted(
                (now - random.randrange(DAYS * _DAY_MS), f"p{number:05}-{n:03}")
                for n in range(1 + int(MOST_POSTS * random.random() ** 6))
            )
            for number in range(AUTHORS)
        }
        self.followed = {
            f"reader{number:05}": random.sample(sorted(self.posts), FOLLOWED)
            for number in range(readers + WARM_UP)
        }

    def newest(self, reader: str) -> list[str]:
        """The posts of a reader's first page."""
        places = (place for author in self.followed[reader] for place in self.posts[author])
        return [post_id for _, post_id in sorted(places, reverse=True)[:POSTS]]

    def views(self) -> dict[Topic, list[msgspec.Struct]]:
        """All views, as the folds put them out."""
        return {
            Topic.VIEW_POSTS: [
                PostView(post_id, author, at, "nothing new")
                for author, places in self.posts.items()
                for at, post_id in places
            ],
            Topic.VIEW_USERS: [
                UserView(reader, following=FOLLOWED, is_dormant=True) for reader in self.followed
            ],
            Topic.VIEW_RELATIONS: [
                RelationView(reader, f"u:{author}", True, 1)
                for reader, followed in self.followed.items()
                for author in followed
            ],
        }


def run(parts: Parts, readers: int, say: Say) -> FirstPageReport:
    """Write the views of a town, and read the first page of each of its readers once."""
    town = Town(readers)
    report = FirstPageReport(
        machine=this_machine(),
        readers=readers,
        followed=FOLLOWED,
        posts=sum(map(len, town.posts.values())),
    )
    prepare(parts.addresses)
    say(f"{report.posts:,} posts by {AUTHORS:,}, {readers:,} readers who follow {FOLLOWED} each")
    _write(parts.addresses, town)
    with Supervisor(parts.addresses, ("api",), log_dir=parts.directory, say=say) as supervisor:
        address = urlsplit(supervisor.api_url)
        assert address.hostname is not None
        client = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        times: list[float] = []
        with closing(client):
            for reader in town.followed:
                token = supervisor.token(reader)
                began = time.perf_counter()
                found = _read(client, token)
                times.append((time.perf_counter() - began) * 1000)
                if found != town.newest(reader):
                    report.void = f"the page of {reader} is not of the newest posts"
                    return report
    report.p50_ms, report.p99_ms = percentiles(times[WARM_UP:])
    return report


def _write(addresses: Addresses, town: Town) -> None:
    cluster, session = connect(addresses.cassandra, settings().cassandra_keyspace)
    try:
        store = CassandraStore(session, log_id_of(addresses.kafka))
        for topic, views in town.views().items():
            store.open(topic, 0)
            for first in range(0, len(views), _AT_ONCE):
                part = enumerate(views[first : first + _AT_ONCE], first)
                writes = [Write(n, b"%d" % n, b"view", view) for n, view in part]
                store.write(topic, 0, writes, first + len(writes))
    finally:
        cluster.shutdown()


def _read(client: http.client.HTTPConnection, token: str) -> list[str]:
    """The posts of a first page."""
    headers = {"Authorization": f"Bearer {token}"}
    client.request("GET", f"/api/v1/feed?limit={POSTS}", headers=headers)
    answer = client.getresponse()
    page = json.loads(answer.read())
    return [post["post_id"] for post in page.get("posts", ())]
