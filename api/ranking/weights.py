"""The numbers that a ranked feed is ordered by, as a file may set them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import replace

Weight = Annotated[float, Meta(ge=0, le=1000)]
Factor = Annotated[float, Meta(ge=0.001, le=1000)]
Share = Annotated[float, Meta(ge=0.001, le=1)]
Rate = Annotated[float, Meta(gt=0, le=0.99)]
AtLeastOne = Annotated[float, Meta(ge=1, le=1000)]
Places = Annotated[int, Meta(ge=1, le=100)]
Kind = Annotated[str, Meta(pattern=r"^[\w-]{1,35}$")]

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
FileName = Annotated[str, Meta(max_length=4096)]

RankerName = Literal["chronological", "heuristic", "model", "weighted"]


ROUNDING = 1e-9
"""Of shares that are meant to make 1."""


class WeightsError(ValueError):
    """A file of weights that cannot be used; says which field, and why."""


class FirstPass(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the score over all candidates (003, "Ranking Algorithm Implementation")."""

    like: Weight = 1.0
    comment: Weight = 3.0
    share: Weight = 5.0
    base: Factor = 1.0
    """What a post has without any engagement."""
    age_rate: Weight = 0.08
    """Per hour: half of the score is left after `1 / age_rate` hours."""
    types: dict[Kind, Factor] = field(default_factory=dict)
    """Kind of media, or `text`, to a factor for everybody; 1 for those not named."""


class Heuristic(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the second pass by estimates of what the reader will do (003, the same)."""

    like: Weight = 1.0
    comment: Weight = 2.0
    share: Weight = 3.0
    hide: Weight = 5.0
    like_rate: Rate = 0.05
    comment_rate: Rate = 0.01
    share_rate: Rate = 0.01
    hide_rate: Rate = 0.005
    """Of those who see a post of which nothing is known yet."""
    prior_views: AtLeastOne = 20.0
    """How many views a rate must come from to count as much as these."""


class Weighted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of 002's sum ("Ranking Algorithm")."""

    time: Weight = 0.4
    engagement: Weight = 0.4
    affinity: Weight = 0.2
    comment: Weight = 2.0
    """Likes that a comment is worth."""


class Demotions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Factors below 1 upon the scores of both passes."""

    seen: Share = 0.3
    viral: Share = 0.75
    """Of posts that nobody brought whom the reader follows."""
    aversion: AtLeastOne = 5.0
    """The aversion that halves a score: as the reader's word has it that was just given."""


class Diversity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often one author may stand among posts that follow each other."""

    in_a_row: Places = 2
    in_window: Places = 5
    window: Places = 20
    decay: Share = 0.5
    floor: Share = 0.25


class Learned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the second pass by a model."""

    path: FileName = ""
    """Of the model's file; seen from the file of weights, unless it begins with `/`."""


class Variant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the ways to order the feed that an experiment compares."""

    name: Name
    share: Share
    """Of all users."""
    ranker: RankerName | None = None
    weights: dict[str, Any] = field(default_factory=dict)
    """Those that are not as for who is in no experiment, in their tables as in the file."""


class Experiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Variants whose shares make 1 at most. The first is the control."""

    name: Name
    variants: Annotated[tuple[Variant, ...], Meta(min_length=2, max_length=10)]


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them; `ranker` is the one of the second pass."""

    ranker: RankerName = "heuristic"
    first_pass: FirstPass = FirstPass()
    heuristic: Heuristic = Heuristic()
    weighted: Weighted = Weighted()
    model: Learned = Learned()
    demotions: Demotions = Demotions()
    diversity: Diversity = Diversity()
    experiments: Annotated[tuple[Experiment, ...], Meta(max_length=20)] = ()


def load_weights(path: str) -> Weights:
    """The weights in a TOML file, those it does not name as they are by themselves; all without
    a file (an empty path).

    Raises:
        WeightsError: there is no such file, a field is unknown or out of bounds, the ranker
            `model` has no model, or an experiment cannot be.
    """
    if not path:
        return Weights()
    try:
        weights = msgspec.toml.decode(Path(path).read_bytes(), type=Weights)
    except OSError as error:
        raise WeightsError(f"HEADRACE_RANKING: {path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said = str(error).replace("`$.", "`")
        raise WeightsError(f"HEADRACE_RANKING: {path}: {said}") from error
    weights = _rooted(weights, Path(path).absolute().parent)
    try:
        _check(weights)
    except WeightsError as error:
        raise WeightsError(f"HEADRACE_RANKING: {path}: {error}") from error
    return weights


def weights_of(weights: Weights, variant: Variant) -> Weights:
    """The weights of a variant of an experiment.

    Raises:
        WeightsError: what the variant sets is unknown, or out of bounds.
    """
    merged = msgspec.to_builtins(replace(weights, experiments=()))
    if variant.ranker is not None:
        merged["ranker"] = variant.ranker
    for name in ("ranker", "experiments"):
        if name in variant.weights:
            raise WeightsError(f"a variant's weights cannot set `{name}`")
    for name, value in variant.weights.items():
        table = merged.get(name)
        is_both = isinstance(table, dict) and isinstance(value, dict)
        merged[name] = {**table, **value} if is_both else value
    try:
        return msgspec.convert(merged, Weights)
    except msgspec.ValidationError as error:
        raise WeightsError(str(error).replace("`$.", "`")) from error


def _rooted(weights: Weights, directory: Path) -> Weights:
    """The same with the paths of models seen from a directory."""

    def variant(given: Variant) -> Variant:
        model = given.weights.get("model")
        if not isinstance(model, dict) or not isinstance(model.get("path"), str):
            return given
        rooted = {**model, "path": str(directory / model["path"])}
        return replace(given, weights={**given.weights, "model": rooted})

    model = weights.model
    return replace(
        weights,
        model=Learned(path=str(directory / model.path)) if model.path else model,
        experiments=tuple(
            replace(each, variants=tuple(map(variant, each.variants)))
            for each in weights.experiments
        ),
    )


def _check(weights: Weights) -> None:
    """
    Raises:
        WeightsError: names that are there twice, shares over 1, a variant that cannot be, or the
            ranker `model` without a model.
    """
    _check_model(weights)
    _check_names([each.name for each in weights.experiments], "experiments")
    for experiment in weights.experiments:
        where = f"experiment {experiment.name}"
        _check_names([each.name for each in experiment.variants], where)
        shares = sum(each.share for each in experiment.variants)
        if shares > 1 + ROUNDING:
            raise WeightsError(f"{where}: the shares make {shares:g}, which is over 1")
        for variant in experiment.variants:
            try:
                _check_model(weights_of(weights, variant))
            except WeightsError as error:
                raise WeightsError(f"{where}, variant {variant.name}: {error}") from error


def _check_model(weights: Weights) -> None:
    if weights.ranker == "model" and not weights.model.path:
        raise WeightsError(
            "the ranker `model` needs `model.path`, a file that `headrace train` has written"
        )


def _check_names(names: list[str], where: str) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise WeightsError(f"{where}: {twice[0]} is there twice")


def flat(weights: Struct, prefix: str = "") -> dict[str, object]:
    """Each weight by its name in the file, as `first_pass.like`."""
    found: dict[str, object] = {}
    for name in weights.__struct_fields__:
        value = getattr(weights, name)
        if isinstance(value, Struct):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
