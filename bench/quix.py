"""quixstreams' process of the job, exactly once: `python -m bench.quix`, in its own environment.

State by message key, which is the post: a row for each user's newest reaction, and the count.
The sink takes what a checkpoint changed, and writes each post's newest count in one pipeline.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.sinks.base import BatchingSink, SinkBatch
from redis import Redis

from bench import marks
from schemas.codec import decode

GROUP = "bench-quix"
COMMIT_INTERVAL_S = 1.0
COUNT = "likes"


class RedisSink(BatchingSink):  # type: ignore[misc]
    """Absolute counts, as `likes:<post id>`."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._client = Redis.from_url(url)

    def write(self, batch: SinkBatch) -> None:
        """Write the newest count of each post."""
        newest = {item.key: item.value for item in batch}
        pipe = self._client.pipeline(transaction=False)
        for post_id, likes in newest.items():
            pipe.set(f"likes:{post_id}", likes)
        pipe.execute()


class Likes:
    """A like counts once per user, the newest by (at, event id) wins."""

    def __init__(self) -> None:
        self._has_begun = False

    def __call__(self, raw: bytes, state: Any) -> int | None:
        """The post's count after this event, None when the event changes nothing."""
        if not self._has_begun:
            self._has_begun = True
            marks.write(marks.START, marks.now())
        event: Any = decode(raw)
        row = f"by {event.user_id}"
        before = state.get(row)
        is_liked = event.action == "like"
        after = [event.at, event.event_id, is_liked]
        if before is not None and after[:2] <= before[:2]:
            return None
        state.set(row, after)
        if is_liked == (before is not None and before[2]):
            return None
        likes = int(state.get(COUNT, 0)) + (1 if is_liked else -1)
        state.set(COUNT, likes)
        return likes


def main() -> None:
    """Run until a signal comes."""
    app = Application(
        broker_address=os.environ["KAFKA_BROKERS"],
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=COMMIT_INTERVAL_S,
        state_dir=Path(os.environ["HEADRACE_DATA_DIR"], "quix"),
    )
    topic = app.topic("engagements", key_deserializer="str", value_deserializer="bytes")
    counts = app.dataframe(topic).apply(Likes(), stateful=True)
    counts.filter(lambda likes: likes is not None).sink(RedisSink(os.environ["REDIS_URL"]))
    app.run()


if __name__ == "__main__":
    main()
