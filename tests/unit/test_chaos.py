"""The schedule of faults, the disturbed load, and what the verdict counts."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from connectors import failpoints
from headrace.chaos import letters as letters_module
from headrace.chaos import verdict
from headrace.chaos.faults import FAULTS
from headrace.chaos.letters import due
from headrace.chaos.load import PLACES, disturbed, sweep
from headrace.chaos.outputs import Outputs
from headrace.chaos.run import ChaosOutcome, Landed
from headrace.chaos.schedule import UNFENCED, Fault, beside, brief, schedule, within
from headrace.chaos.verdict import Once
from headrace.verify.report import Compared, Report
from schemas.dead_letters import DeadLetter


def _names(faults: list[Fault]) -> list[tuple[str, str, str]]:
    return sorted((fault.kind, fault.target, fault.point) for fault in faults)


def _first(count: int, seed: int, state: str = "rocksdb") -> list[Fault]:
    return list(islice(schedule(seed, state), count))


def test_the_seed_decides_the_faults() -> None:
    assert _first(90, 7) == _first(90, 7)
    assert _first(90, 7) != _first(90, 8)
    assert brief(7) == brief(7)


def test_a_round_is_every_fault_once() -> None:
    names = _names([*brief(7), UNFENCED])
    round_length = len(names)
    faults = _first(2 * round_length, 7)
    assert _names(faults[:round_length]) == names
    assert _names(faults[round_length:]) == names
    assert faults[:round_length] != faults[round_length:]


def test_faults_begin_within_the_time() -> None:
    times = iter([100.0, 150.0, 159.9, 160.0])
    found = list(within(schedule(3), 60.0, clock=lambda: next(times)))
    assert found == _first(3, 3)
    assert next(times, None) is None


def test_every_kind_and_every_failpoint_is_planned() -> None:
    in_memory = FAULTS.keys() - {"state-deleted", "state-flipped"}
    faults = [*brief(1), UNFENCED]
    assert {fault.kind for fault in _first(len(faults) - 2, 1, "memory")} == in_memory
    assert {fault.kind for fault in _first(len(faults), 1)} == FAULTS.keys()
    assert {fault.kind for fault in faults} == FAULTS.keys()
    assert {fault.point for fault in faults if fault.kind == "kill"} == set(failpoints.OF_WORKERS)
    assert len(set(_names(faults))) == len(faults)


def test_faults_of_different_workers_are_beside_each_other() -> None:
    faults = brief(1)
    lanes, rest = beside(faults)
    assert [{fault.worker for fault in lane} for lane in lanes] == [{"app"}, {"views"}, {"archive"}]
    assert sorted(map(str, [*chain(*lanes), *rest])) == sorted(map(str, faults))
    assert {fault.kind for fault in rest} == {
        *("kafka-kill", "kafka-kill-at-commit", "kafka-stall", "lost-answer"),
        *("kill", "poison", "poison-inside"),
    }
    stores = {fault.kind for lane in lanes[1:] for fault in lane if "-" in fault.kind}
    assert stores == {
        *("redis-kill", "redis-empty", "redis-flush", "redis-stall"),
        *("cassandra-kill", "cassandra-stall", "join-and-leave"),
    }
    assert [fault.order for fault in rest if fault.kind == "kill"] == ["mid-sink:1"]


def test_an_order_names_point_topic_and_pass() -> None:
    kill = Fault(kind="kill", target="app", point="before-commit", passes=3)
    assert failpoints.parse(kill.order)[:3] == ("before-commit", "", 3)
    of_posts = replace(kill, topic="by-post")
    assert failpoints.parse(of_posts.order)[:3] == ("before-commit", "by-post", 3)
    assert str(of_posts) == "kill app before-commit@by-post:3"
    assert Fault(kind="poison").order == ""


def test_a_disturbed_load_has_every_event_once_or_twice_and_not_far_away() -> None:
    events: list[Any] = list(range(2_000))
    sent = list(disturbed(events, Random(1)))
    times = Counter(sent)
    assert times.keys() == set(events)
    assert set(times.values()) == {1, 2}
    twice = sum(count - 1 for count in times.values())
    assert 120 < twice < 280
    assert sent == list(disturbed(events, Random(1)))
    late = [event for place, event in enumerate(dict.fromkeys(sent)) if event < place]
    assert len(late) > 100
    assert all(abs(place - event) <= PLACES * 2 for place, event in enumerate(dict.fromkeys(sent)))


def test_a_sweep_leaves_what_it_follows() -> None:
    events = list(sweep(3, 1))
    assert [event.action for event in events] == ["follow"] * 3 + ["unfollow"] * 3
    assert len({event.user_id for event in events}) == 1
    assert {event.target for event in events[:3]} == {event.target for event in events[3:]}
    assert events[0].at < events[3].at
    assert len({event.event_id for event in events}) == 6


def _letter(offset: int, group: str = "headrace-app") -> bytes:
    letter = DeadLetter(
        topic="posts",
        partition=0,
        offset=offset,
        key=None,
        raw=b"",
        code="not_avro",
        message="",
        stage=f"{group}/posts",
        at=0,
    )
    return msgspec.msgpack.encode(letter)


@pytest.mark.parametrize(
    ("external", "internal", "letters", "wanted"),
    [
        pytest.param([b"\0a", b"\0b"], [b"\0b", b"\0a"], [], (0, 0, 0), id="all"),
        pytest.param([b"\0a", b"\0b"], [b"\0b"], [], (1, 0, 0), id="lost"),
        pytest.param([b"\0a"], [b"\0a", b"\0a"], [], (0, 1, 0), id="doubled"),
        pytest.param([b"\0a", b"\0b"], [b"\0a", b"\0a"], [], (1, 1, 0), id="both"),
        pytest.param([b"\0a", b"\0a"], [b"\0a", b"\0a"], [], (0, 0, 0), id="sent twice"),
        pytest.param([b"\0a"], [b"\0a", b"\x95fact", None], [], (0, 0, 0), id="facts"),
        pytest.param([b"\0a", b"bad"], [b"\0a"], [1], (0, 0, 0), id="refused"),
        pytest.param([b"\0a", b"bad"], [b"\0a"], [1, 1], (0, 0, 1), id="refused twice"),
    ],
)
def test_what_is_lost_and_what_is_doubled_is_counted(
    monkeypatch: pytest.MonkeyPatch,
    external: list[bytes],
    internal: list[bytes | None],
    letters: list[int],
    wanted: tuple[int, int, int],
) -> None:
    topics: dict[str, list[bytes | None]] = {
        "posts": [*external],
        "by-post": internal,
        "dead-letters": [_letter(offset) for offset in letters],
    }

    def read(_brokers: str, names: tuple[str, ...]) -> Any:
        return [(n, 0, at, 0, v) for n in names for at, v in enumerate(topics.get(n, ()))]

    class Expected:
        rejected = dict.fromkeys((("posts", 0, offset) for offset in letters), "not_avro")

    monkeypatch.setattr(verdict, "read_topics", read)
    monkeypatch.setattr(letters_module, "read_topics", read)
    found = verdict.count("", Expected())  # type: ignore[arg-type]
    assert (found.lost, found.doubled, found.dead_letters_doubled) == wanted
    assert found.is_right == (wanted == (0, 0, 0))
    assert found.external == len(external) - len(set(letters))


def test_a_record_has_a_letter_of_each_group_that_reads_it() -> None:
    places = [("posts", 1, 2), ("view.mine", 0, 3), ("view.comments", 0, 4)]
    assert due(places) == {
        ("headrace-app", places[0]),
        ("headrace-views", places[1]),
        ("headrace-archive", places[1]),
        ("headrace-archive", places[2]),
    }


def test_only_a_sink_may_repeat_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    written = [_letter(1), _letter(1), *[_letter(2, "headrace-views")] * 3, _letter(2)]
    records = [("dead-letters", 0, at, 0, value) for at, value in enumerate(written)]
    monkeypatch.setattr(letters_module, "read_topics", lambda *_: records)
    found = letters_module.read("")
    assert found == {
        ("headrace-app", ("posts", 0, 1)): 2,
        ("headrace-views", ("posts", 0, 2)): 3,
        ("headrace-app", ("posts", 0, 2)): 1,
    }
    assert letters_module.doubled(found) == 1


def _outcome(**changes: Any) -> ChaosOutcome:
    views = Report(rows=[Compared("posts", "redis", 10, 0)])
    once = Once(5, 5, 0, 0, 1, 0)
    landed = Landed(Fault(kind="poison"), 1.0, 2.0, {"placed": [("posts", 1, 2)]})
    right = {"seed": 1, "faults": [landed], "views": views, "once": once}
    return ChaosOutcome(**{**right, "outputs": Outputs(9, 0, 0), **changes})


def test_an_outcome_is_right_when_all_of_it_is() -> None:
    assert _outcome().is_right
    for changes, wrong in (
        ({"failure": "a fault did not land"}, "a fault did not land"),
        ({"views": Report()}, "nothing was compared"),
        ({"views": Report(rows=[Compared("posts", "redis", 10, 1)])}, "1 of 10 rows differ"),
        ({"once": None}, "nothing was counted"),
        ({"once": Once(5, 4, 1, 0, 1, 0)}, "1 records lost"),
        ({"once": Once(5, 6, 0, 1, 1, 0)}, "1 records doubled"),
        ({"once": Once(5, 5, 0, 0, 1, 2)}, "2 dead letters doubled"),
        ({"memory_peak": {"app": 769, "api": 256}}, "app took 769 MB, and may take 768"),
        ({"outputs": None}, "nothing was counted"),
        ({"outputs": Outputs(9, 1, 0)}, "1 outputs missing"),
        ({"outputs": Outputs(9, 0, 1)}, "1 outputs too many"),
    ):
        outcome = _outcome(**changes)
        assert not outcome.is_right
        assert outcome.wrong == [wrong]
        told = msgspec.json.decode(outcome.json())
        assert (told["is_right"], told["wrong"]) == (False, [wrong])
    found = msgspec.json.decode(_outcome().json())
    assert (found["is_right"], found["views"]["different"]) == (True, 0)
    assert found["faults"][0]["evidence"] == {"placed": [["posts", 1, 2]]}
