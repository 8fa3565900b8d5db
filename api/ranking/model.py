"""A learned model of what readers engage with, and the file that it is kept in.

The file's first line is a header in JSON; the rest is LightGBM's own text format.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from api.ranking.columns import COLUMNS, VERSION, columns_of
from api.ranking.features import Features
from api.ranking.weights import WeightsError

MAX_BYTES = 64 * 1024 * 1024
BASE = "base"
"""The term that a model gives to every post."""


class ModelError(WeightsError):
    """A model that cannot be used; says which file, and why."""


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model was made for: the columns and their version, the time (ms) up to which it knows
    what was done, and the SHA-256 of the text behind the header."""

    version: int
    columns: tuple[str, ...]
    trained_to: int
    sha256: str


class Model:
    """A model that is loaded; safe to share between threads."""

    def __init__(self, header: Header, booster: Any) -> None:
        self.header = header
        self._booster = booster

    def log_odds(self, rows: Sequence[Features]) -> list[float]:
        """Of each row, the natural logarithm of the odds that the reader engages with it."""
        found: list[float] = self._predict(rows, raw_score=True).tolist()
        return found

    def contributions(self, rows: Sequence[Features]) -> list[list[float]]:
        """Of each row, what each column and at last the base adds to the log-odds: SHAP values
        (Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", 2017). Many
        times as costly as `log_odds`."""
        found: list[list[float]] = self._predict(rows, pred_contrib=True).tolist()
        return found

    def _predict(self, rows: Sequence[Features], **what: bool) -> Any:
        import numpy as np

        matrix = np.array([columns_of(row) for row in rows], dtype=np.float64)
        return self._booster.predict(matrix, num_threads=1, **what)


def lightgbm() -> Any:
    """The library, which takes a second to load.

    Raises:
        ModelError: it is not installed, or lacks what it needs of the system.
    """
    try:
        import lightgbm as library
    except ImportError as error:
        raise ModelError(
            f"LightGBM, which the ranker `model` needs, is not installed: {error}.\n"
            "hint: install the dependencies anew (scripts/setup)"
        ) from error
    except OSError as error:
        raise ModelError(
            f"LightGBM, which the ranker `model` needs, cannot be loaded: {error}.\n"
            "hint: it needs the system's library libgomp (Debian and Ubuntu: libgomp1; Fedora and "
            "Alpine: libgomp)"
        ) from error
    return library


def write_model(path: Path, text: str, trained_to: int) -> None:
    """Write LightGBM's text with its header; who reads the path has the former file or the new one.

    Raises:
        OSError: it cannot be written.
    """
    body = text.encode()
    digest = hashlib.sha256(body).hexdigest()
    header = Header(version=VERSION, columns=COLUMNS, trained_to=trained_to, sha256=digest)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(header) + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_model(path: str) -> Model:
    """The model in a file.

    Raises:
        ModelError: there is none, it was made for other columns than those of this version, or it
            is damaged.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"the model {path} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ModelError(f"the model {path} is over {MAX_BYTES >> 20} MiB")
    first, _, body = raw.partition(b"\n")
    header = _header(path, first)
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise ModelError(f"the model {path} is damaged: its text is not what its header names")
    library = lightgbm()
    try:
        booster = library.Booster(model_str=body.decode())
    except (library.basic.LightGBMError, UnicodeDecodeError) as error:
        raise ModelError(f"the model {path} is not LightGBM's: {error}") from error
    if tuple(booster.feature_name()) != COLUMNS or booster.num_model_per_iteration() != 1:
        raise ModelError(f"the model {path} is not for the columns that its header names")
    return Model(header, booster)


def _header(path: str, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"the model {path} has no header in its first line: {error}") from error
    differences = []
    if header.version != VERSION:
        differences.append(f"version {header.version} instead of {VERSION}")
    if missing := [name for name in COLUMNS if name not in header.columns]:
        differences.append(f"without {', '.join(missing)}")
    if unknown := [name for name in header.columns if name not in COLUMNS]:
        differences.append(f"with {', '.join(unknown)}")
    if not differences and header.columns != COLUMNS:
        differences.append("in another order")
    if differences:
        raise ModelError(
            f"the model {path} is for other columns: {'; '.join(differences)}.\n"
            "hint: train it anew (headrace train)"
        )
    return header
