"""The monitor's pages for people."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from streams.engine.pages import RATE_SECONDS, SLOWEST, Rates, stages_page


class Cells(HTMLParser):
    """The rows of all tables, and whatever else is said."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self._is_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        self._is_cell = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        elif self._is_cell:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.rows[-1][-1] += data
        else:
            self.texts.append(data)

    def handle_endtag(self, _tag: str) -> None:
        self._is_cell = False


def said(**more: Any) -> dict[str, Any]:
    """What the JSON says of a topic that did nothing yet."""
    return {
        "partitions": [0, 1],
        "lag": {0: 0, 1: 0},
        "records": 0,
        "batches": 0,
        "checkpoint_seconds": 0.0,
        "rows": {},
        "dead_letters": {"not_avro": 0},
        "restores": {},
        "hottest": {"records": [], "deliveries": []},
        **more,
    }


def page(stages: dict[str, Any], **more: Any) -> Cells:
    options: dict[str, Any] = {"not_ready": None, "degraded": [], **more}
    return Cells(stages_page("headrace-app", stages, {"posts": 12.25}, **options))


def test_a_topic_is_a_row() -> None:
    busy = said(
        lag={0: 1_000, 1: 234},
        records=5_000,
        batches=50,
        checkpoint_seconds=1.0,
        rows={"post": 3_000, "body": 1},
        dead_letters={"not_avro": 2, "too_large": 0},
        restores={0: {"rows": 10, "percent": 100.0}, 1: {"rows": 5, "percent": 41.7}},
    )
    rows = page({"posts": busy, "by-post": said()}).rows
    assert ["posts", "2", "12.2", "1,234", "100.0", "20.0 ms", "3,001", "2", "1: 42 %"] in rows
    assert ["by-post", "2", "0.0", "0", "-", "-", "0", "0", "-"] in rows
    assert ["posts/0", "1,000"] in rows
    assert ["posts", "not_avro", "2"] in rows
    assert not any("too_large" in row for row in rows)


def test_the_slowest_partitions_come_first_and_are_few() -> None:
    rows = page({"posts": said(lag={number: number for number in range(30)})}).rows
    waiting = [row for row in rows if row[0].startswith("posts/")]
    assert waiting == [[f"posts/{number}", str(number)] for number in range(29, 29 - SLOWEST, -1)]


def test_nothing_that_waits_and_no_letters_are_said() -> None:
    texts = page({"posts": said()}).texts
    assert {"ready", "Nothing waits.", "None."} <= set(texts)


def test_the_hottest_are_few_and_have_a_share_that_counts() -> None:
    def hot(*shares: float) -> list[dict[str, Any]]:
        keys = [f"k{share:.3f}" for share in shares]
        return [
            {"key": key, "per_s": 1_234.5, "share": share}
            for key, share in zip(keys, shares, strict=True)
        ]

    keys = {"records": hot(0.4, 0.3, 0.2, 0.1), "deliveries": []}
    sources = {"records": hot(0.0099), "deliveries": [{"key": "u" * 90, "per_s": 2, "share": 1.0}]}
    found = page({"by-post": said(hottest=keys), "by-source": said(hottest=sources)})
    assert [row for row in found.rows if row[-1].startswith("k0")] == [
        ["by-post", "40%", "1,234.50", "k0.400"],
        ["by-post", "30%", "1,234.50", "k0.300"],
        ["by-post", "20%", "1,234.50", "k0.200"],
    ]
    assert ["by-source", "100%", "2.00", f"{'u' * 48}..."] in found.rows
    assert {"Hottest keys lately", "Hottest sources lately"} <= set(found.texts)
    assert not any("Hottest" in text for text in page({"posts": said()}).texts)


@pytest.mark.parametrize("name", ["not_ready", "degraded"])
def test_what_is_wrong_is_said_and_is_no_markup(name: str) -> None:
    evil = "<script>alert(1)</script>"
    found = page({"posts": said()}, **{name: evil if name == "not_ready" else ["redis", evil]})
    assert any(evil in text for text in found.texts)


def test_rates_are_of_some_seconds() -> None:
    now = 100.0
    rates = Rates(lambda: now)
    assert rates.of({"posts": 10}) == {}
    now += RATE_SECONDS
    assert rates.of({"posts": 50}) == {"posts": 50 / RATE_SECONDS}
    now += RATE_SECONDS / 2
    assert rates.of({"posts": 60}) == {"posts": 50 / RATE_SECONDS}
    now += RATE_SECONDS / 2
    assert rates.of({"posts": 60, "users": 4}) == {
        "posts": 10 / RATE_SECONDS,
        "users": 4 / RATE_SECONDS,
    }
