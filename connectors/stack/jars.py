"""Pinned jars, those of Kafka and Cassandra in jars.txt: fetched by jgo, kept in the cache."""

from __future__ import annotations

import errno
import hashlib
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from connectors.settings import settings
from connectors.stack.errors import Cancelled, StackError
from connectors.stack.parallel import run_all

PINS = Path(__file__).with_name("jars.txt")
WIDTH = 8  # downloads at a time, for each part
ATTEMPTS = 3
TIMEOUT_S = 30


@dataclass(frozen=True)
class Jar:
    """One pinned jar."""

    group: str
    artifact: str
    version: str
    classifier: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """As Maven names it."""
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{tail}.jar"


def parse(text: str, part: str) -> list[Jar]:
    """The jars of one part, from the lines of a file of pins."""
    found = []
    for line in text.splitlines():
        if line.startswith(f"{part} "):
            _, coordinate, size, sha256 = line.split()
            group, artifact, version, *classifier = coordinate.split(":")
            found.append(Jar(group, artifact, version, "".join(classifier), int(size), sha256))
    return found


def is_wanted(jar: Jar, system: str, machine: str) -> bool:
    """Whether a jar is of use on this platform: not so the native code of another one."""
    names = {"linux": "linux", "darwin": "osx"}
    machines = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch_64", "arm64": "aarch_64"}
    if not jar.classifier.startswith(("linux-", "osx-")):
        return True
    here = f"{names.get(system.lower(), system)}-{machines.get(machine.lower(), machine)}"
    return jar.classifier == here


@cache
def pinned(part: str, pins: Path = PINS) -> tuple[Jar, ...]:
    """The jars of a part on this platform."""
    jars = parse(pins.read_text(), part)
    return tuple(jar for jar in jars if is_wanted(jar, platform.system(), platform.machine()))


def version(part: str) -> str:
    """The pinned version of the part itself."""
    main = {"kafka": "kafka_2.13", "cassandra": "cassandra-all"}[part]
    return next(jar.version for jar in pinned(part) if jar.artifact == main)


def class_path(
    part: str, say: Callable[[str], None], stop: threading.Event, pins: Path = PINS
) -> list[Path]:
    """Every jar of a part, in the cache; what is missing is downloaded.

    Raises:
        StackError: a jar cannot be downloaded, or is not the pinned one.
    """
    home = settings().cache_dir / "jars"
    jars = pinned(part, pins)
    missing = [jar for jar in jars if not is_cached(home, jar)]
    if missing:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home, ignore_cleanup_errors=True) as incoming:
                _Download(part, missing, home, Path(incoming), say).run(stop)
        except OSError as error:
            raise _explain(part, error) from error
    return [home / jar.filename for jar in jars]


def is_cached(home: Path, jar: Jar) -> bool:
    """Whether the jar is there in full (it was checked before it was moved there)."""
    try:
        return (home / jar.filename).stat().st_size == jar.size
    except OSError:
        return False


class _Download:
    """Fetches jars side by side, and says how far it is."""

    def __init__(
        self,
        part: str,
        jars: Iterable[Jar],
        home: Path,
        incoming: Path,
        say: Callable[[str], None],
    ) -> None:
        self.part = part
        self.jars = sorted(jars, key=lambda jar: -jar.size)
        self.home = home
        self.say = say
        self.total = sum(jar.size for jar in self.jars)
        self.done = 0
        self.done_jars = 0
        self.said = time.monotonic()
        self.lock = threading.Lock()
        self.maven = _maven(incoming)

    def run(self, stop: threading.Event) -> None:
        self.say(f"{self.part}: downloading {len(self.jars)} jars, {self.total / 1e6:.0f} MB")
        mine = threading.Event()

        def job(jar: Jar) -> Callable[[threading.Event], None]:
            def fetch(_: threading.Event) -> None:
                if stop.is_set():
                    raise Cancelled(f"{self.part}: stopped while downloading")
                self._fetch(jar)

            return fetch

        run_all([job(jar) for jar in self.jars], mine, WIDTH)

    def _fetch(self, jar: Jar) -> None:
        import requests

        project = self.maven.project(jar.group, jar.artifact)
        artifact = project.at_version(jar.version).artifact(jar.classifier, "jar")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                file = artifact.resolve()
                if file.stat().st_size != jar.size and file != artifact.cached_path:
                    file = self.maven.resolver.download(artifact)  # the user's own is broken
                self._keep(jar, file)
                break
            # RuntimeError: jgo found it in no repository, or a repository answered with an error
            except (requests.RequestException, ConnectionError, RuntimeError) as error:
                artifact.cached_path.unlink(missing_ok=True)
                if attempt == ATTEMPTS:
                    raise _offline(self.part, jar, error) from error
                time.sleep(0.5 * attempt)
        with self.lock:
            self.done += jar.size
            self.done_jars += 1
            if time.monotonic() - self.said > 2:
                self.said = time.monotonic()
                self.say(
                    f"{self.part}: {self.done_jars} of {len(self.jars)} jars, "
                    f"{self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB"
                )

    def _keep(self, jar: Jar, file: Path) -> None:
        """Check the file and move it into the cache in one step."""
        if file.stat().st_size != jar.size:
            raise ConnectionError(f"{file.stat().st_size} of {jar.size} bytes came")
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != jar.sha256:
            raise StackError(
                f"{jar.filename} is not the file that Headrace was tested with",
                f"SHA-256 {found}, expected {jar.sha256}, from {file}",
                "a Maven mirror or proxy may have changed it: see the repositories in jgo.conf",
            )
        incoming = Path(self.maven.repo_cache)
        if incoming in file.parents:
            file.replace(self.home / jar.filename)
        else:  # from the user's own Maven repository, which is left as it is
            copy = incoming / jar.filename
            shutil.copyfile(file, copy)
            copy.replace(self.home / jar.filename)


def _maven(incoming: Path) -> Any:
    """jgo with the user's jgo.conf (repositories, mirrors) and local Maven repository."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    config = GlobalSettings.load()
    maven = MavenContext(repo_cache=incoming, local_repos=[config.repo_cache], timeout=TIMEOUT_S)
    maven.remote_repos.update(config.repositories)
    return maven


def _offline(part: str, jar: Jar, error: Exception) -> StackError:
    setting = {"kafka": "KAFKA_BROKERS", "cassandra": "CASSANDRA_HOSTS"}.get(part)
    instead = f", or set {setting} to a server of your own" if setting else ""
    return StackError(
        f"Cannot download {jar.filename} for {part}",
        str(error),
        "the first start needs the network (later ones do not): check the connection, name a "
        f"Maven mirror under [repositories] in jgo.conf, copy {settings().cache_dir} from another "
        f"machine{instead}",
    )


def _explain(part: str, error: OSError) -> StackError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some disk space, or set HEADRACE_CACHE_DIR to another disk"
    else:
        hint = "set HEADRACE_CACHE_DIR to a directory that you may write to"
    return StackError(f"Cannot keep the jars of {part}", str(error), hint)
