"""Kafka's topics read as one log, and an experiment that is reported from them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from api.writes import KafkaWriter
from connectors import merged_log
from connectors.merged_log import MergedLogError, read_merged
from connectors.publisher import publish
from schemas.codec import decode
from schemas.events import Engagement, Feedback
from schemas.exposures import Exposure

COMMAND = [sys.executable, "-c", "from headrace.cli import main; main()"]
TOPICS = ["engagements", "feedback"]


def now() -> int:
    return time.time_ns() // 1_000_000


def test_all_is_read_once_by_time_though_partitions_are_paused(
    kafka_brokers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_log, "FETCHED", 20)
    monkeypatch.setattr(merged_log, "MOST_AHEAD", 80)
    name, start = uuid4().hex, now()
    liked = [
        Engagement(event_id=f"{name}{n}", action="like", user_id="u", post_id=f"p{n}", at=now())
        for n in range(5_000)
    ]
    publish(kafka_brokers, liked)
    time.sleep(0.01)
    middle = now()
    said = [
        Feedback(event_id=f"{name}f{n}", action="interested", user_id="u", subject="t:x", at=now())
        for n in range(10)
    ]
    publish(kafka_brokers, said)
    records = [
        record
        for record in read_merged(kafka_brokers, TOPICS, start)
        if decode(record.value).event_id.startswith(name)
    ]
    found = [decode(record.value).event_id for record in records]
    assert sorted(found) == sorted(event.event_id for event in (*liked, *said))
    assert found[-10:] == [event.event_id for event in said]
    assert all(before.at <= after.at for before, after in pairwise(records))
    before = [decode(r.value).event_id for r in read_merged(kafka_brokers, TOPICS, start, middle)]
    assert sorted(each for each in before if each.startswith(name)) == sorted(found[:-10])


def test_a_topic_that_is_not_there_is_told(kafka_brokers: str) -> None:
    with pytest.raises(MergedLogError, match="no topic nothing"):
        list(read_merged(kafka_brokers, ["nothing"]))


def test_exposures_of_the_api_are_reported(kafka_brokers: str, tmp_path: Path) -> None:
    name = f"x-{uuid4().hex}"
    weights = tmp_path / "weights.toml"
    weights.write_text(
        f'[[experiments]]\nname = "{name}"\n'
        'variants = [{name = "a", share = 0.5}, {name = "b", share = 0.5}]\n'
    )
    exposures = [
        Exposure(
            event_id=f"{name}{n}",
            user_id=f"{name}{n}",
            experiment=name,
            variant="ab"[n % 2],
            at=now(),
        )
        for n in range(100)
    ]

    async def expose() -> None:
        writer = KafkaWriter(kafka_brokers)
        try:
            await writer.publish(exposures)
        finally:
            await writer.close()

    asyncio.run(expose())
    time.sleep(0.01)
    publish(
        kafka_brokers,
        [
            Engagement(
                event_id=f"{name}{n}", action="like", user_id=f"{name}{n}", post_id="p", at=now()
            )
            for n in range(1, 100, 4)
        ],
    )
    time.sleep(0.01)
    found = subprocess.run(
        [*COMMAND, "experiment", "report", name, "--json", "-"],
        env={**os.environ, "KAFKA_BROKERS": kafka_brokers, "HEADRACE_RANKING": str(weights)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    report = json.loads(found.stdout)
    assert [(each["name"], each["users"]) for each in report["variants"]] == [("a", 50), ("b", 50)]
    assert [each["engaged_users"]["value"] for each in report["variants"]] == [0, 0.5]
