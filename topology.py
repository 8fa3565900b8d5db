"""The apps and their wiring: `faust -A topology worker`, `faust -A topology:views worker` ...

    posts ───────┐           ┌─► by-post ──► PostFold ───► view.*, by-source, by-user
    engagements ─┤           │
    follows ─────┼─► intake ─┼─► by-user ──► UserFold ───► view.*, by-source, by-user
    users ───────┤           │
    moderations ─┤           │
    feedback ────┘           │
                             └   by-source ► SourceFold ─► view.*, timeline-writes

`app` runs the intake, the clock and the folds; `views` writes Redis, `archive` Cassandra. The
libraries of a store are imported when it is reached: they take as long as all others, in which the
partitions of a worker that is started again wait.
"""

from __future__ import annotations

from functools import partial

from connectors.addresses import resolve_or_default
from connectors.log_id import log_id_of
from connectors.registry import Registry
from connectors.settings import settings
from connectors.translations import TranslationCache
from schemas.events import Engagement, Feedback, Follow, Moderation, Post, User
from schemas.topics import IN_CASSANDRA, IN_REDIS, INTERNAL, Topic
from streams.clock import TICK_SECONDS, Clock
from streams.engine.app import App
from streams.engine.monitor import add_pages
from streams.engine.sink import Reach, Store
from streams.intake import make_intake
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.users import UserFold

VIEWS_COMMIT_SECONDS = 0.02  # fan-out goes by it
VIEWS_IN_FLIGHT = 8  # most of them wait for Redis
ARCHIVE_LINGER_SECONDS = 1.0  # nobody waits for it, and larger batches cost less a row
ARCHIVE_PART_BYTES = 128 * 1024  # of the log: some 10,000 rows of timelines, 1,000 of other views

addresses = resolve_or_default()
config = settings()

app = App("app", addresses, config, config.monitor_port)
registry_url = config.registry_address
translator = app.translator(TranslationCache(Registry(registry_url))) if registry_url else None
app.stage(Topic.POSTS, partial(make_intake, Post), translator)
app.stage(Topic.ENGAGEMENTS, partial(make_intake, Engagement), translator)
app.stage(Topic.FOLLOWS, partial(make_intake, Follow), translator)
app.stage(Topic.USERS, partial(make_intake, User), translator)
app.stage(Topic.MODERATIONS, partial(make_intake, Moderation), translator)
app.stage(Topic.FEEDBACK, partial(make_intake, Feedback), translator)
app.stage(Topic.BY_POST, partial(PostFold, reports_to_hide=config.reports_to_hide))
app.stage(Topic.BY_USER, UserFold)
app.stage(Topic.BY_SOURCE, partial(SourceFold, heavy_followers=config.heavy_followers))
clock = Clock(addresses.kafka)


@app.timer(interval=TICK_SECONDS)  # type: ignore[untyped-decorator]
async def tick() -> None:
    """Write the time into the internal partitions that this worker owns."""
    owned = [(topic, p) for topic in INTERNAL for p in app.processors[topic].owned]
    await app.run_blocking(clock.tick, owned)


def _redis() -> Store:
    from connectors import redis
    from streams.views_sink import RedisStore

    client = redis.connect(addresses.redis)
    return RedisStore(client, config.partitions, log_id_of(addresses.kafka))


def _passes_in_redis(error: Exception) -> bool:
    from connectors.redis import is_passing

    return is_passing(error)


views = App(
    "views",
    addresses,
    config,
    config.monitor_port + 1,
    commit_seconds=VIEWS_COMMIT_SECONDS,
    in_flight=VIEWS_IN_FLIGHT,
)
views.sinks(IN_REDIS, Reach("redis", _redis, _passes_in_redis))


def _cassandra() -> Store:
    from connectors import cassandra
    from streams.archive_sink import CassandraStore

    _, session = cassandra.connect(addresses.cassandra, config.cassandra_keyspace)
    return CassandraStore(session, log_id_of(addresses.kafka))


def _passes_in_cassandra(error: Exception) -> bool:
    from connectors.cassandra import is_passing

    return is_passing(error)


archive = App(
    "archive",
    addresses,
    config,
    config.monitor_port + 2,
    linger_seconds=ARCHIVE_LINGER_SECONDS,
)
archive.sinks(
    IN_CASSANDRA, Reach("cassandra", _cassandra, _passes_in_cassandra), ARCHIVE_PART_BYTES
)

for each in (app, views, archive):
    add_pages(each)
