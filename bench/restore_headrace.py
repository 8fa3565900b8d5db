"""Headrace's process of the restore: `python -m bench.restore_headrace`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bench import marks
from bench.engagements import PARTITIONS
from bench.likes import LikeFold
from connectors.settings import settings
from schemas.topics import Topic
from streams.engine.app import THREADS
from streams.engine.outbox import Outbox
from streams.engine.restore import Ends, Progress, restore
from streams.engine.state import State


def main() -> None:
    """Restore all partitions beside each other, as an app does when they are assigned."""
    states = [State() for _ in range(PARTITIONS)]
    for state in states:
        LikeFold(state, Outbox(PARTITIONS))
    ends = Ends(settings().kafka_brokers)
    read = [Progress() for _ in states]
    start = marks.now()
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [
            pool.submit(
                restore, ends, Topic.ENGAGEMENTS, partition, states[partition], read[partition]
            )
            for partition in range(PARTITIONS)
        ]:
            done.result()
    end = marks.now()
    ends.close()
    rows = sum(progress.rows for progress in read)
    reactions = sum(state.sizes()["react"] for state in states)
    marks.write(
        marks.RESTORED,
        marks.Restored(end.at - start.at, end.cpu - start.cpu, rows, reactions),
    )


if __name__ == "__main__":
    main()
