"""`headrace dead-letters`: lists, shows, publishes again and drops, each letter once."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, KafkaException

from connectors.settings import settings
from headrace.commands.dead_letters import dead_letters
from headrace.dead_letters import handler
from headrace.dead_letters.handler import Act, Handler
from headrace.dead_letters.log import Found, LettersError
from headrace.dead_letters.verdict import BY_KEY
from schemas.codec import encode
from schemas.events import Follow, Post
from schemas.partitioning import partition_of
from streams.engine.outbox import Output
from streams.engine.records import Tags, tags_header
from streams.facts import Touched, encode_fact
from tests.unit.folds import NOW
from tests.unit.letters_fakes import Kafka
from tests.unit.test_dead_letters_log import letter

POST = encode(Post(event_id="e", action="created", post_id="p", author_id="ann", at=NOW))
FOLLOW = encode(Follow(event_id="e", action="follow", user_id="bob", target="u:ann", at=NOW))
SELF = encode(Follow(event_id="e", action="follow", user_id="bob", target="u:bob", at=NOW))


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


def ran(*arguments: str, says: str | None = None) -> Result:
    result = CliRunner().invoke(dead_letters, list(arguments), input=says)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def said(*arguments: str, code: int = 0) -> list[str]:
    result = ran(*arguments)
    assert result.exit_code == code, result.output
    return result.output.splitlines()


@pytest.fixture
def some(kafka: Kafka) -> Kafka:
    """Three events that would be taken by now, and three records that would not."""
    kafka.add(letter(raw=POST, code="at_in_future"), NOW)
    kafka.add(letter(offset=18, raw=POST, code="at_in_future"), NOW + 3_000)
    kafka.add(letter(offset=19, raw=b"x"), NOW + 1_000)
    follow = {"topic": "follows", "partition": 1, "stage": "headrace-app/follows"}
    kafka.add(letter(**follow, offset=5, raw=SELF, code="self_relation"), NOW + 2_000)
    kafka.add(letter(**follow, offset=6, raw=FOLLOW, code="at_in_future"), NOW + 4_000)
    fact = encode_fact(Touched("bob", "p"))
    kafka.add(letter(topic="by-user", partition=0, raw=fact, code="fold_failed"), NOW + 500)
    return kafka


def test_the_list_has_the_newest_first_and_counts_by_reason(some: Kafka) -> None:
    some.mark(1, 1, letter(topic="follows", partition=1, offset=6), "replayed")
    lines = said("list", "--limit", "3")
    assert [line.split()[:5] for line in lines[:4]] == [
        ["letter", "written", "record", "code", "handled"],
        ["1-1", "2023-11-14T22:13:24Z", "follows-1-6", "at_in_future", "replayed"],
        ["2-1", "2023-11-14T22:13:23Z", "posts-2-18", "at_in_future", "-"],
        ["1-0", "2023-11-14T22:13:22Z", "follows-1-5", "self_relation", "-"],
    ]
    assert sorted(lines[4:-1]) == [
        "at_in_future: 3, open 2",
        "fold_failed: 1, open 1",
        "not_avro: 1, open 1",
        "self_relation: 1, open 1",
    ]
    assert lines[-1] == "6 letters, open 5"
    assert len(said("list")) == 1 + 6 + 5


def test_the_list_as_json_is_one_object_a_line(some: Kafka) -> None:
    some.mark(0, 0, letter(topic="by-user", partition=0))
    rows = [msgspec.json.decode(line) for line in said("list", "--json", "--oldest")]
    assert [row["place"] for row in rows] == ["2-0", "0-0", "2-2", "1-0", "2-1", "1-1"]
    assert rows[1] == {
        "place": "0-0",
        "written_at": "2023-11-14T22:13:20Z",
        "topic": "by-user",
        "partition": 0,
        "offset": 17,
        "code": "fold_failed",
        "message": "no",
        "stage": "headrace-app/posts",
        "key": "k",
        "bytes": len(encode_fact(Touched("bob", "p"))),
        "handled": "dropped",
        "handled_at": "2023-11-14T22:13:20Z",
    }
    counts = [msgspec.json.decode(line) for line in said("list", "--json", "--counts")]
    assert counts[0] == {"code": "at_in_future", "letters": 3, "open": 3}
    assert {"code": "fold_failed", "letters": 1, "open": 0} in counts


@pytest.mark.parametrize(
    ("options", "places"),
    [
        (["--topic", "follows"], ["1-1", "1-0"]),
        (["--topic", "follows", "--topic", "by-user"], ["1-1", "1-0", "0-0"]),
        (["--code", "not_avro"], ["2-2"]),
        (["--stage", "headrace-app/follows"], ["1-1", "1-0"]),
        (["--key", "other"], []),
        (["--open", "--code", "at_in_future"], ["1-1", "2-0"]),
        (["--since", "2023-11-14T22:13:23Z"], ["1-1", "2-1"]),
        (["--until", "2023-11-14T22:13:20Z"], ["2-0"]),
        (["--since", "1h"], []),
    ],
)
def test_the_list_is_filtered(some: Kafka, options: list[str], places: list[str]) -> None:
    some.mark(2, 1, letter(offset=18))
    rows = [msgspec.json.decode(line)["place"] for line in said("list", "--json", *options)]
    assert rows == places


def test_an_empty_list_says_so(kafka: Kafka) -> None:
    assert said("list")[-1] == "0 letters, open 0"
    assert said("list", "--json") == []
    assert kafka.owner is None, "reading fences nobody"


def test_rubbish_in_the_topic_is_told(some: Kafka) -> None:
    some.logs["dead-letters", 3].append((None, b"rubbish", NOW))
    assert "1 records there are no dead letters" in said("list")


@pytest.mark.usefixtures("some")
def test_show() -> None:
    by_place, by_record = said("show", "2-0"), said("show", "posts-2-17")
    assert by_place == by_record
    assert by_place[0] == "letter     2-0, written 2023-11-14T22:13:20Z"
    assert "now        would be taken: topic posts, key 'p'" in by_place
    assert any("self_relation: follow of oneself" in line for line in said("show", "1-0"))
    missing = ran("show", "3-0")
    assert missing.exit_code == 1
    assert missing.output.startswith("Error: there is no dead letter at 3-0.")


def test_a_letter_is_published_again_once(some: Kafka) -> None:
    assert said("replay", "posts-2-17") == ["to replay: 1 (posts 1)", "done: 1 of 1"]
    assert some.published("posts") == [(b"p", POST)]
    assert some.marks() == {"2-0": ("replayed", "posts", 2, 17)}
    assert some.transactions == [["posts", "dead-letters.handled"]]
    assert said("replay", "2-0") == ["to replay: 0", "handled before: 1"]
    assert said("drop", "2-0") == ["to drop: 0", "handled before: 1"]
    assert len(some.published("posts")) == 1
    assert some.marks() == {"2-0": ("replayed", "posts", 2, 17)}


def test_an_event_of_a_log_is_written_there(kafka: Kafka) -> None:
    post = encode(
        Post(event_id="e", action="created", post_id="p", author_id="ann", at=NOW, content="#x")
    )
    at = partition_of("p", settings().partitions)
    refused = {"topic": "by-post", "raw": post, "code": "fold_failed"}
    kafka.add(letter(**refused, partition=at))
    kafka.add(letter(**refused, partition=at + 1))
    lines = said("replay", "--all", code=1)
    assert lines[0] == "to replay: 1 (by-post 1)"
    assert lines[1].startswith(f"left: {at + 1}-0 (by-post-{at + 1}-17) is not to be replayed")
    assert kafka.logs["by-post", at] == [(b"p", post, NOW), None]
    assert kafka.headers == [tags_header(Tags(("x",)))]
    assert kafka.published("posts") == []


def test_what_would_be_refused_again_is_left(some: Kafka) -> None:
    lines = said("replay", "--all", "--yes", code=1)
    assert lines[0] == "to replay: 3 (posts 2, follows 1)"
    assert sorted(line.partition(" is not")[0] for line in lines[1:4]) == [
        "left: 0-0 (by-user-0-17)",
        "left: 1-0 (follows-1-5)",
        "left: 2-2 (posts-2-19)",
    ]
    assert lines[4:] == ["done: 3 of 3"]
    assert some.published("posts") == [(b"p", POST)] * 2
    assert some.published("follows") == [(b"bob", FOLLOW)]
    assert some.published("by-user") == []
    assert some.marks().keys() == {"1-1", "2-0", "2-1"}


def test_many_that_are_left_for_one_reason_are_one_line(kafka: Kafka) -> None:
    for offset in range(50):
        kafka.add(letter(offset=offset))
    (nothing, line) = said("replay", "--all", code=1)
    assert nothing == "to replay: 0"
    assert line.startswith("left: 2-0 (posts-2-0) is not to be replayed, not_avro: ")
    assert line.endswith(", and 49 more like it")


def test_letters_are_dropped_whatever_they_are(some: Kafka) -> None:
    assert said("drop", "--topic", "by-user", "--code", "fold_failed") == [
        "to drop: 1",
        "done: 1 of 1",
    ]
    assert some.marks() == {"0-0": ("dropped", "by-user", 0, 17)}
    assert said("drop", "1-0", "2-2", "--yes") == ["to drop: 2", "done: 2 of 2"]
    assert some.marks().keys() == {"0-0", "1-0", "2-2"}
    assert said("list", "--counts")[-1] == "6 letters, open 3"
    assert not any(map(some.published, ("posts", "follows", "by-user")))


@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_a_dry_run_does_nothing(some: Kafka, verb: str) -> None:
    lines = said(verb, "--code", "at_in_future", "--dry-run")
    assert lines == [f"to {verb}: 3" + (" (posts 2, follows 1)" if verb == "replay" else "")]
    assert (some.owner, some.marks(), some.published("posts")) == (None, {}, [])


@pytest.mark.parametrize(("says", "is_done"), [("y\n", True), ("n\n", False), ("", False)])
def test_more_than_one_letter_is_asked_about(some: Kafka, says: str, is_done: bool) -> None:
    result = ran("replay", "--topic", "posts", "--code", "at_in_future", says=says)
    assert "Replay 2 letters?" in result.output
    assert (result.exit_code == 0) == is_done
    assert len(some.published("posts")) == 2 * is_done
    assert (some.owner is not None) == is_done


def test_what_to_handle_must_be_said(some: Kafka) -> None:
    for verb in ("replay", "drop"):
        result = ran(verb, "--yes")
        assert result.exit_code == 2
        assert f"say what to {verb}: places, filters, or --all" in result.output
    assert some.marks() == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "17"],
        ["replay", "posts"],
        ["list", "--since", "yesterday"],
        ["list", "--topic", "nowhere"],
        ["list", "--code", "bad"],
        ["list", "--limit", "10001"],
    ],
)
def test_what_cannot_be_meant_is_refused(kafka: Kafka, arguments: list[str]) -> None:
    assert ran(*arguments).exit_code == 2
    assert not kafka.marks()


def test_what_another_has_handled_meanwhile_is_not_done(
    some: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks are read once nobody else can write them."""
    make = handler.transactional_producer

    def make_late(*arguments: Any) -> Any:
        some.mark(2, 0, letter(), "replayed")
        some.add(letter(offset=20, raw=POST, code="at_in_future"), NOW + 9_000)
        return make(*arguments)

    monkeypatch.setattr(handler, "transactional_producer", make_late)
    assert said("replay", "--topic", "posts", "--code", "at_in_future", "--yes") == [
        "to replay: 2 (posts 2)",
        "done: 1 of 2",
        "handled meanwhile, by another: 1",
    ]
    assert some.marks().keys() == {"2-0", "2-1"}, "nor what was not there when it was counted"
    assert some.published("posts") == [(b"p", POST)]


def acts(*letters: Any) -> list[Act]:
    again = [Output("posts", BY_KEY, b"p", each.raw) for each in letters]
    return [Act(Found(2, at, NOW, each, None), again[at]) for at, each in enumerate(letters)]


def test_a_commit_that_fails_publishes_nothing_and_marks_nothing(some: Kafka) -> None:
    fault = KafkaError(KafkaError._TIMED_OUT, "too late")
    some.faults.append(KafkaException(fault))
    result = ran("replay", "2-0")
    assert result.exit_code == 1
    assert "Error: dead letters cannot be handled by Kafka at kafka:1: too late.\n" in result.output
    assert "hint: is it up" in result.output
    assert (some.published("posts"), some.marks()) == ([], {})
    assert some.owner is not None
    assert some.owner.aborted == 1
    assert said("replay", "2-0")[-1] == "done: 1 of 1"
    assert len(some.published("posts")) == 1


def test_who_is_taken_over_handles_nothing_more(some: Kafka) -> None:
    first, second = Handler("kafka:1"), Handler("kafka:1")
    with pytest.raises(LettersError, match="another has begun to handle dead letters since"):
        list(first.handle(acts(letter(raw=POST))))
    assert (some.published("posts"), some.marks()) == ([], {})
    list(second.handle(acts(letter(raw=POST))))
    assert len(some.published("posts")) == 1


def test_a_kafka_that_refuses_a_transaction_says_what_to_do(
    some: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no coordinator"))

    monkeypatch.setattr(handler, "transactional_producer", refuse)
    result = ran("replay", "2-0")
    assert result.exit_code == 1
    assert "Kafka at kafka:1: no coordinator.\nhint: is it up" in result.output
    assert some.marks() == {}


def test_transactions_are_small(some: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads these topics waits for them."""
    monkeypatch.setattr(handler, "MAX_LETTERS", 3)
    monkeypatch.setattr(handler, "MAX_BYTES", 2_000)
    large, small = letter(raw=b"x" * 1_500), letter(raw=b"x")
    done = Handler("kafka:1").handle(acts(small, small, small, small, large, large, large))
    assert [len(each) for each in done] == [3, 3, 1]
    assert len(some.published("posts")) == 7


def test_the_time_of_now_judges(kafka: Kafka) -> None:
    ahead = time.time_ns() // 1_000_000 + 3_600_000
    early = Post(event_id="e", action="created", post_id="p", author_id="ann", at=ahead)
    kafka.add(letter(raw=encode(early), code="at_in_future"))
    assert said("replay", "2-0", code=1)[1].startswith("left: 2-0 (posts-2-17) is not to be")
    assert kafka.published("posts") == []
