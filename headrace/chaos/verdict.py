"""What must be so when the faults are over: views as the events imply, and nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from connectors.lag import wait_until_quiet
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from headrace.chaos import letters
from headrace.chaos.letters import Place
from headrace.chaos.outputs import Outputs, judge
from headrace.verify import check
from headrace.verify.report import Report
from headrace.verify.windows import end_windows
from schemas.codec import MAGIC
from schemas.topics import EXTERNAL, Topic
from tests.oracle.expected import Expected
from tests.oracle.read_log import read_topics

COMPARED_USERS = 200
QUIET_S = 60.0


class Once(Struct, frozen=True):
    """What Kafka's readers of committed records see of the intake: every valid external record
    stands in an internal log, and once."""

    external: int
    """Valid records of the external topics."""
    routed: int
    """Events in `by-post` and `by-user`."""
    lost: int
    doubled: int
    dead_letters: int
    """One a record and group that refused it."""
    dead_letters_doubled: int

    @property
    def is_right(self) -> bool:
        """Whether nothing is lost and nothing is twice."""
        return not self.wrong

    @property
    def wrong(self) -> list[str]:
        """What is lost or twice."""
        counts = {
            "records lost": self.lost,
            "records doubled": self.doubled,
            "dead letters doubled": self.dead_letters_doubled,
        }
        return [f"{count:,} {what}" for what, count in counts.items() if count]

    @property
    def told(self) -> str:
        """What was counted, in a line."""
        return (
            f"{self.external:,} valid records, {self.routed:,} in the internal logs: {self.lost:,} "
            f"lost, {self.doubled:,} doubled; {self.dead_letters:,} dead letters, "
            f"{self.dead_letters_doubled:,} doubled"
        )


def compare(
    addresses: Addresses,
    planted: dict[Place, str],
    api: tuple[str, Callable[[str], str]],
    seed: int,
    say: Callable[[str], None],
) -> tuple[Report, Once, Outputs, Expected]:
    """Compare all views with the oracle, count what came in, and judge what the folds put out; with
    what the oracle says.

    Args:
        addresses: The parts themselves.
        planted: Records in internal topics that must be dead letters.
        api: Its address, and what makes a token for a user.
        seed: Chooses the users whose timelines are read through the API.
        say: Told how far it is.
    """
    ticks = end_windows(addresses.kafka)
    wait_until_quiet(addresses.kafka, QUIET_S)
    say("computing what the events imply")
    expected = check.compute(addresses.kafka)
    expected.rejected.update(planted)
    report = Report()
    for tally in check.compare_all(addresses, expected, api, COMPARED_USERS, seed, say, ticks):
        report.add(tally)
    say("waiting for what the reads have given rise to")
    wait_until_quiet(addresses.kafka, QUIET_S)
    say("counting records")
    once = count(addresses.kafka, expected)
    say("folding the internal logs once more")
    return report, once, judge(addresses.kafka, settings().partitions), expected


def count(brokers: str, expected: Expected) -> Once:
    """Count what went in, and what came out."""
    sent = Counter(
        hash(value)
        for topic, partition, offset, _, value in read_topics(brokers, EXTERNAL)
        if (topic, partition, offset) not in expected.rejected
    )
    routed = Counter(
        hash(value)
        for _, _, _, _, value in read_topics(brokers, (Topic.BY_POST, Topic.BY_USER))
        if value and value[0] == MAGIC
    )
    written = letters.read(brokers)
    return Once(
        external=sent.total(),
        routed=routed.total(),
        lost=(sent - routed).total(),
        doubled=(routed - sent).total(),
        dead_letters=len(written),
        dead_letters_doubled=letters.doubled(written),
    )
