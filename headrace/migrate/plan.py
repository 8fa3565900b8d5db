"""What a migration would do: whether it may, and how far an earlier one has come."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from connectors.admin import going_on
from connectors.settings import Settings
from schemas.generation import name_in
from schemas.topics import OF_A_GENERATION

MOST = 4_096


class MigrationError(Exception):
    """A migration is refused, or a step of it; says what to do."""


class Stand(Enum):
    """How far a migration has come."""

    NOTHING = "nothing of it is in use"
    CLOSED = "workers cannot start until it is done"
    COMMITTED = "the new generation holds"


class Plan(Struct, frozen=True):
    """From which generation and number of partitions to which."""

    generation: int
    before: int
    after: int

    @property
    def next_generation(self) -> int:
        """The generation that is made."""
        return self.generation + 1


def plan_for(config: Settings, to: int) -> Plan:
    """A plan for so many partitions.

    Raises:
        MigrationError: they are no multiple of those that there are.
    """
    before = config.partitions
    if to % before or to <= before or to > MOST:
        possible = [str(times * before) for times in (2, 3, 4) if times * before <= MOST]
        raise MigrationError(
            f"{to} is no number that {before} partitions can become: each is split into equally "
            f"many, {MOST:,} in all at most.\n"
            f"hint: --to {', '.join(possible) or 'nothing more is possible'} ..."
        )
    return Plan(config.generation, before, to)


def stand_of(counts: Mapping[str, int], plan: Plan) -> Stand:
    """How far a migration has come, by what topics there are.

    Raises:
        MigrationError: they are not those of the settings.
    """
    old = {name: counts.get(name) for name in OF_A_GENERATION}
    if set(old.values()) != {plan.before}:
        wrong = next(name for name, size in old.items() if size != plan.before)
        raise MigrationError(
            f"topic {wrong} has {old[wrong] or 'no'} partitions, and HEADRACE_PARTITIONS is "
            f"{plan.before} in generation {plan.generation}.\n"
            "hint: HEADRACE_PARTITIONS and HEADRACE_GENERATION must be those that the workers had; "
            "topics that a new version brings are made by `headrace stack up`"
        )
    lasting = going_on(counts)
    if set(lasting.values()) == {plan.before}:
        return Stand.NOTHING
    if not set(lasting.values()) <= {plan.before, plan.after}:
        raise MigrationError(
            f"there are topics with {max(lasting.values())} partitions.\n"
            f"hint: was it begun with another number? --to {max(lasting.values())}"
        )
    new = {counts.get(name_in(plan.next_generation, name)) for name in OF_A_GENERATION}
    grown = [name for name, size in lasting.items() if size == plan.after]
    if grown == [DOOR]:
        return Stand.CLOSED
    if new != {plan.after}:
        raise MigrationError(
            f"topic {grown[0]} has {plan.after} partitions, and generation {plan.next_generation} "
            "is not whole.\n"
            "hint: did something else add the partitions? Then only empty data helps"
        )
    return Stand.COMMITTED


DOOR = "dead-letters"
"""The topic that is given partitions first: workers look at it when they open a partition."""
