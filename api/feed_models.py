"""Why a post stands where it does in a feed, and why another does not, as the API gives it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

FeedDegraded = Literal["cassandra", "redis", "ranker", "sources"]
"""`sources`: what some heavy sources hold could not be read."""

WhyNotStep = Literal[
    "ranked",
    "below_cut",
    "not_followed",
    "too_old",
    "not_delivered",
    "deleted",
    "hidden",
    "muted",
    "aversion",
    "reply",
]


class TermOut(BaseModel):
    """A part of a score."""

    name: str = Field(examples=["recency"])
    value: float = Field(examples=[0.83])


class ScoreOut(BaseModel):
    """A score and its terms: those of the first pass are multiplied, those of the second added. Of
    the ranker `model` they add up to the logarithm of the odds of the score."""

    score: float = Field(examples=[7.5])
    terms: list[TermOut]


class Explanation(BaseModel):
    """How a post came to its place."""

    ranker: str | None = Field(
        description="What made the second score: a ranker, or `latest` for the order of time; null "
        "when the ranker failed, and the order is that of time.",
        examples=["heuristic"],
    )
    score: float = Field(
        description="What the order is by: the second score, after demotions; the first when the "
        "ranker failed."
    )
    first_pass: ScoreOut | None = Field(description="By what candidates are chosen.")
    second_pass: ScoreOut | None = Field(description="By the ranker; in `latest` the time in ms.")
    demotions: list[TermOut] = Field(
        description="Factors upon the second score: one below 0 is divided by them. `author` is "
        "for further posts of one author."
    )
    position: int | None = Field(description="In the whole feed, from 1; null in `latest`.")
    position_by_score: int | None = Field(description="The same without diversity.")


class WhyNot(BaseModel):
    """What became of a post in the caller's ranked feed, as it would be made now."""

    post_id: str
    step: WhyNotStep = Field(description="The step that dropped it; `ranked` when none did.")
    detail: str = Field(examples=["Its author is muted."])
    reasons: list[str] = Field(description="What brought it; empty when nothing did.")
    position: int | None = Field(description="If `ranked`: in the whole feed, from 1.")
    position_by_score: int | None = Field(
        description="If `ranked`: the same without diversity, which put it where it is."
    )
    explanation: Explanation | None = Field(description="If `ranked`.")
