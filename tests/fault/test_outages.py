"""Redis away for a while, and back empty; workers that are asked to stop: nothing is lost."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from confluent_kafka import Producer

from connectors.admin import create_topics
from connectors.lag import GROUPS, LagReader
from connectors.publisher import publish
from connectors.redis_keys import Keys
from connectors.settings import settings
from connectors.sources import (
    follow_events,
    generate_activity,
    generate_network,
    reading_events,
)
from connectors.stack.errors import PartDied
from connectors.stack.local import LocalStack
from connectors.stack.ports import reserve
from headrace.supervisor import Supervisor
from schemas.codec import MAGIC
from schemas.events import Event, Follow
from schemas.topics import Topic
from schemas.views import SourceView
from streams.engine.exits import Exit
from tests.integration.test_dead_letters import dead_letters
from tests.oracle.read_log import read_topics

ROOT = Path(__file__).parents[2]
SEED = 20_261_122
RATE = 700
OUTAGE_SECONDS = 5
STOP_SECONDS = 10
NUDGE = "nudge"
BROKEN = """
from pathlib import Path
from topology import app

@app.timer(interval=0.2)
async def broken():
    if Path(__file__).with_name("now").exists():
        raise ValueError("a timer that raises")
"""
PARTITION = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka and Valkey of this module alone."""
    parts = ("kafka", "redis")
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=parts) as started:
        create_topics(started.addresses.kafka, settings())
        yield started


class Load:
    """Follows, and then activity until it is stopped."""

    def __init__(self, brokers: str, prefix: str) -> None:
        pairs = generate_network(150, SEED)
        now = time.time_ns() // 1_000_000
        people = dict.fromkeys(itertools.chain.from_iterable(pairs))
        events: list[Event] = list(reading_events(people, now, prefix=f"{prefix}r"))
        events += follow_events(pairs, now - 3 * 86_400_000, prefix=prefix)
        activity = generate_activity(pairs, 1_000_000, SEED, now)
        self._is_over = threading.Event()
        self._activity = itertools.takewhile(lambda _: not self._is_over.is_set(), activity)
        self._brokers = brokers
        self._thread = threading.Thread(target=self._run)
        self.acknowledged = publish(brokers, events).acknowledged
        self._thread.start()

    def _run(self) -> None:
        self.acknowledged += publish(self._brokers, self._activity, rate=RATE).acknowledged

    def stop(self) -> None:
        """Stop, and count what Kafka has."""
        self._is_over.set()
        self._thread.join()


@contextmanager
def under_load(stack: LocalStack, prefix: str) -> Iterator[Load]:
    """Load while the context lasts."""
    load = Load(stack.addresses.kafka, prefix)
    try:
        yield load
    finally:
        load.stop()


def ready(url: str) -> tuple[int, dict[str, Any]]:
    """What a monitor says of its app; (0, nothing) while there is none."""
    try:
        with urllib.request.urlopen(f"{url}/readyz/", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def wait_until_done(
    stack: LocalStack, names: tuple[str, ...] = ("headrace-app", "headrace-views")
) -> None:
    """Until these groups have nothing to do, twice."""
    groups = {name: GROUPS[name] for name in names}
    with closing(LagReader(stack.addresses.kafka, groups)) as reader:
        for _ in range(2):
            wait_for(lambda: reader.read().total == 0, 90, "records still wait")
            time.sleep(0.5)


def snapshot(stack: LocalStack) -> dict[bytes, Any]:
    """What stands in Redis, without the marks, the nudges, and what goes by the clock."""
    client = redis.Redis.from_url(stack.addresses.redis)
    read = {
        b"string": client.get,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"set": client.smembers,
        b"hash": client.hgetall,
    }
    found = {
        key: read[client.type(key)](key)
        for key in client.scan_iter(count=1_000)
        if not key.startswith((b"pos:", b"trending:"))
        and not key.endswith((NUDGE.encode(), b":u:x", b"}:x"))
    }
    client.close()
    return found


def log_of(supervisor: Supervisor, name: str) -> str:
    return (supervisor.log_dir / f"{name}.log").read_text()


def start_empty(stack: LocalStack) -> None:
    """Start Redis again without what it had."""
    shutil.rmtree(stack.data_dir / "stack" / "redis" / "data")
    stack.restart("redis")


def test_redis_is_away_for_a_while(stack: LocalStack, tmp_path: Path) -> None:
    """What was published meanwhile arrives, and the sink's process never ends."""
    with Supervisor(stack.addresses, ("app", "views"), log_dir=tmp_path) as supervisor:
        app, views = supervisor.monitor_urls["app"], supervisor.monitor_urls["views"]
        with under_load(stack, "away"):
            time.sleep(2)
            stack.kill("redis")
            wait_for(lambda: ready(views)[0] == 503, 5, "still ready")
            _, body = ready(views)
            assert (body["ready"], body["degraded"]) == (False, ["redis"])
            assert body["reason"].startswith("redis cannot be reached")
            assert ready(app)[0] == 200, "the folds do not depend on Redis"
            time.sleep(OUTAGE_SECONDS)
            stack.restart("redis")
            wait_for(lambda: ready(views)[0] == 200, 10, "not ready again")
        wait_until_done(stack)
        supervisor.check()
        log = log_of(supervisor, "views")
        assert log.count("store cannot be reached") == 1, "not a line for each try"
        assert log.count("store can be reached again") == 1

        before = snapshot(stack)
        stack.kill("redis")
        start_empty(stack)
        nudge(stack)
        wait_for(lambda: has_ended(supervisor), 30, "it goes on behind what was lost")
        with pytest.raises(PartDied, match="fault: StoreMovedError"):
            supervisor.check()
        supervisor.tend()
        wait_until_done(stack)
        supervisor.check()
        assert snapshot(stack) == before
        assert len(before) > 500


def has_ended(supervisor: Supervisor) -> bool:
    try:
        supervisor.check()
    except PartDied:
        return True
    return False


def nudge(stack: LocalStack) -> None:
    """Something for the sink to write."""
    now = time.time_ns() // 1_000_000
    publish(
        stack.addresses.kafka,
        [Follow(event_id=f"{NUDGE}{now}", action="follow", user_id=NUDGE, target="u:x", at=now)],
    )


@contextmanager
def worker(
    stack: LocalStack, app: str, tmp_path: Path, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of one app, ready."""
    environment = {
        **os.environ,
        "KAFKA_BROKERS": stack.addresses.kafka,
        "REDIS_URL": stack.addresses.redis,
        "CASSANDRA_HOSTS": "127.0.0.1:1",
        "HEADRACE_DATA_DIR": str(tmp_path),
        "HEADRACE_WORKER_ID": "stopped",
        **more,
    }
    port = reserve(16_166)
    command = [sys.executable, "-m", "faust", "-A", app, "worker", "--web-port", str(port.number)]
    log = tmp_path / "worker.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port.number}"
        wait_for(lambda: ready(url)[0] == 200, 60, f"not ready, see {log}")
        yield process
    finally:
        process.kill()
        process.wait()
        port.release()


def stop(process: subprocess.Popen[bytes]) -> float:
    """Ask a worker to stop; the seconds that it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(2 * STOP_SECONDS) == 0
    return time.monotonic() - began


def last_line(tmp_path: Path) -> str:
    return (tmp_path / "worker.log").read_text().rstrip().rpartition("\n")[2]


def events_in(stack: LocalStack, *topics: Topic) -> int:
    """How many external events stand in internal logs, as readers of what is committed see."""
    records = read_topics(stack.addresses.kafka, topics)
    return sum(value is not None and value[0] == MAGIC for *_, value in records)


def test_a_worker_that_is_asked_to_stop_hands_over(stack: LocalStack, tmp_path: Path) -> None:
    """It exits with 0 in time, and no record is passed on twice or not at all."""
    logs = (Topic.BY_POST, Topic.BY_USER)
    with Supervisor(stack.addresses, ("app",), log_dir=tmp_path):
        wait_until_done(stack, ("headrace-app",))
    before = events_in(stack, *logs)
    took = []
    with under_load(stack, "stop") as load:
        for _ in range(3):
            with worker(stack, "topology", tmp_path) as process:
                time.sleep(2)
                took.append(stop(process))
    print(f"stopped within {max(took):.1f} s")
    assert max(took) < STOP_SECONDS
    assert "did not finish" not in (tmp_path / "worker.log").read_text()
    with worker(stack, "topology", tmp_path):
        wait_until_done(stack, ("headrace-app",))
    assert events_in(stack, *logs) - before == load.acknowledged


def test_a_sink_stops_also_while_redis_is_away(stack: LocalStack, tmp_path: Path) -> None:
    with (
        Supervisor(stack.addresses, ("app",), log_dir=tmp_path / "logs"),
        worker(stack, "topology:views", tmp_path) as process,
        under_load(stack, "both"),
    ):
        stack.kill("redis")
        try:
            log = tmp_path / "worker.log"
            wait_for(lambda: "store cannot be reached" in log.read_text(), 10, "no outage")
            assert stop(process) < STOP_SECONDS
        finally:
            stack.restart("redis")


def test_a_sink_stops_also_while_redis_does_not_answer(stack: LocalStack, tmp_path: Path) -> None:
    """A thread waits for an answer that does not come: it is left behind."""
    pid = stack._children["redis"].pid
    with (
        Supervisor(stack.addresses, ("app",), log_dir=tmp_path / "logs"),
        worker(stack, "topology:views", tmp_path) as process,
    ):
        os.kill(pid, signal.SIGSTOP)
        try:
            nudge(stack)
            wait_until_done(stack, ("headrace-app",))
            time.sleep(1)
            assert stop(process) < STOP_SECONDS
        finally:
            os.kill(pid, signal.SIGCONT)
    assert "did not finish in time" in (tmp_path / "worker.log").read_text(), (
        "nothing was waited for"
    )
    assert last_line(tmp_path).startswith("clean: ")


def test_a_record_that_cannot_be_read_stops_no_sink(stack: LocalStack, tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": stack.addresses.kafka})
    view = SourceView("u:after", 7)
    for topic in (Topic.VIEW_SOURCES, Topic.TIMELINE_WRITES):
        producer.produce(topic, b"\xc1", b"poison", PARTITION)
    producer.produce(Topic.VIEW_SOURCES, msgspec.msgpack.encode(view), b"u:after", PARTITION)
    assert producer.flush(30) == 0
    with Supervisor(stack.addresses, ("views",), log_dir=tmp_path) as supervisor:
        wait_until_done(stack, ("headrace-views",))
        supervisor.check()
    client = redis.Redis.from_url(stack.addresses.redis)
    assert client.get(Keys(settings().partitions).source("u:after")) is not None
    client.close()
    letters = dead_letters(stack.addresses.kafka)
    found = {(letter.topic, letter.code, letter.raw) for letter in letters}
    assert {
        (Topic.VIEW_SOURCES, "not_decodable", b"\xc1"),
        (Topic.TIMELINE_WRITES, "not_decodable", b"\xc1"),
    } <= found


def test_a_worker_in_which_nothing_moves_ends(stack: LocalStack, tmp_path: Path) -> None:
    """Here because Redis takes connections and never answers."""
    pid = stack._children["redis"].pid
    with (
        Supervisor(stack.addresses, ("app",), log_dir=tmp_path / "logs"),
        worker(stack, "topology:views", tmp_path, HEADRACE_STALL_SECONDS="3") as process,
    ):
        wait_until_done(stack)
        os.kill(pid, signal.SIGSTOP)
        try:
            nudge(stack)
            assert process.wait(30) == Exit.STALLED
        finally:
            os.kill(pid, signal.SIGCONT)
    assert last_line(tmp_path).startswith("stalled: ")
    assert "with records waiting" in last_line(tmp_path)


def test_a_timer_that_raises_ends_the_worker_with_its_reason(
    stack: LocalStack, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    with worker(stack, "broken", tmp_path, PYTHONPATH=str(tmp_path)) as process:
        (tmp_path / "now").touch()
        assert process.wait(30) == Exit.FAULT
    assert last_line(tmp_path) == "fault: ValueError: a timer that raises"
