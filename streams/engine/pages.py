"""The pages of the monitor for people: what the JSON of the same address says, also on a phone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

SLOWEST = 10
HOTTEST = 3
HOT_SHARE = 0.01
LONGEST_KEY = 48
REFRESH_SECONDS = 5
RATE_SECONDS = 2.0

_STYLE = """
:root{color-scheme:light dark;font:15px/1.4 system-ui,sans-serif}
body{margin:0 auto;max-width:72rem;padding:.8rem}
h1{font-size:1.3rem;margin:.2rem 0}h2{font-size:1.05rem;margin:1.2rem 0 .3rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #8884;white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:Canvas}
.keys td:last-child{white-space:normal;overflow-wrap:anywhere}
.ok{color:#15803d}.bad{color:#b91c1c}nav a{margin-right:1rem}
"""


class Rates:
    """Records a second by topic, between two looks that are some seconds apart."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._records: dict[str, int] = {}
        self._rates: dict[str, float] = {}

    def of(self, records: Mapping[str, int]) -> dict[str, float]:
        """The rates, given how many records each topic has had."""
        now = self._clock()
        passed = now - self._looked_at
        if passed >= RATE_SECONDS:
            self._rates = {
                topic: (count - self._records.get(topic, 0)) / passed
                for topic, count in records.items()
            }
            self._records, self._looked_at = dict(records), now
        return self._rates


def stages_page(
    app: str,
    stages: Mapping[str, Mapping[str, Any]],
    rates: Mapping[str, float],
    *,
    not_ready: str | None,
    degraded: Sequence[str],
) -> str:
    """The page of an app: `stages` is what its JSON says of each topic."""
    state = (
        '<strong class="ok">ready</strong>'
        if not_ready is None
        else f'<strong class="bad">not ready: {escape(not_ready)}</strong>'
    )
    if degraded:
        state += f' <strong class="bad">without {escape(", ".join(degraded))}</strong>'
    slow = _slowest(stages)
    letters = [
        (topic, code, f"{count:,}")
        for topic, said in stages.items()
        for code, count in sorted(said["dead_letters"].items())
        if count
    ]
    return "".join(
        [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width,initial-scale=1'>",
            f"<meta http-equiv=refresh content={REFRESH_SECONDS}>",
            f"<title>{escape(app)}</title><style>{_STYLE}</style>",
            f"<h1>{escape(app)}</h1><p>{state}</p>",
            "<nav><a href='/topology/'>topology</a><a href='/metrics/'>metrics</a>",
            "<a href='/readyz/'>readiness</a><a href='/stages/?format=json'>JSON</a>",
            "<a href='/table/'>Faust's tables</a></nav>",
            "<h2>Topics</h2>",
            _table(_COLUMNS, (_row(topic, stages[topic], rates) for topic in stages)),
            "<h2>Partitions with most that waits</h2>",
            _table(("partition", "records that wait"), slow) if slow else "<p>Nothing waits.</p>",
            *_hottest(stages),
            "<h2>Dead letters</h2>",
            _table(("topic", "reason", "records"), letters) if letters else "<p>None.</p>",
        ]
    )


_COLUMNS = (
    *("topic", "partitions", "records/s", "wait", "a batch", "checkpoint", "rows"),
    *("dead letters", "restoring"),
)


def _row(topic: str, said: Mapping[str, Any], rates: Mapping[str, float]) -> Sequence[str]:
    batches = said["batches"]
    restoring = [
        f"{partition}: {progress['percent']:.0f} %"
        for partition, progress in said["restores"].items()
        if progress["percent"] < 100
    ]
    return (
        topic,
        f"{len(said['partitions'])}",
        f"{rates.get(topic, 0.0):,.1f}",
        f"{sum(said['lag'].values()):,}",
        f"{said['records'] / batches:,.1f}" if batches else "-",
        f"{said['checkpoint_seconds'] / batches * 1000:,.1f} ms" if batches else "-",
        f"{sum(said['rows'].values()):,}",
        f"{sum(said['dead_letters'].values()):,}",
        ", ".join(restoring) or "-",
    )


def _slowest(stages: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    waiting = [
        (count, f"{topic}/{partition}")
        for topic, said in stages.items()
        for partition, count in said["lag"].items()
        if count
    ]
    waiting.sort(reverse=True)
    return [(name, f"{count:,}") for count, name in waiting[:SLOWEST]]


def _hottest(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What costs most lately: of each topic the first few with a share that counts."""
    for heading, what, key in _HOT:
        rows = [
            (topic, f"{hot['share']:.0%}", f"{hot['per_s']:,.2f}", _cut(hot["key"]))
            for topic, said in stages.items()
            for hot in said["hottest"][what][:HOTTEST]
            if hot["share"] >= HOT_SHARE
        ]
        if rows:
            yield f"<h2>{heading}</h2>"
            yield f"<div class=keys>{_table(('topic', 'share', f'{what}/s', key), rows)}</div>"


_HOT = (
    ("Hottest keys lately", "records", "key"),
    ("Hottest sources lately", "deliveries", "source"),
)


def _cut(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}..."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )
