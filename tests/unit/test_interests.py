"""Interests: what brings a user closer to subjects, and what away from them."""

from __future__ import annotations

import pytest

from schemas.events import Event, Media
from schemas.topics import Topic
from streams.facts import AffinityFact, AversionFact, Fact, Met, TargetErased
from streams.intake import extract
from streams.posts import PostFold
from streams.subjects import about
from streams.users import UserFold
from tests.oracle import interests as oracle
from tests.unit.folds import (
    DAY,
    NOW,
    Folded,
    created,
    deleted,
    edited,
    engaged,
    fold_all,
    interest_sums,
    said,
    time,
)

VIDEO = Media(url="https://x/v", kind="video")
ANN = created("ann", content="#Rust and #go", language="EN", media=(VIDEO, VIDEO))
SUBJECTS = ("t:rust", "t:go", "l:en", "m:video")


@pytest.mark.parametrize(
    ("event", "subjects"),
    [
        pytest.param(ANN, SUBJECTS, id="topics, language, kinds of media"),
        pytest.param(created(), (), id="nothing"),
        pytest.param(
            created(content=" ".join(f"#tag{n}" for n in range(9))),
            tuple(f"t:tag{n}" for n in range(8)),
            id="the first eight topics",
        ),
        pytest.param(created(language="e\0n"), (), id="a language that is no word"),
        pytest.param(created(language="x" * 36), (), id="a long one"),
        pytest.param(
            created(media=tuple(Media(url="u", kind=f"k{n}") for n in range(5))),
            ("m:k0", "m:k1", "m:k2", "m:k3"),
            id="the first four kinds",
        ),
    ],
)
def test_what_a_post_is_about(event: Event, subjects: tuple[str, ...]) -> None:
    assert about(event, extract(event.content)) == subjects  # type: ignore[arg-type, union-attr]
    assert oracle.about(event) == list(subjects)  # type: ignore[arg-type]


def _facts(folded: Folded) -> list[Fact]:
    kinds = AffinityFact | AversionFact
    return [fact for fact in folded.facts(Topic.BY_USER) if isinstance(fact, kinds)]


def test_acts_are_told_with_what_the_post_is_about() -> None:
    folded = fold_all(PostFold, [ANN, engaged("like", at=1), engaged("hide", "cy", at=2)])
    assert _facts(folded) == [
        AffinityFact("bob", "ann", 2.0, time(1), SUBJECTS),
        AversionFact("cy", ("u:ann", *SUBJECTS), 5.0, time(2)),
    ]


def test_a_hide_counts_from_the_first_time() -> None:
    folded = fold_all(PostFold, [ANN, engaged("hide", at=2), engaged("hide", at=1)])
    assert folded.view(Topic.VIEW_MINE).hidden_at == time(1)
    assert folded.view(Topic.VIEW_COUNTERS).hides == 1
    sums = interest_sums(folded.facts(Topic.BY_USER), now=time(1))
    assert sums == pytest.approx({("bob", s, False): 5.0 for s in ("u:ann", *SUBJECTS)})


def test_an_edit_changes_no_interest() -> None:
    folded = fold_all(
        PostFold, [ANN, engaged("like"), edited("ann", 5, content="#other"), deleted(6)]
    )
    assert len(_facts(folded)) == 1


def test_an_older_creation_changes_all_that_was_told() -> None:
    folded = fold_all(PostFold, [ANN, engaged("like"), created("ann", -1, content="#older")])
    sums = interest_sums(folded.facts(Topic.BY_USER), now=NOW)
    assert sums == pytest.approx({("bob", "t:older", True): 2.0})


def test_interests_fade_and_add_up() -> None:
    folded = fold_all(
        UserFold,
        [
            AffinityFact("bob", "ann", 2.0, NOW, ("t:go",)),
            AffinityFact("bob", "cy", 8.0, NOW + DAY, ("t:go", "l:en")),
            AversionFact("bob", ("t:go", "u:ann"), 5.0, NOW),
            AversionFact("bob", ("t:go",), 5.0, NOW + DAY),
        ],
    )
    go, en = (folded.views(Topic.VIEW_INTERESTS)[f"bob/{s}"] for s in ("t:go", "l:en"))
    assert (go.score, go.at) == (pytest.approx(8 + 2 * 0.9), NOW + DAY)
    assert (go.aversion, go.averse_at) == (pytest.approx(5 + 5 * 0.72), NOW + DAY)
    assert (en.score, en.aversion) == (8.0, 0.0)
    ann = folded.views(Topic.VIEW_AFFINITY)["bob/ann"]
    assert (ann.score, ann.aversion) == (2.0, 5.0)


def test_an_aversion_is_one_percent_after_14_days() -> None:
    folded = fold_all(UserFold, [said("not_interested", "t:go")])
    folded.add(AversionFact("bob", ("t:go",), 0.0, NOW + 14 * DAY))
    assert folded.view(Topic.VIEW_INTERESTS).aversion == pytest.approx(5 * 0.01, rel=0.02)


@pytest.mark.parametrize(
    ("events", "aversion"),
    [
        pytest.param([said("not_interested", "t:Go")], 5.0, id="less of that"),
        pytest.param([said("not_interested", "t:go")] * 2, 5.0, id="once"),
        pytest.param(
            [said("not_interested", "t:go"), said("interested", "t:GO", at=1)], 0.0, id="after all"
        ),
        pytest.param(
            [said("interested", "t:go", at=1), said("not_interested", "t:go")],
            None,
            id="an older opinion has no effect",
        ),
    ],
)
def test_feedback(events: list[Event], aversion: float | None) -> None:
    folded = fold_all(UserFold, events)
    shown = folded.views(Topic.VIEW_INTERESTS)
    assert (shown["bob/t:go"].aversion if shown else None) == aversion


def test_who_is_erased_is_forgotten_by_who_had_an_opinion() -> None:
    folded = fold_all(UserFold, [said("not_interested", "u:ann")])
    assert folded.traces() == [Met("ann", "bob")]
    folded.add(TargetErased("bob", "ann")).checkpoint()
    assert folded.view(Topic.VIEW_AFFINITY).aversion == 0
    assert folded.state.sizes()["feedback"] == 0
    folded.add(said("not_interested", "u:ann", at=-1))
    assert folded.view(Topic.VIEW_AFFINITY).aversion == 0
