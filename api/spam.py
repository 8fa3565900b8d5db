"""What is taken for spam, by rules that a file may set."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

Reason = Literal["keyword", "capitals", "links", "run", "repetition"]

Count = Annotated[int, Meta(ge=0)]
_LINK = re.compile(r"https?://|(?<![\w./])www\.", re.IGNORECASE)
_INVISIBLE = "Cf"
_MARKS_IN_A_ROW = 30
"""No language needs more (Unicode Standard Annex 15, "Stream-Safe Text Format")."""


class RulesError(Exception):
    """The file of rules cannot be used."""


class SpamRules(Struct, frozen=True, forbid_unknown_fields=True):
    """When a text is spam. The defaults are those of 002, "Security & Anti-Spam"; a bound that is
    null is none.

    `keywords` are looked for anywhere in a text, whatever the case, the width of letters and what
    stands between words; they are as `plain` makes them. More capitals than `capitals` of a text of
    more than `capitals_over` characters are too many; so are more than `links`, more than `run`
    times the same character (but spaces) in a row, and the same word more than `repetition` times.
    """

    keywords: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=1_000)] = (
        "viagra",
        "casino",
        "free money",
    )
    capitals: Annotated[float, Meta(ge=0, le=1)] | None = 0.7
    capitals_over: Count = 10
    links: Count | None = None
    run: Annotated[int, Meta(ge=1)] | None = None
    repetition: Annotated[int, Meta(ge=1)] | None = None

    def reasons(self, text: str) -> list[Reason]:
        """Why a text is spam; O(text · keywords)."""
        said = plain(text)
        found: dict[Reason, bool] = {
            "keyword": any(word in said for word in self.keywords),
            "capitals": self._has_many_capitals(text),
            "links": self.links is not None and len(_LINK.findall(text)) > self.links,
            "run": self.run is not None and _longest_run(text) > self.run,
            "repetition": self.repetition is not None and _most_used(said) > self.repetition,
        }
        return [reason for reason, is_so in found.items() if is_so]

    def _has_many_capitals(self, text: str) -> bool:
        if self.capitals is None or len(text) <= self.capitals_over:
            return False
        return sum(map(str.isupper, text)) > self.capitals * len(text)


def load_rules(path: Path | None) -> SpamRules:
    """The rules in a JSON file; without one, those of 002.

    Raises:
        RulesError: it cannot be read, or says something else.
    """
    if path is None:
        return SpamRules()
    try:
        rules = msgspec.json.decode(path.read_bytes(), type=SpamRules)
    except OSError as error:
        raise RulesError(f"HEADRACE_SPAM_RULES {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise RulesError(f"HEADRACE_SPAM_RULES {path}: {error}") from error
    keywords = tuple(map(plain, rules.keywords))
    if not all(keywords):
        raise RulesError(f"HEADRACE_SPAM_RULES {path}: a keyword has no visible character")
    return replace(rules, keywords=keywords)


def plain(text: str) -> str:
    """A text without case, width, invisible characters and differences in space."""
    narrow = unicodedata.normalize("NFKC", _safe(text))
    shown = "".join(c for c in narrow if unicodedata.category(c) != _INVISIBLE)
    return " ".join(shown.casefold().split())


def _safe(text: str) -> str:
    """A text without the marks beyond 30 in a row: putting marks in order takes the square of their
    number."""
    if text.isascii():
        return text
    kept, in_a_row = [], 0
    for character in text:
        in_a_row = in_a_row + 1 if _is_mark(character) else 0
        if in_a_row <= _MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)


@lru_cache(4096)
def _is_mark(character: str) -> bool:
    """Whether a character goes onto the one before, decomposed."""
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0


def _longest_run(text: str) -> int:
    runs = (sum(1 for _ in same) for c, same in groupby(text) if not c.isspace())
    return max(runs, default=0)


def _most_used(said: str) -> int:
    return max(Counter(said.split()).values(), default=0)
