"""The numbers that a ranked feed is ordered by, as a file may set them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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

FileName = Annotated[str, Meta(max_length=4096)]

RankerName = Literal["chronological", "heuristic", "model", "weighted"]


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


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them; `ranker` is the one of the second pass."""

    ranker: RankerName = "heuristic"
    first_pass: FirstPass = FirstPass()
    heuristic: Heuristic = Heuristic()
    weighted: Weighted = Weighted()
    model: Learned = Learned()
    demotions: Demotions = Demotions()
    diversity: Diversity = Diversity()


def load_weights(path: str) -> Weights:
    """The weights in a TOML file, those it does not name as they are by themselves; all without
    a file (an empty path).

    Raises:
        WeightsError: there is no such file, a field is unknown or out of bounds, or the ranker
            `model` has no model.
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
    if weights.model.path:
        found = str(Path(path).absolute().parent / weights.model.path)
        weights = replace(weights, model=Learned(path=found))
    if weights.ranker == "model" and not weights.model.path:
        raise WeightsError(
            f"HEADRACE_RANKING: {path}: the ranker `model` needs `model.path`, a file that "
            "`headrace train` has written"
        )
    return weights


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
