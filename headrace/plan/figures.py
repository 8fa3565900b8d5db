"""What one processor does and what a row takes: measured by `headrace bench`, or assumed."""

from __future__ import annotations

from msgspec import Struct


class Figure(Struct, frozen=True):
    """A figure, its unit, and where it comes from."""

    value: float
    unit: str
    source: str


FOLD_US = Figure(2.2, "us of CPU a delivery", "bench fanout, 200 followers")
SINK_US = Figure(2.5, "us of CPU a delivery", "bench fanout, 200 followers")
ARCHIVE_US = Figure(15.1, "us of CPU a row", "bench fanout, Cassandra")
ENGAGEMENTS = Figure(9_740, "events per CPU second", "bench engagement, folds and Redis sink")
READ_MS = Figure(3.3, "ms of CPU a read", "bench read, latest and ranked as they are mixed there")
REDIS_ADDS = Figure(108_000, "entries/s of one server", "bench fanout, the raw loop")
CASSANDRA_ROWS = Figure(17_000, "rows/s of one processor", "bench fanout: 60 us a row")

ENTRY_BYTES = Figure(95.5, "bytes an entry in Redis", "bench fanout, 1,000 entries a feed")
FEED_ENTRIES = Figure(1_000, "entries of a feed in Redis", "design: the newest")
ROW_BYTES = Figure(
    100, "bytes a timeline row in Cassandra", "assumed: ids, reason and cell overhead"
)
OPERATION_BYTES = Figure(
    45, "bytes a delivery in Kafka", "assumed: packed ids and time, before lz4"
)
STATE_BYTES = Figure(100, "bytes a row of state on disk", "assumed: key and packed row, in RocksDB")
ENGAGEMENT_BYTES = Figure(
    150, "bytes an engagement in Kafka", "assumed: Avro with the ids of users"
)
VIEW_BYTES = Figure(400, "bytes a post's counts, author and key in Redis", "assumed")

LOG_DAYS = Figure(7, "days that logs of events are kept", "design")
WRITES_DAYS = Figure(37, "days that timeline-writes is kept", "design")
TIMELINE_DAYS = Figure(30, "days that timelines go back in Cassandra", "design")
CACHED_DAYS = Figure(7, "days that posts and counts stay in Redis", "design")

FIGURES = {name: value for name, value in sorted(globals().items()) if isinstance(value, Figure)}
