"""A batch with an id that is not known waits for the registry, and nothing else does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
import pytest
from faust.types import TP

from connectors.batch import Batch
from connectors.owner import LeavingError
from connectors.registry import Registered, RegistryDownError
from connectors.translations import TranslationCache
from schemas.codec import UndecodableError, encode, newest
from schemas.dead_letters import DeadLetter
from schemas.events import Follow
from schemas.topics import Topic
from schemas.translation import Translations
from streams.engine import stage as stage_module
from streams.engine import translator as translator_module
from streams.engine.outage import Place
from streams.engine.outbox import Outbox, Output
from streams.engine.stage import Stage
from streams.engine.state import State
from streams.engine.translator import Translator
from streams.intake import IntakeFold, make_intake
from tests.unit.folds import PARTITIONS, followed, record

FOLLOW = encode(followed("follow"))
KNOWN, NEW = 101, 102
PLACE = Place("follows", 3)


def by(number: int) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + FOLLOW[5:]


def batch(*values: bytes) -> Batch:
    records: list[Any] = [record(value, offset=n) for n, value in enumerate(values)]
    return Batch(TP(*PLACE), records, len(records))


class Registry:
    """A registry in memory that can be away, or keep who asks waiting."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.is_down = False
        self.answers = threading.Event()
        self.answers.set()

    def schema(self, number: int) -> Registered | None:
        self.asked.append(number)
        self.answers.wait(10)
        if self.is_down:
            raise RegistryDownError("http://r:8081 ConnectError")
        return Registered(newest()[Follow].text)


class World:
    """A translator with its registry; `KNOWN` has been asked for."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.leaving = asyncio.Event()
        self.translator = Translator(TranslationCache(self.registry), lambda: self.leaving)

    async def known(self) -> World:
        await self.translator.of(batch(by(KNOWN)))
        self.registry.asked.clear()
        return self

    async def waits(self) -> asyncio.Task[Translations]:
        """A batch with a new id, once it waits for the registry."""
        waiting = asyncio.create_task(self.translator.of(batch(by(KNOWN), by(NEW))))
        await self.asked(3)
        return waiting

    async def asked(self, times: int) -> None:
        """Return once the registry was asked so many times."""
        for _ in range(5_000):
            if len(self.registry.asked) >= times:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"it was asked {len(self.registry.asked)} times")


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator_module, "pause_before", lambda _attempt: 0.001)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 10))


def test_an_outage_is_waited_for_and_told() -> None:
    async def scene() -> None:
        world = await World().known()
        outage = world.translator.outage
        world.registry.is_down = True
        waiting = await world.waits()
        assert outage.reason == (
            "registry cannot be reached: RegistryDownError: http://r:8081 ConnectError"
        )
        assert outage.is_waiting(PLACE)
        assert not waiting.done()
        world.registry.is_down = False
        found = await waiting
        assert {found[by(KNOWN)[:5]](by(KNOWN)), found[by(NEW)[:5]](by(NEW))} == {FOLLOW}
        assert (outage.reason, outage.is_waiting(PLACE)) == (None, False)

    run(scene())


def test_what_needs_no_new_id_does_not_wait() -> None:
    async def scene() -> None:
        world = await World().known()
        world.registry.answers.clear()  # all threads that ask hang
        waiting = [asyncio.create_task(world.translator.of(batch(by(NEW)))) for _ in range(4)]
        await world.asked(translator_module.THREADS)
        for each in (batch(by(KNOWN)), batch(b"no Avro", b""), batch()):
            await asyncio.wait_for(world.translator.of(each), 1)
        assert len(world.registry.asked) == translator_module.THREADS
        world.registry.answers.set()
        await asyncio.gather(*waiting)

    run(scene())


@pytest.mark.parametrize("is_hanging", [False, True])
def test_nobody_waits_while_partitions_may_go(is_hanging: bool) -> None:
    async def scene() -> None:
        world = await World().known()
        world.registry.is_down = True
        waiting = await world.waits()
        if is_hanging:
            world.registry.answers.clear()
            await asyncio.sleep(0.01)
        world.leaving.set()
        with pytest.raises(LeavingError):
            await asyncio.wait_for(waiting, 1)
        outage = world.translator.outage
        assert (outage.reason, outage.is_waiting(PLACE)) == (None, False)
        world.registry.answers.set()

    run(scene())


def intake() -> tuple[IntakeFold, Outbox]:
    outbox = Outbox(PARTITIONS)
    return make_intake(Follow, State(), outbox), outbox


def test_the_log_gets_ids_of_our_own() -> None:
    fold, outbox = intake()
    fold.translate_by({by(KNOWN)[:5]: lambda _: FOLLOW})
    fold.apply(record(by(KNOWN)))
    (output,) = outbox.outputs()
    assert output.value == FOLLOW


def test_without_a_registry_ids_are_our_own() -> None:
    fold, outbox = intake()
    fold.apply(record(FOLLOW))
    assert [output.value for output in outbox.outputs()] == [FOLLOW]
    with pytest.raises(UndecodableError, match="no schema has id 101"):
        fold.apply(record(by(KNOWN)))


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[Output]:
    """What a stage has put out, without Kafka."""
    found: list[Output] = []
    monkeypatch.setattr(stage_module, "transactional_producer", lambda *_: None)
    monkeypatch.setattr(stage_module, "restore", lambda *_: None)
    monkeypatch.setattr(stage_module, "checkpoint", lambda *given: found.extend(given[4]))
    return found


async def process(world: World, batch: Batch, pool: ThreadPoolExecutor) -> None:
    stage = Stage(
        Topic.FOLLOWS,
        partial(make_intake, Follow),
        app_id="app",
        brokers="",
        partitions=PARTITIONS,
        pool=pool,
        translator=world.translator,
    )
    await stage.open(batch.tp.partition)
    await stage.process(batch)


def test_a_stage_folds_once_the_ids_are_known(committed: list[Output]) -> None:
    async def scene() -> None:
        world = await World().known()
        world.registry.is_down = True
        with ThreadPoolExecutor(2) as pool:
            given = batch(by(KNOWN), by(NEW), b"no Avro")
            done = asyncio.create_task(process(world, given, pool))
            await world.asked(3)
            assert (committed, done.done()) == ([], False)
            world.registry.is_down = False
            await done

    run(scene())
    assert [output.value for output in committed[:2]] == [FOLLOW, FOLLOW]
    assert [output.topic for output in committed[2:]] == [Topic.DEAD_LETTERS]


def test_a_dead_letter_has_the_bytes_as_they_were_published(committed: list[Output]) -> None:
    raw = by(NEW)[:5] + encode(followed("follow", "ann", "u:ann"))[5:]

    async def scene() -> None:
        with ThreadPoolExecutor(2) as pool:
            await process(World(), batch(raw), pool)

    run(scene())
    (letter,) = [msgspec.msgpack.decode(each.value, type=DeadLetter) for each in committed]
    assert (letter.code, letter.raw) == ("self_relation", raw)
