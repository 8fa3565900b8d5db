"""The campaign of bad input: what is published, and how its dead letters are judged."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import islice

import pytest

from headrace.campaign.mutations import KINDS, Mutated, mutations
from headrace.campaign.run import CampaignOutcome, judge_letters
from headrace.chaos.letters import Place
from schemas.codec import UndecodableError
from schemas.topics import EXTERNAL
from schemas.validation import RejectedError
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.intake import IntakeFold
from tests.oracle.events import collect
from tests.oracle.expected import Expected
from tests.property.pipeline import STAGES
from tests.unit.folds import NOW, record

PEOPLE = [f"user{number}" for number in range(30)]
COUNT = 6_000


@cache
def some(seed: int = 1) -> tuple[Mutated, ...]:
    return tuple(islice(mutations(PEOPLE, seed, lambda: NOW), COUNT))


def test_the_same_seed_gives_the_same() -> None:
    first = some()
    some.cache_clear()
    assert some() == first
    assert some(2) != first


def test_there_is_as_much_of_every_kind() -> None:
    counts = Counter(each.kind for each in some())
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {each.topic for each in some()} == set(map(str, EXTERNAL))


def test_most_is_bad_and_much_is_not() -> None:
    rejected = collect((each.topic, 0, n, NOW, each.value) for n, each in enumerate(some()))
    assert 0.3 < len(rejected.rejected) / COUNT < 0.8
    assert set(rejected.rejected.values()) == {
        *("not_avro", "not_decodable", "unknown_schema", "wrong_topic", "missing_field"),
        "unknown_field",
        *("id_too_long", "id_invalid", "at_too_old", "at_in_future", "too_large"),
    }


def test_the_intake_gives_the_reasons_of_the_oracle() -> None:
    folds = {topic: STAGES[topic](State(), Outbox(1)) for topic in EXTERNAL}
    found = collect((each.topic, 0, n, NOW, each.value) for n, each in enumerate(some()))
    for number, each in enumerate(some()):
        fold = folds[each.topic]
        assert isinstance(fold, IntakeFold)
        code = None
        try:
            fold.apply(record(each.value, topic=each.topic, offset=number, timestamp=NOW))
        except (UndecodableError, RejectedError) as error:
            code = error.code
        place = each.topic, 0, number
        assert code in found.reasons.get(place, {found.rejected.get(place)}), each


@pytest.mark.parametrize(
    ("wanted", "found", "misjudged"),
    [
        ({}, {}, 0),
        ({1: "not_avro"}, {1: ["not_avro"]}, 0),
        ({1: "not_avro"}, {1: ["too_large"]}, 1),
        ({1: "not_avro"}, {}, 1),
        ({1: "not_avro"}, {1: ["not_avro", "not_avro"]}, 1),
        ({}, {1: ["not_avro"]}, 1),
    ],
)
def test_every_letter_must_be_there_once_for_its_reason(
    wanted: dict[int, str], found: dict[int, list[str]], misjudged: int
) -> None:
    def place(offset: int) -> Place:
        return "posts", 0, offset

    outcome, expected = CampaignOutcome(seed=1), Expected.__new__(Expected)
    expected.reasons = {}
    expected.rejected = {place(offset): code for offset, code in wanted.items()}
    judge_letters(outcome, expected, {place(offset): codes for offset, codes in found.items()})
    assert outcome.misjudged == misjudged
    assert bool(outcome.examples) is bool(misjudged)


def test_of_several_things_that_are_wrong_any_is_a_right_reason() -> None:
    outcome, expected = CampaignOutcome(seed=1), Expected.__new__(Expected)
    places: list[Place] = [("posts", 0, offset) for offset in range(3)]
    expected.rejected = dict.fromkeys(places, "id_invalid")
    expected.reasons = {place: {"id_invalid", "at_too_old"} for place in places}
    codes = ["id_invalid", "at_too_old", "at_in_future"]
    judge_letters(
        outcome, expected, {place: [code] for place, code in zip(places, codes, strict=True)}
    )
    assert outcome.misjudged == 1


def test_a_campaign_that_compared_nothing_is_not_right() -> None:
    assert CampaignOutcome(seed=1).wrong == ["nothing was compared", *["nothing was counted"] * 2]
