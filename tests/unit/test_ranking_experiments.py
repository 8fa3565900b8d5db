"""Experiments: who is in which variant, how variants differ, and what the file may say of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from api.ranking.experiments import Experiments, bucket_of, variant_of
from api.ranking.weights import Experiment, Variant, Weights, WeightsError, load_weights, weights_of

USERS = [f"user-{n}" for n in range(20_000)]


def experiment(name: str, *shares: float) -> Experiment:
    variants = tuple(Variant(name=f"v{n}", share=share) for n, share in enumerate(shares))
    return Experiment(name=name, variants=variants)


def chi_square(counts: list[int], expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in counts)


def test_buckets_are_uniform_and_always_the_same() -> None:
    buckets = Counter(int(20 * bucket_of(user, "x")) for user in USERS)
    assert set(buckets) == set(range(20))
    assert chi_square(list(buckets.values()), 1_000) < 43.8  # one in a thousand, of 19 degrees
    assert bucket_of("al", "x") == 0.8335735772943851
    assert bucket_of("al", "x") != bucket_of("al", "y")


def test_buckets_of_two_experiments_are_independent() -> None:
    pairs = Counter((int(4 * bucket_of(u, "x")), int(4 * bucket_of(u, "y"))) for u in USERS)
    assert len(pairs) == 16
    assert chi_square(list(pairs.values()), len(USERS) / 16) < 37.7  # of 15 degrees


def test_shares_are_kept_and_the_rest_is_in_no_variant() -> None:
    given = experiment("x", 0.1, 0.3)
    counts = Counter(variant_of(user, given) for user in USERS)
    assert counts[0] == pytest.approx(2_000, abs=170)
    assert counts[1] == pytest.approx(6_000, abs=260)
    assert counts[None] == len(USERS) - counts[0] - counts[1]


def test_a_share_that_grows_at_the_end_moves_nobody() -> None:
    small, large = experiment("x", 0.2, 0.2), experiment("x", 0.2, 0.5)
    before = {user: variant_of(user, small) for user in USERS}
    after = {user: variant_of(user, large) for user in USERS}
    assert all(after[user] == place for user, place in before.items() if place is not None)
    assert set(Counter(after[user] for user in USERS if before[user] is None)) == {1, None}


def test_a_user_is_in_one_experiment_at_most() -> None:
    first, second = experiment("x", 0.3, 0.3), experiment("y", 0.5, 0.5)
    experiments = Experiments(Weights(experiments=(first, second)))
    found = Counter()
    for user in USERS:
        ranking = experiments.of(user)
        assert ranking is not None
        found[ranking.experiment, ranking.variant] += 1
    assert found["x", "v0"] == pytest.approx(6_000, abs=260)
    assert found["y", "v0"] == pytest.approx(4_000, abs=230)
    assert found["y", "v1"] == pytest.approx(4_000, abs=230)
    assert Experiments(Weights()).of("al") is None


FILE = """
ranker = "weighted"
[weighted]
time = 0.5
affinity = 0.1
[[experiments]]
name = "fresh"
[[experiments.variants]]
name = "control"
share = 0.5
[[experiments.variants]]
name = "fresh"
share = 0.5
ranker = "chronological"
[experiments.variants.weights.weighted]
time = 0.9
[experiments.variants.weights.model]
path = "m.txt"
"""


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "weights.toml").write_text(text)
    return str(tmp_path / "weights.toml")


def test_a_variant_sets_what_it_names(tmp_path: Path) -> None:
    weights = load_weights(written(tmp_path, FILE))
    control, fresh = (weights_of(weights, each) for each in weights.experiments[0].variants)
    assert (control.ranker, control.weighted) == ("weighted", weights.weighted)
    assert (fresh.ranker, fresh.weighted.time, fresh.weighted.affinity) == (
        "chronological",
        0.9,
        0.1,
    )
    assert (fresh.model.path, fresh.experiments) == (str(tmp_path / "m.txt"), ())


def test_each_variant_ranks_in_its_way(tmp_path: Path) -> None:
    experiments = Experiments(load_weights(written(tmp_path, FILE)))
    found = [ranking for user in USERS[:50] if (ranking := experiments.of(user)) is not None]
    assert {(each.variant, each.ranker.name) for each in found} == {
        ("control", "weighted"),
        ("fresh", "chronological"),
    }


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("share = 0.5\n[[", "share = 0.6\n[[", "experiment fresh: the shares make 1.1"),
        ('"control"', '"fresh"', "experiment fresh: fresh is there twice"),
        ('"control"', '"a b"', r"experiments\[0\]\.variants\[0\]\.name"),
        ("share = 0.5", "share = 0", "share"),
        ("time = 0.9", "time = -1", "variant fresh: .*`weighted.time`"),
        ("time = 0.9", "tim = 1", "variant fresh: .*`tim`"),
        ("weights.weighted", "weights.wieghted", "variant fresh: .*`wieghted`"),
        ("weights.weighted", "weights.experiments", "cannot set `experiments`"),
        ('"chronological"\n', '"model"\n', None),
        ('path = "m.txt"', "", None),
        ('ranker = "chronological"', 'ranker = "other"', "ranker"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, before: str, after: str, named: str | None) -> None:
    assert before in FILE
    path = written(tmp_path, FILE.replace(before, after))
    if named is None:
        load_weights(path)
        return
    with pytest.raises(WeightsError, match=named) as raised:
        load_weights(path)
    assert str(raised.value).startswith(f"HEADRACE_RANKING: {path}: ")


def test_a_variant_whose_ranker_is_the_model_needs_one(tmp_path: Path) -> None:
    text = FILE.replace('"chronological"', '"model"').replace('path = "m.txt"', "")
    with pytest.raises(WeightsError, match=r"variant fresh: .*`model\.path`"):
        load_weights(written(tmp_path, text))


def test_an_experiment_has_at_least_two_variants_and_a_name_of_its_own(tmp_path: Path) -> None:
    one = '[[experiments]]\nname = "x"\nvariants = [{name = "a", share = 1.0}]\n'
    with pytest.raises(WeightsError, match="variants"):
        load_weights(written(tmp_path, one))
    two = (
        '[[experiments]]\nname = "x"\nvariants = [{name = "a", share = 0.1}, '
        '{name = "b", share = 0.1}]\n'
    )
    with pytest.raises(WeightsError, match="experiments: x is there twice"):
        load_weights(written(tmp_path, two * 2))
