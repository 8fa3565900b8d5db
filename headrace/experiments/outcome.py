"""What the users of each variant have done since they were exposed to it; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from headrace.experiments.statistics import (
    Difference,
    Estimate,
    Sums,
    difference,
    mean,
    mismatch,
    ratio,
)
from schemas.events import Engagement
from schemas.exposures import Exposure

ENGAGED = frozenset({"like", "react", "comment", "share"})
MAX_USERS = 2_000_000
SUSPICIOUS = 0.001
"""A chance of a mismatch below this: who is in which variant is not as the shares have it, so what
differs may differ for that reason."""


class TooManyError(Exception):
    """More users were exposed than can be held in memory."""


class _User(Struct):
    variant: str
    exposed_at: int
    is_mixed: bool = False
    engagements: int = 0
    views: int = 0


class Figure(Struct, frozen=True):
    """A figure of a variant, and its difference to the control's (None of the control itself)."""

    value: float | None
    difference: Difference | None


class VariantOutcome(Struct, frozen=True):
    """The users of a variant: how many were exposed, what share of them engaged with any post, how
    often one did on average, and how often for each post that was viewed."""

    name: str
    share: float
    users: int
    engaged_users: Figure
    engagements_per_user: Figure
    engagements_per_view: Figure


class Outcome(Struct, frozen=True):
    """An experiment between two times (ms). Users who were exposed to several variants (`mixed`)
    count for none. `mismatch` is the chance of the numbers of users if the shares are as set."""

    experiment: str
    since: int
    until: int
    mixed: int
    mismatch: float | None
    variants: list[VariantOutcome]

    @property
    def is_suspicious(self) -> bool:
        """Whether the differences are not to be relied on."""
        return self.mismatch is not None and self.mismatch < SUSPICIOUS


class Trial:
    """The users of an experiment, from exposures and engagements in the order of their time."""

    def __init__(self, experiment: str, since: int, until: int) -> None:
        self._experiment, self._since, self._until = experiment, since, until
        self._users: dict[str, _User] = {}

    def add(self, event: Exposure | Engagement) -> None:
        """Take in the next one.

        Raises:
            TooManyError: 2,000,000 users are exposed already.
        """
        if not self._since <= event.at <= self._until:
            return
        user = self._users.get(event.user_id)
        if isinstance(event, Exposure):
            if event.experiment != self._experiment:
                return
            if user is not None:
                user.is_mixed |= user.variant != event.variant
                return
            if len(self._users) >= MAX_USERS:
                raise TooManyError(
                    f"more than {MAX_USERS:,} users were exposed.\nhint: report on fewer days"
                )
            self._users[event.user_id] = _User(event.variant, event.at)
        elif user is not None and event.at >= user.exposed_at:
            user.engagements += event.action in ENGAGED
            user.views += event.action == "view"

    def outcome(self, shares: Sequence[tuple[str, float]]) -> Outcome:
        """What the variants, given with their shares and the control first, have come to."""
        users = self._users.values()
        pure = [user for user in users if not user.is_mixed]
        sums = {name: _sums(user for user in pure if user.variant == name) for name, _ in shares}
        counted = [sums[name][0].users for name, _ in shares]
        control = _estimates(sums[shares[0][0]])
        variants = []
        for place, (name, share) in enumerate(shares):
            own = _estimates(sums[name])
            figures = [
                _figure(each, None if place == 0 else base)
                for each, base in zip(own, control, strict=True)
            ]
            variants.append(VariantOutcome(name, share, counted[place], *figures))
        chance = mismatch(counted, [share for _, share in shares])
        mixed = sum(user.is_mixed for user in users)
        return Outcome(self._experiment, self._since, self._until, mixed, chance, variants)


def _sums(users: Iterable[_User]) -> tuple[Sums, Sums, Sums]:
    """Of whether, how often, and how often by views."""
    found = Sums(), Sums(), Sums()
    for user in users:
        found[0].add(user.engagements > 0)
        found[1].add(user.engagements)
        found[2].add(user.engagements, user.views)
    return found


def _estimates(sums: tuple[Sums, Sums, Sums]) -> list[Estimate | None]:
    return [mean(sums[0]), mean(sums[1]), ratio(sums[2])]


def _figure(own: Estimate | None, control: Estimate | None) -> Figure:
    return Figure(None if own is None else own.value, difference(own, control))
