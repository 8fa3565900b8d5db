"""How letters are found: where they stand, what was done with them, and which are meant."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from headrace.dead_letters import log
from headrace.dead_letters.choice import Filter, Place, chosen, place_of
from headrace.dead_letters.log import LettersError, open_letters
from schemas.dead_letters import DeadLetter
from tests.unit.folds import NOW
from tests.unit.letters_fakes import Kafka, Message

HOUR_MS = 3_600_000


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


def letter(**changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "topic": "posts",
        "partition": 2,
        "offset": 17,
        "key": b"k",
        "raw": b"x",
        "code": "not_avro",
        "message": "no",
        "stage": "headrace-app/posts",
        "at": NOW,
    }
    return DeadLetter(**{**fields, **changes})


def places(wanted: Filter | None = None, *named: str) -> list[str]:
    with open_letters("kafka:1") as letters:
        asked = [place for text in named if (place := place_of(text))]
        return [found.place for found in chosen(letters, asked, wanted or Filter())]


def test_letters_come_with_what_was_done_with_them(kafka: Kafka) -> None:
    one, other, third = letter(), letter(offset=18), letter(offset=19)
    for each in (one, other, third, letter(partition=0)):
        kafka.add(each, NOW + 5)
    kafka.mark(2, 1, other, "replayed")
    kafka.mark(2, 2, letter(offset=20))
    with open_letters("kafka:1") as letters:
        found = list(letters.read(2))
    assert [each.letter for each in found] == [one, other, third]
    assert [each.handled and each.handled.what for each in found] == [None, "replayed", None], (
        "what was done with another record counts for none that stands there now"
    )
    assert (found[0].place, found[0].record, found[0].written_at) == ("2-0", "posts-2-17", NOW + 5)


def test_what_is_no_letter_is_passed_over_and_counted(kafka: Kafka) -> None:
    kafka.logs["dead-letters", 2] += [(None, b"rubbish", NOW), None]
    kafka.add(letter())
    with open_letters("kafka:1") as letters:
        assert [each.place for each in letters.read(2)] == ["2-2"]
        assert letters.strangers == 1


def test_what_is_written_later_is_not_seen(kafka: Kafka) -> None:
    kafka.add(letter())
    with open_letters("kafka:1") as letters:
        kafka.add(letter(offset=18))
        assert [each.place for each in letters.read(2)] == ["2-0"]
    with open_letters("kafka:1", letters.ends) as again:
        assert [each.place for each in again.read(2)] == ["2-0"]
    assert places() == ["2-0", "2-1"]


def test_records_of_the_partition_before_are_not_taken_for_this_one(kafka: Kafka) -> None:
    kafka.add(letter())
    kafka.stale = [Message(("dead-letters", 1), 9, (None, b"rubbish", NOW))]
    with open_letters("kafka:1") as letters:
        assert [each.place for each in letters.read(2)] == ["2-0"]
        assert letters.strangers == 0


def test_an_end_below_the_one_that_was_told_is_none(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a leader shows it that was elected a moment ago; then nothing comes, and that is told."""
    monkeypatch.setattr(log, "SILENCE_S", 0.0)
    kafka.add(letter())
    with open_letters("kafka:1") as letters:
        letters.ends[2] = 5
        with pytest.raises(LettersError, match="nothing of dead-letters/2"):
            list(letters.read(2))


def test_what_kafka_says_against_it_is_told(kafka: Kafka) -> None:
    kafka.add(letter())
    said = KafkaError(KafkaError._ALL_BROKERS_DOWN, "all are down")
    kafka.stale = [Message(("dead-letters", 2), 0, said=said)]
    with pytest.raises(LettersError, match="Kafka at kafka:1 cannot be read: all are down"):
        places()
    with pytest.raises(LettersError, match="hint: is it up"), open_letters("kafka:1"):
        raise KafkaException(said)


def test_a_kafka_that_was_made_before_says_what_to_do(kafka: Kafka) -> None:
    for partition in range(4):
        del kafka.logs["dead-letters.handled", partition]
    with pytest.raises(LettersError, match=r"no topic dead-letters.handled.\nhint: .*work"):
        places()


def test_a_kafka_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "REQUEST_S", 0.2)
    with (
        pytest.raises(LettersError, match=r"Kafka at 127.0.0.1:1 cannot be read: .*\nhint: is it"),
        open_letters("127.0.0.1:1"),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("3-17", Place(None, 3, 17)),
        ("dead-letters-3-17", Place(None, 3, 17)),
        ("posts-3-17", Place("posts", 3, 17)),
        ("by-post-0-5", Place("by-post", 0, 5)),
        ("view.comment-counts-7-123456", Place("view.comment-counts", 7, 123456)),
        ("17", None),
        ("posts-17", None),
        ("-3-17", None),
        ("3--17", None),
        ("3-17 ", None),
    ],
)
def test_places_as_they_are_written(text: str, place: Place | None) -> None:
    assert place_of(text) == place


def test_a_letter_is_named_by_its_own_place_or_by_its_record(kafka: Kafka) -> None:
    kafka.add(letter(offset=0))
    kafka.add(letter(offset=1, stage="headrace-views/x"))
    kafka.add(letter(offset=1, stage="headrace-archive/x"))
    kafka.add(letter(topic="users", partition=3, offset=1))
    assert places(None, "2-0") == ["2-0"]
    assert places(None, "posts-2-1") == ["2-1", "2-2"], "each reader has written one"
    assert places(None, "3-0", "posts-2-0") == ["2-0", "3-0"]
    assert places(Filter(stage="headrace-views"), "posts-2-1") == ["2-1"]


def test_of_a_letter_at_its_own_place_no_others_are_read(kafka: Kafka) -> None:
    kafka.logs["dead-letters", 2] += [(None, b"rubbish", NOW), None]
    for offset in range(3):
        kafka.add(letter(offset=offset))
    kafka.logs["dead-letters", 2] += [None, (None, b"rubbish", NOW)]
    with open_letters("kafka:1") as letters:
        own = [Place(None, 2, 2), Place(None, 2, 4)]
        assert [found.place for found in chosen(letters, own, Filter())] == ["2-2", "2-4"]
        assert letters.strangers == 0
        of_records = [*own, Place("posts", 2, 1)]
        assert len(list(chosen(letters, of_records, Filter()))) == 3
        assert letters.strangers == 2


@pytest.mark.parametrize("text", ["2-1", "posts-2-0", "users-2-17", "9-0"])
def test_a_place_without_a_letter_is_an_error(kafka: Kafka, text: str) -> None:
    kafka.add(letter())
    with pytest.raises(LettersError, match=rf"no dead letter at {text}\.\nhint: "):
        places(None, "2-0", text)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(Filter(), ["0-0", "2-0", "2-1", "2-2"], id="all"),
        pytest.param(Filter(topics=("users", "follows")), ["0-0"], id="topic"),
        pytest.param(Filter(codes=("too_large", "fold_failed")), ["2-1", "2-2"], id="code"),
        pytest.param(Filter(stage="headrace-app"), ["0-0", "2-0", "2-2"], id="reader"),
        pytest.param(Filter(stage="headrace-app/users"), ["0-0"], id="reader of a topic"),
        pytest.param(Filter(stage="headrace"), [], id="part of a reader's name"),
        pytest.param(Filter(key=b"k"), ["2-0", "2-1"], id="key"),
        pytest.param(Filter(since=NOW + HOUR_MS), ["2-1", "2-2"], id="since"),
        pytest.param(Filter(since=NOW + 9 * HOUR_MS), [], id="since the future"),
        pytest.param(Filter(until=NOW + HOUR_MS), ["0-0", "2-0", "2-1"], id="until"),
        pytest.param(Filter(is_open=True), ["0-0", "2-0", "2-2"], id="open"),
        pytest.param(Filter(codes=("too_large",), key=b"k"), ["2-1"], id="all of these"),
    ],
)
def test_filters(kafka: Kafka, wanted: Filter, found: list[str]) -> None:
    kafka.add(letter(topic="users", partition=0, stage="headrace-app/users", key=None))
    kafka.add(letter())
    second = letter(offset=18, code="too_large", stage="headrace-views/view.posts")
    kafka.add(second, NOW + HOUR_MS)
    kafka.add(letter(offset=19, code="fold_failed", key=b"l"), NOW + 2 * HOUR_MS)
    kafka.mark(2, 1, second)
    assert places(wanted) == found
