"""Kafka Streams' process of the job: Likes.java, compiled for the run, on its own class path.

The compiler is a jar too: the Java from PyPI is a runtime without one.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from bench.workers import Workers
from connectors.stack.errors import StackError
from connectors.stack.jars import class_path
from connectors.stack.java import VERSION, java, shared_classes
from schemas import codec

PART = "streams"
PINS = Path(__file__).with_name("jars.txt")
SOURCE = Path(__file__).with_name("Likes.java")
COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"


def command(workers: Workers) -> list[str]:
    """The command of the process; its jars (93 MB) are downloaded when first asked for.

    Raises:
        StackError: there is no Java, a jar cannot be had, or the source does not compile.
    """
    program = java(workers.say)
    home = workers.directory / PART
    classes, temporary = home / "classes", home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    jars = class_path(PART, workers.say, threading.Event(), PINS)
    _compile(program, jars, classes)
    return [
        str(program),
        *shared_classes(program),
        f"-Djava.io.tmpdir={temporary}",
        "-cp",
        os.pathsep.join(map(str, [classes, *jars])),
        SOURCE.stem,
        *schemas(),
    ]


def schemas() -> list[str]:
    """Every version of the engagements' schema, as `<id>=<file>`."""
    return [
        f"{version.id}={codec.HERE / f'{version.subject}.{version.number}.avsc'}"
        for version in codec.versions()
        if version.subject == "engagement"
    ]


def _compile(program: Path, jars: Sequence[Path], classes: Path) -> None:
    path = os.pathsep.join(map(str, jars))
    options = [f"-{VERSION}", "-proc:none", "-d", str(classes), "-cp", path, str(SOURCE)]
    done = subprocess.run(
        [str(program), "-cp", path, COMPILER, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        output = (done.stdout + done.stderr)[-2_000:]
        raise StackError(f"{SOURCE.name} does not compile", output)
