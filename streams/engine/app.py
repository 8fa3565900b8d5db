"""The Faust app of Headrace: agents whose events are batches, owned by stages and sinks."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import faust
import structlog
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import KafkaException
from faust.types import TP

from connectors import handover, logs
from connectors.admin import check_topics, partition_counts
from connectors.batch import Batch
from connectors.claim import claimed
from connectors.kafka import explained
from connectors.lag import LagReader, Standings
from connectors.owner import LeavingError, PartitionOwner
from connectors.rights import check_rights
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from connectors.tracing import Tracing
from connectors.translations import TranslationCache
from connectors.transport import Consumer, broker_url
from schemas.topics import Topic
from streams.engine.dead_letters import Mailer
from streams.engine.disk import DiskStores
from streams.engine.exits import Exit, Worker, end
from streams.engine.hottest import Hottest
from streams.engine.outage import Outage, Place
from streams.engine.outbox import Outbox
from streams.engine.pace import Pace
from streams.engine.replica import MakeFold
from streams.engine.restore import Ends, Progress
from streams.engine.rights import groups_needed, topics_needed
from streams.engine.rows import OpenRows, in_memory
from streams.engine.sink import CHECK_SECONDS, FILL_SECONDS, Reach, Sink
from streams.engine.stage import Stage, StageStats
from streams.engine.standby import Follower
from streams.engine.state import State
from streams.engine.tables import ShownTable, ShownTables
from streams.engine.translator import Translator
from streams.engine.watchdog import Openings, Stalls, Watchdog

log = structlog.get_logger(__name__)

THREADS = 16
STOP_SECONDS = 8.0  # less than what a supervisor waits before it kills
GC_ALLOCATIONS = 500_000
COMMIT_SECONDS = 0.5
LOOK_SECONDS = 5.0
IN_FLIGHT = 3  # one folds, one commits, and one is of work put off
VIEWS_GROUP = "headrace-views"


class Processor(PartitionOwner, Protocol):
    """A stage or a sink: owns the partitions of one topic and processes their batches."""

    topic: Topic
    stats: StageStats
    hottest: Hottest
    queued: set[int]
    """The partitions whose opening waits for a thread of the pool."""

    @property
    def owned(self) -> list[int]:
        """The partitions that this process owns."""

    async def process(self, batch: Batch) -> None:
        """Process a batch; returns when its effects are durable."""

    @property
    def restores(self) -> dict[int, Progress]:
        """How far the restore of each partition is."""

    def rows(self) -> dict[str, int]:
        """Rows of state per table."""


class App(faust.App):  # type: ignore[misc]
    """A Faust app that runs processors, one agent for each.

    What a processor raises is a fault of the infrastructure (bad records never raise), and so is
    what Faust's own services raise: the process ends (see `exits`) and says why; its supervisor
    starts it again.
    """

    def __init__(
        self,
        name: str,
        addresses: Addresses,
        settings: Settings,
        port: int,
        *,
        commit_seconds: float = COMMIT_SECONDS,
        in_flight: int = IN_FLIGHT,
        linger_seconds: float = 0.0,
    ) -> None:
        super().__init__(
            f"headrace-{name}",
            broker=broker_url(addresses.kafka),
            datadir=str(settings.data_dir / "faust" / name),
            autodiscover=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            topic_partitions=settings.partitions,
            stream_wait_empty=False,
            broker_commit_interval=commit_seconds,
            broker_session_timeout=10.0,
            broker_heartbeat_interval=3.0,
            broker_max_poll_interval=600.0,
            consumer_group_instance_id=settings.worker_id or None,
            web_bind=settings.monitor_host,
            web_host=settings.monitor_host,
            web_port=port,
            TableManager=ShownTables,
            Worker=Worker,
        )
        self.addresses = addresses
        self.settings = settings
        self.local = settings.data_dir / "state" / name
        self.open_rows: OpenRows = in_memory
        self.turn: AbstractContextManager[Any] = threading.Lock()
        if settings.state == "rocksdb":
            self.open_rows = DiskStores(self.local, addresses.kafka)
            self.turn = nullcontext()  # while one reads from the disk, others may fold
        self.processors: dict[str, Processor] = {}
        self.stages: dict[str, Stage] = {}
        self.follower = Follower(addresses.kafka)
        self.ends = Ends(addresses.kafka)
        self.pace = Pace(self._readers_of_work, self._resume)
        self.in_flight = in_flight
        self.linger_seconds = linger_seconds
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        self.outages: list[Outage] = []
        self._tracing = Tracing()
        self._lag: LagReader | None = None
        self._mailer = Mailer(addresses.kafka)
        self._stalls = Stalls(settings.stall_seconds)
        self._openings = Openings(settings.stall_seconds)
        self._watchdog = Watchdog(self._look)
        self._running: set[asyncio.Task[None]] = set()

    async def on_first_start(self) -> None:
        """Make the data directory, with its parents, which Faust does not make."""
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def start(self) -> None:
        """Start Faust's services; a Kafka that cannot be reached is a fault like any other, and so
        are topics of another generation, or with another number of partitions."""
        logs.configure()
        # A batch makes tens of thousands of records, which are freed without the collector's help.
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS)
        try:
            self._tracing.begin(self.settings, self.conf.id)
            await asyncio.to_thread(self._check_rights)
            await asyncio.to_thread(self._check_topics)
            await handover.wait_for_turn()
            await super().start()
        except Exception as error:
            if not self.should_stop:
                await self.fault(await asyncio.to_thread(explained, error, self.addresses.kafka))
            raise

    def _check_rights(self) -> None:
        check_rights(
            self.addresses.kafka,
            topics_needed(self.processors, self.stages),
            groups_needed(self.conf.id, VIEWS_GROUP, self.stages),
        )

    def _check_topics(self) -> None:
        brokers = self.addresses.kafka
        try:
            counts = partition_counts(brokers, LOOK_SECONDS)
        except KafkaException as error:
            raise KafkaConnectionError(f"{brokers} does not answer: {error.args[0]}") from error
        check_topics(counts, self.settings)

    async def on_started(self) -> None:
        """Watch over the partitions from now on."""
        await super().on_started()
        self._watchdog.start()
        self.pace.start()

    async def stop(self) -> None:
        """Stop within `STOP_SECONDS`: what is not finished then is left as after a crash."""
        if not self.should_stop:
            self._watchdog.stop()
            self.pace.stop()
            reason = f"what was under way was left after {STOP_SECONDS:.0f} s"
            deadline = threading.Timer(STOP_SECONDS, end, (Exit.CLEAN, reason))
            deadline.daemon = True
            deadline.start()
            if self._consumer is not None:  # while the agents still take what was delivered
                await self._consumer.finish()
        await super().stop()
        await self.run_blocking(self.follower.stop)
        await self.run_blocking(self.ends.close)
        await self.run_blocking(self._tracing.end)

    @property
    def owners(self) -> dict[str, Processor]:
        """Who owns the partitions of each topic."""
        return self.processors

    def translator(self, cache: TranslationCache) -> Translator:
        """Translates the ids in records for the stages that it is given to."""
        translator = Translator(cache, lambda: self.consumer.leaving)
        self.outages.append(translator.outage)
        return translator

    def stage(
        self, topic: Topic, make_fold: MakeFold, translator: Translator | None = None
    ) -> Stage:
        """Run a fold on a topic."""
        stage = Stage(
            topic,
            make_fold,
            app_id=self.conf.id,
            brokers=self.addresses.kafka,
            partitions=self.settings.partitions,
            pool=self.pool,
            open_rows=self.open_rows,
            turn=self.turn,
            follower=self.follower,
            ends=self.ends,
            leaving=lambda: self.consumer.leaving,
            moved=lambda tp, position: self.consumer.moved(tp, position),
            pace=self.pace,
            translator=translator,
            tracing=self._tracing,
        )
        self.stages[topic] = stage
        self.add(stage)
        self._show_tables(topic, make_fold)
        return stage

    def _readers_of_work(self) -> Standings:
        """Where the Redis sink stands in what folds put off: that is on timelines."""
        if self._lag is None:
            topics = {VIEWS_GROUP: (Topic.TIMELINE_WRITES,)}
            self._lag = LagReader(self.addresses.kafka, topics)
        return self._lag.standings(VIEWS_GROUP)

    def _resume(self) -> None:
        """What was put off may go on; called from the pace's thread."""
        asyncio.run_coroutine_threadsafe(self._go_on(), self.loop)

    async def _go_on(self) -> None:
        try:
            await self.consumer.deliver()
        except Exception as error:
            await self.fault(error)
            raise

    def _show_tables(self, topic: Topic, make_fold: MakeFold) -> None:
        def local() -> list[Path]:
            return [path / topic for path in claimed(self.local)]

        state = State()
        make_fold(state, Outbox(self.settings.partitions))
        for table, text in state.described().items():
            self.tables.show(ShownTable(f"{topic}.{table}", text, local))

    def sinks(self, topics: Iterable[Topic], reach: Reach, part_bytes: int | None = None) -> None:
        """Write topics into a store, which is connected to when the first partition comes; it gets
        some `part_bytes` at a time, or whole batches."""
        self.outages.append(reach.outage)
        sinks = []
        for topic in topics:
            sink = Sink(
                topic,
                reach,
                app_id=self.conf.id,
                mailer=self._mailer,
                pool=self.pool,
                leaving=lambda: self.consumer.leaving,
                moved=lambda tp, position: self.consumer.moved(tp, position),
                has_caught_up=lambda tp: self.consumer.has_caught_up(tp),
                part_bytes=part_bytes,
                tracing=self._tracing,
            )
            self.add(sink)
            sinks.append(sink)

        async def check() -> None:
            await self._of_each(Sink.check, sinks)

        async def fill() -> None:
            await self._of_each(Sink.fill, sinks)

        self.timer(CHECK_SECONDS, name=f"{self.conf.id}.check")(check)
        self.timer(FILL_SECONDS, name=f"{self.conf.id}.fill")(fill)

    async def _of_each(self, look: Callable[[Sink], Awaitable[None]], sinks: list[Sink]) -> None:
        try:
            for sink in sinks:
                await look(sink)
        except Exception as error:
            await self.fault(error)
            raise

    def add(self, processor: Processor) -> None:
        """Run a processor: an agent hands it the batches of its topic, partitions side by side."""
        topic = processor.topic
        self.processors[topic] = processor

        async def run(batches: Any) -> None:
            async for batch in batches:
                task = asyncio.create_task(self._process(processor, batch))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

        run.__name__ = run.__qualname__ = str(topic)
        channel = self.topic(topic, key_serializer="raw", value_serializer="raw")
        self.agent(channel, name=f"{self.conf.id}.{topic}")(run)

    async def run_blocking(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run what blocks in a thread of the pool."""
        await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    async def _process(self, processor: Processor, batch: Batch) -> None:
        consumer: Consumer = self.consumer
        try:
            await processor.process(batch)
            await consumer.done(batch)
        except LeavingError:
            consumer.abandon(batch)
        except Exception as error:
            await self.fault(error)
            raise

    async def fault(self, error: BaseException) -> None:
        """End the process, saying why: what was not committed is done again after the restart."""
        log.critical("fault", error=type(error).__name__, detail=str(error), exc_info=error)
        end(Exit.FAULT, f"{type(error).__name__}: {error}")

    def _crash(self, reason: BaseException) -> None:
        """A service below has raised, and Faust has logged it."""
        if not self.should_stop:
            end(Exit.FAULT, f"{type(reason).__name__}: {reason}")
        super()._crash(reason)

    def _look(self, seconds: float) -> None:
        for stall in (
            self._stalls.look(seconds, self.consumer.progress(), self._is_waiting),
            self._openings.look(seconds, self._opening(), self._is_waiting),
        ):
            if stall is not None:
                end(Exit.STALLED, stall)

    def _opening(self) -> dict[TP, int | None]:
        """The partitions that are being opened, with what their restores have read; without those
        whose turn has not come: who has the threads is watched itself."""
        found: dict[TP, int | None] = {}
        for tp in self.consumer.opening:
            processor = self.processors[tp.topic]
            if tp.partition not in processor.queued:
                restoring = processor.restores.get(tp.partition)
                found[tp] = None if restoring is None else restoring.rows
        return found

    def _is_waiting(self, tp: TP) -> bool:
        return any(outage.is_waiting(Place(tp.topic, tp.partition)) for outage in self.outages)
