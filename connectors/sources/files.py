"""Reads text files of edges and actions, gzipped or plain, and tells which is which."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, cast

FileKind = Literal["follows", "higgs"]

HIGGS_KINDS = frozenset({"RT", "MT", "RE"})

_GZIP_MAGIC = b"\x1f\x8b"


class SourceError(Exception):
    """A file that cannot be read as events; the text has what, why and what to do."""


def lines_of(path: Path | str) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers from 1, without those empty or beginning with `#`.

    Raises:
        SourceError: the file cannot be read, or is not text.
    """
    try:
        with Path(path).open("rb") as file:
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            raw = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if is_gzip else file
            with io.TextIOWrapper(raw, encoding="utf-8-sig") as text:
                for number, line in enumerate(text, 1):
                    if line[0] not in "#\n":
                        yield number, line.rstrip()
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read.\n{error}") from error
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not a text file.\n{error}\n"
            "hint: edge lists and activity files are text, plain or gzipped."
        ) from error


def kind_of(path: Path | str) -> FileKind:
    """What a file holds, by its first line: `follows` (two columns) or `higgs` actions (four).

    Raises:
        SourceError: neither.
    """
    for number, line in lines_of(path):
        columns = columns_of(line)
        if len(columns) == 2:
            return "follows"
        if len(columns) == 4 and columns[3] in HIGGS_KINDS:
            return "higgs"
        raise SourceError(
            f"{path} is neither an edge list nor an activity file.\n"
            f"Line {number} is {line[:80]!r}.\n"
            "hint: an edge list has lines `u v` or `u,v`, an activity file `a b seconds RT|MT|RE`."
        )
    raise SourceError(f"{path} is empty.")


def columns_of(line: str) -> list[str]:
    """The columns of a line, between commas or white space."""
    return line.split(",") if "," in line else line.split()
