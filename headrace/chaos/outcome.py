"""The outcome of a run that breaks or loads the pipeline: what all such runs find out and judge."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.chaos.ground import Ground
from headrace.chaos.letters import Place
from headrace.chaos.outputs import Outputs
from headrace.chaos.verdict import Once, compare
from headrace.verify.report import Report
from headrace.verify.run import Progress
from tests.oracle.expected import Expected

MOST_MEMORY_MB = {"app": 768, "views": 512, "archive": 512, "api": 256}
"""What a worker may take; docs/reliability.md says what that is made of."""


class Outcome(Struct, kw_only=True):
    """What came of a run; memory in MB by worker. A run adds what else it found out, and judges
    that in `wrong`."""

    seed: int
    failure: str = ""
    """What ended the run early, or did not come to rest."""
    events: int = 0
    """Of the load, that Kafka acknowledged."""
    memory_peak: dict[str, int] = {}
    ends: list[str] = []
    """How workers ended that nothing but the run's faults may end."""
    views: Report = msgspec.field(default_factory=Report)
    once: Once | None = None
    outputs: Outputs | None = None

    @property
    def is_right(self) -> bool:
        """Whether all is as it must be."""
        return not self.wrong

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        return [*self.of_views(), *self.of_counts(), *self.of_memory()]

    def of_views(self) -> list[str]:
        """What is wrong with the run itself, or with the rows that it compared."""
        found = [self.failure] if self.failure else []
        if not self.views.compared:
            found.append("nothing was compared")
        if self.views.different:
            found.append(f"{self.views.different:,} of {self.views.compared:,} rows differ")
        return found

    def of_counts(self) -> list[str]:
        """What is lost or twice."""
        found = []
        for counted in (self.once, self.outputs):
            found += ["nothing was counted"] if counted is None else counted.wrong
        return found

    def of_ends(self) -> list[str]:
        """Each end of a worker, where none may end."""
        return [f"a worker ended: {end}" for end in self.ends]

    def of_memory(self) -> list[str]:
        """Who took more than it may."""
        return [
            f"{name} took {size:,} MB, and may take {MOST_MEMORY_MB[name]:,}"
            for name, size in self.memory_peak.items()
            if size > MOST_MEMORY_MB[name]
        ]

    def verdict(self, when_right: str) -> str:
        """The last line for people."""
        return when_right if self.is_right else f"NOT RIGHT: {'; '.join(self.wrong)}"

    def json(self) -> bytes:
        """Everything, with the verdict."""
        values: dict[str, Any] = msgspec.to_builtins(self, enc_hook=repr, str_keys=True)
        values["views"] |= {"compared": self.views.compared, "different": self.views.different}
        values |= {"is_right": self.is_right, "wrong": self.wrong}
        return msgspec.json.format(msgspec.json.encode(values), indent=1) + b"\n"

    def compare(self, ground: Ground, planted: dict[Place, str], progress: Progress) -> Expected:
        """Note how the workers did, and compare all that they wrote with what the events imply,
        which is returned; `planted` are records of internal topics that must be dead letters."""
        self.ends = ground.crew.ends
        self.memory_peak = dict(ground.peaks)
        progress.step("comparing")
        api = (ground.crew.api_url, ground.crew.token)
        self.views, self.once, self.outputs, expected = compare(
            ground.addresses, planted, api, self.seed, progress.detail
        )
        return expected
