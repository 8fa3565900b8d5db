"""The environment of a peer that the product's own cannot hold: made when first needed."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from connectors.settings import settings
from connectors.stack.errors import StackError

LOCK = Path(__file__).with_name("requirements.lock")
NAME = "bench-quix"


def python_of_peer(say: Callable[[str], None]) -> Path:
    """Its Python; what requirements.lock names is installed in the cache directory, once.

    Raises:
        StackError: it could not be installed.
    """
    cache = settings().cache_dir
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / NAME
    python = home / "bin" / "python"
    stamp = home / "stamp"
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    with (cache / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return python
        say("installing quixstreams into an environment of its own (a minute, once)")
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(home)])
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, "--require-hashes", "--requirement", str(LOCK)])
        stamp.write_text(wanted)
        return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(
            "quixstreams could not be installed",
            (done.stdout + done.stderr)[-2_000:],
            "leave it out: --systems headrace,stock",
        )
