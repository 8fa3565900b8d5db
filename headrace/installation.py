"""Installations: a checkout of Headrace with its own environment, from which workers run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

ANSWER_S = 60.0
ASK = """
import json
from schemas.codec import newest
from schemas.formats import FORMAT
from streams import archive_sink
layouts = {str(topic): n for topic, n in getattr(archive_sink, "LAYOUTS", {}).items()}
schemas = {version.subject: version.number for version in newest().values()}
print(json.dumps({"format": FORMAT, "schemas": schemas, "layouts": layouts}))
"""


class InstallationError(Exception):
    """An installation cannot be used, or cannot run beside another."""


class Formats(Struct, frozen=True):
    """What an installation writes, and reads: the format of what it writes for itself, the newest
    version of each event's schema, and the layouts in Cassandra that are not the first."""

    format: int
    schemas: dict[str, int]
    layouts: dict[str, int]


class Installation(Struct, frozen=True):
    """Where its code is, and the Python that runs it."""

    root: Path
    python: Path

    @property
    def waits_for_turn(self) -> bool:
        """Whether its processes can be prepared beside those that they replace."""
        return (self.root / "connectors" / "handover.py").exists()

    def formats(self) -> Formats:
        """What it says of itself.

        Raises:
            InstallationError: it does not say so.
        """
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        try:
            done = subprocess.run(
                [self.python, "-c", ASK],
                cwd=self.root,
                env=env,
                capture_output=True,
                text=True,
                timeout=ANSWER_S,
                check=True,
            )
            return msgspec.json.decode(done.stdout, type=Formats)
        except subprocess.CalledProcessError as error:
            last = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
            raise InstallationError(
                f"{self.root} does not say what formats it has: {last[0]}.\n"
                "hint: is it a checkout of Headrace, of a version with schemas/formats.py?"
            ) from error


THIS = Installation(Path(__file__).parents[1], Path(sys.executable))


def installed_in(directory: Path) -> Installation:
    """The installation in a directory.

    Raises:
        InstallationError: there is none.
    """
    root = directory.resolve()
    python = root / ".venv" / "bin" / "python"
    if not (python.exists() and python.with_name("headrace").exists()):
        raise InstallationError(
            f"{root} has no installation of Headrace: there is no .venv/bin/headrace.\n"
            "hint: run scripts/setup in a checkout of the older version, and name that checkout"
        )
    return Installation(root, python)


def differences(old: Formats, new: Formats) -> list[str]:
    """What the newer of two writes otherwise, for people.

    Raises:
        InstallationError: workers of the two cannot run beside each other, or one cannot read what
            the other has published.
    """
    if old.format != new.format:
        raise InstallationError(
            f"the older version writes its state in format {old.format}, this one in {new.format}: "
            "neither reads the other's, so there is no rolling upgrade between them.\n"
            'hint: docs/operating.md, "Upgrading", says how to bring the events over to a second '
            "Kafka; or name a version of the same format (schemas/formats.py)"
        )
    later = [
        f"{subject}.{number}"
        for subject, number in sorted(new.schemas.items())
        if number > old.schemas.get(subject, 0)
    ]
    if later:
        raise InstallationError(
            f"the older version does not know {', '.join(later)}, by which the events of this "
            "run are published: its workers would refuse them.\n"
            "hint: in operation producers and the API are upgraded behind all workers of `app`; "
            "for this run name a version that has these (schemas/lock.json)"
        )
    return [
        f"{topic} is read anew into Cassandra (layout {number})"
        for topic, number in sorted(new.layouts.items())
        if number != old.layouts.get(topic, 1)
    ]
