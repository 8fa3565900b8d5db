"""Exposures: who is said to have been shown which variant, and how often; no read waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from api import exposures as module
from api.exposures import TOLD_EVERY_MS, Exposures
from api.ranking.experiments import Experiments, Ranking
from api.ranking.features import Features
from api.ranking.rankers import ranker_of
from api.ranking.scores import Score
from api.ranking.weights import Experiment, Variant, Weights
from api.stores import KAFKA, StoreDownError
from api.writes import Events
from schemas.codec import Published
from schemas.exposures import Exposure
from tests.unit.api_fakes import NOW, FakeWriter, World

WEIGHTS = Weights(
    experiments=(
        Experiment(
            name="x",
            variants=(
                Variant(name="control", share=0.5),
                Variant(name="time", share=0.5, ranker="chronological"),
            ),
        ),
    )
)
RANKING = Ranking(WEIGHTS, ranker_of(WEIGHTS), "x", "control")


class Reading:
    """Exposures with a clock of their own, and what they publish."""

    def __init__(self) -> None:
        self.now = NOW
        self.writer = FakeWriter()
        self.exposures = Exposures(Events(self.writer, lambda: self.now))

    def read(
        self, *users: str, after_ms: int = 0, ranking: Ranking = RANKING
    ) -> list[tuple[str, str]]:
        """Of whom what was said after reads."""
        self.now += after_ms
        self.writer.events.clear()

        async def note() -> None:
            for user in users:
                self.exposures.note(user, ranking, is_degraded=False)
            assert not self.writer.events  # nobody waits for it
            await asyncio.gather(*self.exposures._tasks)

        asyncio.run(note())
        return [(e.user_id, e.variant) for e in exposures_of(self.writer)]


def exposures_of(writer: FakeWriter) -> list[Exposure]:
    return [event for event in writer.events if isinstance(event, Exposure)]


def test_a_user_is_told_of_once_an_hour_in_each_experiment() -> None:
    reading = Reading()
    other = Ranking(WEIGHTS, RANKING.ranker, "y", "v")
    assert reading.read("al") == [("al", "control")]
    assert reading.read("al", after_ms=TOLD_EVERY_MS - 1) == []
    assert reading.read("al", ranking=other) == [("al", "v")]
    assert reading.read("al", "bob", after_ms=1) == [("al", "control"), ("bob", "control")]


def test_nothing_is_told_without_an_experiment() -> None:
    assert Reading().read("al", ranking=Ranking(WEIGHTS, RANKING.ranker)) == []


def test_what_cannot_be_published_is_with_a_later_read() -> None:
    reading = Reading()
    publish = reading.writer.publish

    async def fail(_events: Iterable[Published]) -> None:
        raise StoreDownError(KAFKA, "down")

    reading.writer.publish = fail  # type: ignore[method-assign]
    assert reading.read("al") == []
    reading.writer.publish = publish  # type: ignore[method-assign]
    assert reading.read("al", after_ms=1) == [("al", "control")]


def test_what_is_under_way_and_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNDER_WAY", 2)
    monkeypatch.setattr(module, "REMEMBERED", 2)
    reading = Reading()
    assert [user for user, _ in reading.read("a", "b", "c")] == ["a", "b"]
    assert [user for user, _ in reading.read("a", "b", "c")] == ["c"]
    assert [user for user, _ in reading.read("a", "b", "c")] == ["a", "b"]


def world_in_experiment() -> World:
    world = World()
    world.app.state.services.experiments = Experiments(WEIGHTS)
    return world


def test_the_first_page_of_a_ranked_feed_is_an_exposure() -> None:
    world = world_in_experiment()
    users = [f"u{n}" for n in range(20)]
    for user in users:
        world.feed(user, mode="ranked")
        world.feed(user, mode="latest")
    found = exposures_of(world.writer)
    assert [each.user_id for each in found] == users
    assert {(each.variant, each.ranker) for each in found} == {
        ("control", "heuristic"),
        ("time", "chronological"),
    }
    for each in found:
        ranking = world.app.state.services.experiments.of(each.user_id)
        assert (each.experiment, each.variant, each.at) == ("x", ranking.variant, NOW)


def test_without_redis_nothing_was_ranked() -> None:
    world = world_in_experiment()
    world.cache.is_down = True
    world.feed("al", mode="ranked")
    assert exposures_of(world.writer) == []


def test_a_user_whose_ranker_failed_was_exposed_all_the_same() -> None:
    class Failing:
        name = "failing"

        def scores(self, _rows: Sequence[Features]) -> list[Score]:
            raise ValueError

    world = world_in_experiment()
    failing = Ranking(WEIGHTS, Failing(), "x", "time")
    world.app.state.services.experiments.of = lambda _user: failing
    assert world.feed("al", mode="ranked")["degraded"] == ["ranker"]
    (found,) = exposures_of(world.writer)
    assert (found.variant, found.ranker) == ("time", None)


def test_a_read_does_not_fail_with_kafka() -> None:
    world = world_in_experiment()
    world.writer.is_down = True
    assert world.feed("al", mode="ranked")["degraded"] == []
