"""The load of `headrace bench read`, a process of its own: `python -m bench.read_load PLAN OUT`.

Raw connections that are kept alive, because httpx would take longer than the API.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections import deque
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Literal

import msgspec
import uvloop
from msgspec import Struct, field

CONNECTIONS = 64
AT_ONCE = 16
"""Requests under way in a closed loop."""

RANKED_PART = 5
"""One read of so many is of the ranked feed ..."""

NEW_PART = 4
"""... and one of so many of those makes a new one."""

LATE_S = 10.0

Kind = Literal["latest", "ranked_new", "ranked_next"]


class Reader(Struct):
    """Who reads, and what must be shown: the first page of `latest`, and of what a ranked feed may
    consist."""

    token: str
    newest: list[str]
    candidates: list[str]


class Plan(Struct):
    """What to ask of whom; without a rate as much as is answered, of `latest` alone."""

    port: int
    path: str
    readers: list[Reader]
    seconds: float
    warm_up_s: float
    rate: float | None = None
    core: int | None = None


class Outcome(Struct):
    """Milliseconds from when each request was due to the end of its answer; how many requests there
    were, how many answers in how many seconds behind the warm-up; and what was wrong with the first
    that was."""

    latest_ms: list[float] = field(default_factory=list)
    ranked_new_ms: list[float] = field(default_factory=list)
    ranked_next_ms: list[float] = field(default_factory=list)
    asked: int = 0
    answers: int = 0
    seconds: float = 0.0
    wrong: str | None = None


class _Post(Struct):
    post_id: str


class _Page(Struct):
    posts: list[_Post] = field(default_factory=list)
    next_cursor: str | None = None
    degraded: list[str] = field(default_factory=list)


_PAGE = msgspec.json.Decoder(_Page)


class _Ranked(Struct):
    """A ranked feed as far as it was read."""

    cursor: str
    shown: set[str]


class Load:
    """Asks, checks and times."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = Random(11)
        self._free: deque[tuple[StreamReader, StreamWriter]] = deque()
        self._ranked: dict[int, _Ranked] = {}
        self._outcome = Outcome()
        self._from = 0.0
        self._slots = asyncio.Semaphore(CONNECTIONS)

    async def run(self) -> Outcome:
        """All of the plan."""
        plan = self._plan
        for _ in range(CONNECTIONS):
            self._free.append(await asyncio.open_connection("127.0.0.1", plan.port))
        if plan.rate is not None:
            await self._open_feeds()
        began = time.perf_counter()
        self._from = began + plan.warm_up_s
        until = self._from + plan.seconds
        if plan.rate is None:
            await asyncio.gather(*(self._keep_asking(until) for _ in range(AT_ONCE)))
        else:
            await self._keep_rate(began, until, plan.rate)
        self._outcome.seconds = plan.seconds
        for _, writer in self._free:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        return self._outcome

    async def _open_feeds(self) -> None:
        """A ranked feed for each reader, to go on in."""
        for number in range(len(self._plan.readers)):
            await self._ask(number, "ranked_new", time.perf_counter())

    async def _keep_asking(self, until: float) -> None:
        while (now := time.perf_counter()) < until:
            await self._ask(self._random.randrange(len(self._plan.readers)), "latest", now)

    async def _keep_rate(self, began: float, until: float, rate: float) -> None:
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        while (due := began + number / rate) < until:
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            reader = self._random.randrange(len(self._plan.readers))
            task = asyncio.create_task(self._ask(reader, self._kind(number, reader), due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=LATE_S)
            if late:
                self._wrong(f"{len(late)} reads were not answered")
                for each in late:
                    each.cancel()
                await asyncio.wait(late)

    def _kind(self, number: int, reader: int) -> Kind:
        if number % RANKED_PART:
            return "latest"
        if number // RANKED_PART % NEW_PART == 0 or reader not in self._ranked:
            return "ranked_new"
        return "ranked_next"

    async def _ask(self, number: int, kind: Kind, due: float) -> None:
        reader = self._plan.readers[number]
        self._outcome.asked += 1
        query = ""
        ranked = self._ranked.get(number)
        if kind == "ranked_new":
            query = "&mode=ranked"
        elif kind == "ranked_next":
            assert ranked is not None
            query = f"&mode=ranked&cursor={ranked.cursor}"
        path = self._plan.path.format(number=number)
        request = (
            f"GET {path}{query} HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {reader.token}\r\n\r\n"
        )
        async with self._slots:
            connection = self._free.popleft()  # all in turn: one that is idle for 5 s is closed
            try:
                body = await _exchange(*connection, request.encode())
            finally:
                self._free.append(connection)
        done = time.perf_counter()
        page = _PAGE.decode(body)
        self._check(number, kind, ranked, page, body)
        if done >= self._from:
            self._outcome.answers += 1
        if due >= self._from:
            times: list[float] = getattr(self._outcome, f"{kind}_ms")
            times.append((done - due) * 1_000)

    def _check(
        self, number: int, kind: Kind, before: _Ranked | None, page: _Page, body: bytes
    ) -> None:
        reader = self._plan.readers[number]
        shown = [post.post_id for post in page.posts]
        if page.degraded or not shown:
            self._wrong(body[:200].decode(errors="replace"))
        elif kind == "latest" and shown != reader.newest:
            self._wrong("a page is not of the newest posts")
        elif kind != "latest":
            known = before.shown if before is not None and kind == "ranked_next" else set[str]()
            if len({*shown} | known) != len(shown) + len(known):
                self._wrong("a ranked feed repeats a post")
            if not {*shown} <= {*reader.candidates}:
                self._wrong("a ranked feed has a post that is no candidate")
            if page.next_cursor is None:
                self._ranked.pop(number, None)
            elif self._ranked.get(number) is before:  # nobody else went on meanwhile
                self._ranked[number] = _Ranked(page.next_cursor, known | {*shown})

    def _wrong(self, what: str) -> None:
        self._outcome.wrong = self._outcome.wrong or what


async def _exchange(reader: StreamReader, writer: StreamWriter, request: bytes) -> bytes:
    """The body of the answer to one request."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    marker = b"content-length: "
    start = head.lower().index(marker) + len(marker)
    length = int(head[start : head.index(b"\r", start)])
    return await reader.readexactly(length)


def main(plan_file: str, out_file: str) -> None:
    """Do what a plan says, and write what came of it."""
    plan = msgspec.msgpack.decode(Path(plan_file).read_bytes(), type=Plan)
    if plan.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {plan.core})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(Load(plan).run())
    Path(out_file).write_bytes(msgspec.msgpack.encode(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
