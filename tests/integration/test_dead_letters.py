"""A bad record of each kind goes to the dead letters with its reason; the partition moves on. What
would be taken by now is published again, once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from connectors.lag import wait_until_quiet
from connectors.stack.addresses import Addresses
from headrace.commands.dead_letters import dead_letters as command
from headrace.dead_letters.choice import Filter, chosen
from headrace.dead_letters.handler import Act, Handler
from headrace.dead_letters.log import LettersError, open_letters
from headrace.supervisor import Supervisor
from schemas.codec import encode
from schemas.dead_letters import DeadLetter
from schemas.events import Engagement, Follow, Post
from schemas.topics import Topic
from schemas.validation import MAX_AHEAD_MS
from schemas.views import CountersView
from tests.oracle.read_log import read_topics

PARTITION = 3
HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def post(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "event_id": "dl:e",
        "action": "created",
        "post_id": "dl:p",
        "author_id": "dl:author",
        "at": now_ms(),
    }
    return encode(Post(**{**fields, **changes}))  # type: ignore[arg-type]


def bad_records() -> dict[str, tuple[Topic, bytes]]:
    """What to publish, by a name whose first part is the code that must come of it."""
    good = post()
    follow = Follow(event_id="dl:f", action="follow", user_id="dl:u", target="u:dl:u", at=now_ms())
    nobody = Engagement(event_id="dl:x", action="like", user_id="dl:u", at=now_ms())
    return {
        "not_avro/text": (Topic.POSTS, b'{"post_id": "p1"}'),
        "not_avro/empty": (Topic.POSTS, b""),
        "unknown_schema/": (Topic.POSTS, b"\0" + (9_999).to_bytes(4, "big") + good[5:]),
        "wrong_topic/": (Topic.ENGAGEMENTS, good),
        "not_decodable/cut": (Topic.POSTS, good[:-4]),
        "not_decodable/more": (Topic.POSTS, good + b"\0"),
        "missing_field/author": (Topic.POSTS, post(author_id=None)),
        "missing_field/post": (Topic.ENGAGEMENTS, encode(nobody)),
        "id_too_long/": (Topic.POSTS, post(post_id="p" * 257)),
        "id_invalid/": (Topic.POSTS, post(post_id="p\n1")),
        "at_too_old/": (Topic.POSTS, post(at=1_000)),
        "at_in_future/": (Topic.POSTS, post(at=now_ms() + HOUR_MS)),
        "too_large/": (Topic.POSTS, post(content="x" * 70_000)),
        "self_relation/": (Topic.FOLLOWS, encode(follow)),
    }


@pytest.fixture(scope="module")
def running(addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    logs: Path = tmp_path_factory.mktemp("logs")
    with Supervisor(addresses, ("app", "views", "archive"), log_dir=logs) as supervisor:
        yield supervisor


def dead_letters(brokers: str) -> list[DeadLetter]:
    return [
        msgspec.msgpack.decode(value or b"", type=DeadLetter)
        for *_, value in read_topics(brokers, (Topic.DEAD_LETTERS,))
    ]


def test_each_kind(addresses: Addresses, running: Supervisor) -> None:
    records = bad_records()
    producer = Producer({"bootstrap.servers": addresses.kafka, "acks": "all"})
    placed: dict[tuple[str, int], tuple[str, bytes]] = {}
    for name, (topic, raw) in records.items():
        producer.produce(
            topic,
            raw,
            b"key",
            PARTITION,
            on_delivery=lambda _, message, name=name, raw=raw: placed.__setitem__(
                (message.topic(), message.offset()), (name, raw)
            ),
        )
    like = Engagement(
        event_id="dl:like", action="like", user_id="dl:u", at=now_ms(), post_id="dl:after"
    )
    producer.produce(Topic.ENGAGEMENTS, encode(like), b"key", PARTITION)
    assert producer.flush(30) == 0
    wait_until_quiet(addresses.kafka, 60)
    running.check()

    letters = {(letter.topic, letter.offset): letter for letter in dead_letters(addresses.kafka)}
    assert letters.keys() == placed.keys()
    for place, (name, raw) in placed.items():
        letter = letters[place]
        assert (letter.code, letter.raw or b"") == (name.partition("/")[0], raw), name
        assert letter.message
        assert (letter.key, letter.partition) == (b"key", PARTITION)
        assert letter.stage == f"headrace-app/{letter.topic}"


def reactions(addresses: Addresses, post_id: str) -> dict[str, int]:
    import redis

    from connectors.redis_keys import Keys
    from connectors.settings import settings

    client = redis.Redis.from_url(addresses.redis)
    raw = client.get(Keys(settings().partitions).counters(post_id))
    client.close()
    return {} if raw is None else msgspec.msgpack.decode(raw, type=CountersView).reactions


def test_the_partition_moves_on(addresses: Addresses, running: Supervisor) -> None:
    """The like that stands behind the bad records is counted."""
    running.check()
    assert reactions(addresses, "dl:after") == {"like": 1}


def ran(*arguments: str) -> list[str]:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def place_of(code: str) -> str:
    """Where the open letter with that reason stands that was written last."""
    lines = ran("list", "--json", "--open", "--code", code, "--limit", "1")
    return str(msgspec.json.decode(lines[0])["place"])


def test_what_would_be_taken_by_now_is_published_again_once(
    addresses: Addresses, running: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.addresses.resolve_kafka", lambda: addresses.kafka)
    due = now_ms() + 3_000
    early = Engagement(
        event_id="dl:early",
        action="like",
        user_id="dl:u",
        at=due + MAX_AHEAD_MS,
        post_id="dl:early",
    )
    producer = Producer({"bootstrap.servers": addresses.kafka, "acks": "all"})
    producer.produce(Topic.ENGAGEMENTS, encode(early), b"key", PARTITION)
    assert producer.flush(30) == 0
    wait_until_quiet(addresses.kafka, 60)
    poison, hopeless = place_of("at_in_future"), place_of("self_relation")
    assert "at is " in " ".join(ran("show", poison))
    assert reactions(addresses, "dl:early") == {}

    time.sleep(max(0, due + 100 - now_ms()) / 1000)
    assert ran("replay", poison) == ["to replay: 1 (engagements 1)", "done: 1 of 1"]
    assert ran("drop", hopeless) == ["to drop: 1", "done: 1 of 1"]
    for place in (poison, hopeless):
        assert ran("replay", place) == ["to replay: 0", "handled before: 1"]
    handled = {
        row["place"]: row["handled"] for row in map(msgspec.json.decode, ran("list", "--json"))
    }
    assert (handled[poison], handled[hopeless]) == ("replayed", "dropped")

    wait_until_quiet(addresses.kafka, 60)
    running.check()
    for topic, times in ((Topic.ENGAGEMENTS, 2), (Topic.BY_POST, 1)):
        values = [value for *_, value in read_topics(addresses.kafka, (topic,))]
        assert values.count(encode(early)) == times, topic
    assert reactions(addresses, "dl:early") == {"like": 1}
    assert not {poison, hopeless} & {
        msgspec.json.decode(line)["place"] for line in ran("list", "--json", "--open")
    }


def test_who_is_taken_over_handles_nothing(addresses: Addresses, running: Supervisor) -> None:
    running.check()
    first, second = Handler(addresses.kafka), Handler(addresses.kafka)
    with open_letters(addresses.kafka) as letters:
        found = next(chosen(letters, (), Filter(codes=("not_avro",))))
    with pytest.raises(LettersError, match="another has begun to handle dead letters"):
        list(first.handle([Act(found, None)]))
    assert [len(each) for each in second.handle([Act(found, None)])] == [1]
