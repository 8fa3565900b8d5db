"""Circuit breakers: every transition; and what is left of a request's time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from unittest import mock

import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from structlog.testing import capture_logs

from api import boundary, deadline
from api.circuit import FAILURES, OPEN, OPEN_SECONDS, Breaker
from api.deadline import bound_by, time_left
from api.stores import NotFilledError, StoreDownError
from tests.unit.api_fakes import World


class Store:
    """A store that answers, fails, or refuses, and the circuit to it."""

    def __init__(self, ping_seconds: float = 3_600) -> None:
        self.error: StoreDownError | None = None
        self.calls = self.pings = 0
        self.answers_pings = False
        self.now = 0.0
        self.circuit = Breaker("redis", self.ping, lambda: self.now, ping_seconds)

    async def call(self) -> str:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return "answer"

    async def ping(self) -> None:
        self.pings += 1
        if not self.answers_pings:
            raise StoreDownError("redis", "ConnectionError")

    def fail(self, *, is_outage: bool = True) -> None:
        self.error = StoreDownError("redis", "ConnectionError", is_outage=is_outage)

    async def ask(self, times: int = 1) -> str:
        """What the last of some calls comes to."""
        outcome = ""
        for _ in range(times):
            try:
                outcome = await self.circuit.run(self.call)
            except StoreDownError as error:
                outcome = error.reason
        return outcome

    async def open(self) -> None:
        self.fail()
        assert await self.ask(FAILURES) == "ConnectionError"
        assert self.circuit.state == "open"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(5_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


def run(case: Callable[[Store], Awaitable[None]], **options: float) -> None:
    async def held() -> None:
        store = Store(**options)
        await case(store)
        await store.circuit.close()

    asyncio.run(held())


def test_five_failures_in_a_row_open_it() -> None:
    async def case(store: Store) -> None:
        store.fail()
        await store.ask(FAILURES - 1)
        store.error = None
        assert await store.ask() == "answer"
        store.fail()
        await store.ask(FAILURES - 1)
        assert store.circuit.state == "closed"
        assert OPEN.labels("redis")._value.get() == 0
        assert await store.ask() == "ConnectionError"
        assert store.circuit.state == "open"
        assert OPEN.labels("redis")._value.get() == 1

    run(case)


def test_an_open_one_does_not_ask() -> None:
    async def case(store: Store) -> None:
        await store.open()
        store.error = None
        store.now = OPEN_SECONDS - 0.001
        assert await store.ask(3) == "circuit open"
        assert store.calls == FAILURES

    run(case)


def test_what_says_nothing_of_the_store_does_not_open_it() -> None:
    async def case(store: Store) -> None:
        store.fail(is_outage=False)
        await store.ask(3 * FAILURES)
        assert store.circuit.state == "closed"

    run(case)


def test_a_store_that_is_being_filled_answers() -> None:
    async def case(store: Store) -> None:
        await store.open()
        store.circuit.answered()
        store.error = NotFilledError("redis")
        assert await store.ask() == "being filled"
        assert store.circuit.state == "closed"
        store.fail()
        await store.ask(FAILURES - 1)
        store.error = NotFilledError("redis")
        await store.ask()
        store.fail()
        await store.ask(FAILURES - 1)
        assert store.circuit.state == "closed"

    run(case)


def test_after_30_seconds_one_call_decides() -> None:
    async def case(store: Store) -> None:
        await store.open()
        store.now = OPEN_SECONDS
        assert await store.ask() == "ConnectionError"
        assert await store.ask() == "circuit open"
        store.now = 2 * OPEN_SECONDS
        store.error = None
        assert await store.ask() == "answer"
        assert store.circuit.state == "closed"
        assert OPEN.labels("redis")._value.get() == 0
        store.fail()
        await store.ask(FAILURES - 1)
        assert store.circuit.state == "closed"

    run(case)


def test_half_open_one_call_goes_through_at_a_time() -> None:
    async def case(store: Store) -> None:
        await store.open()
        store.circuit.answered()
        gate = asyncio.Event()

        async def slow() -> str:
            await gate.wait()
            return "answer"

        trial = asyncio.create_task(store.circuit.run(slow))
        await asyncio.sleep(0)
        assert await store.ask() == "circuit open"
        assert store.circuit.state == "half_open"
        gate.set()
        assert await trial == "answer"
        assert store.circuit.state == "closed"

    run(case)


def test_a_trial_that_is_cancelled_makes_way_for_another() -> None:
    async def case(store: Store) -> None:
        await store.open()
        store.circuit.answered()
        trial = asyncio.create_task(store.circuit.run(asyncio.Event().wait))
        await asyncio.sleep(0)
        trial.cancel()
        with suppress(asyncio.CancelledError):
            await trial
        store.error = None
        assert await store.ask() == "answer"

    run(case)


def test_what_was_asked_before_it_opened_changes_nothing() -> None:
    async def case(store: Store) -> None:
        gate = asyncio.Event()

        async def slow() -> str:
            await gate.wait()
            return "answer"

        late = asyncio.create_task(store.circuit.run(slow))
        await asyncio.sleep(0)
        await store.open()
        gate.set()
        assert await late == "answer"
        assert store.circuit.state == "open"

    run(case)


def test_a_ping_that_is_answered_makes_it_half_open() -> None:
    async def case(store: Store) -> None:
        await store.open()
        await until(lambda: store.pings >= 3)
        assert store.circuit.state == "open"
        store.answers_pings = True
        await until(lambda: store.circuit.state != "open")
        assert await store.ask() == "ConnectionError"
        assert store.circuit.state == "open"
        await until(lambda: store.circuit.state != "open")
        store.error = None
        assert await store.ask() == "answer"
        assert store.circuit.state == "closed"
        pings = store.pings
        await asyncio.sleep(0.02)
        assert store.pings <= pings + 1, "pings go on"

    run(case, ping_seconds=0.001)


def test_pings_have_all_the_time() -> None:
    left: list[float | None] = []

    async def case(store: Store) -> None:
        async def ping() -> None:
            left.append(time_left())

        circuit = Breaker("redis", ping, lambda: 0.0, 0.001)
        store.circuit = circuit
        async with asyncio.timeout(5) as patience:
            with bound_by(patience):
                await store.open()
                await until(lambda: bool(left))

    run(case)
    assert left[0] is None


def test_a_call_may_take_what_is_left_of_the_request() -> None:
    async def run() -> None:
        assert time_left(0.5) == 0.5
        assert time_left() is None
        async with asyncio.timeout(10) as patience:
            with bound_by(patience):
                assert time_left(0.5) == 0.5
                patience.reschedule(asyncio.get_running_loop().time() + 0.35)
                await asyncio.sleep(0)
                assert 0 < (time_left(0.5) or 0) <= 0.25
                assert 0 < (time_left() or 0) <= 0.25
                patience.reschedule(None)
                assert time_left(0.5) == 0.5
                patience.reschedule(asyncio.get_running_loop().time() + 0.35)
            assert time_left() is None

    asyncio.run(run())


def test_the_boundary_says_how_long_a_request_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "REQUEST_SECONDS", 7)
    left: list[float | None] = []

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        left.append(time_left())
        await PlainTextResponse("")(scope, receive, send)
        left.append(time_left())

    world = World()
    world.app = boundary.Boundary(app, CollectorRegistry())
    world.ask("GET", "/")
    assert 6 < (left[0] or 0) <= 7
    assert left[1] is None


def test_nothing_of_a_request_outlives_it() -> None:
    kept: list[weakref.ref[asyncio.Timeout]] = []

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        patience = deadline._patience.get()
        assert patience is not None
        kept.append(weakref.ref(patience))
        await PlainTextResponse("")(scope, receive, send)

    served = boundary.Boundary(app, CollectorRegistry())
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

    async def run() -> None:
        await asyncio.create_task(served(scope, mock.AsyncMock(), mock.AsyncMock()))
        assert [each() for each in kept] == [None]

    gc.disable()  # what it finds, it stops all for
    try:
        asyncio.run(run())
    finally:
        gc.enable()
