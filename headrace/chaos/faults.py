"""The faults by kind. Each breaks something in the middle of work, proves that it did, and mends
it; what the workers make of it is their own affair until they are ready again.

A new kind is one function in `FAULTS` and one line in `headrace.chaos.schedule.every_fault`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from connectors.publisher import publish
from connectors.redis_fence import COMMANDS_PER_ROUND_TRIP
from connectors.settings import settings
from headrace.chaos.ground import Ground, NotLandedError
from headrace.chaos.load import sweep, sweeper
from headrace.chaos.proxy import Proxy
from headrace.chaos.removals import Removals
from headrace.chaos.schedule import Fault
from schemas.topics import EXTERNAL, IN_CASSANDRA, IN_REDIS, INTERNAL, Topic

SWEPT = COMMANDS_PER_ROUND_TRIP + 500  # topics
LOST_ANSWERS = 3
POISON = (
    b"",
    b'{"not": "avro"}',
    b"\0" + (9_999).to_bytes(4, "big") + b"an unknown schema",
    b"\0\0\0\0\1\xff",
)
ROW_FILES = (".sst", ".log")
INSIDE = b"\xc1neither an event nor a fact"

Evidence = dict[str, Any]
"""What proves that a fault landed; records are those that waited or were under way just then."""


def inject(ground: Ground, fault: Fault) -> Evidence:
    """Let a fault happen, and return when the workers are ready again.

    Raises:
        NotLandedError: it did not happen in the middle of work, or the workers did not recover.
    """
    time.sleep(fault.pause_s)
    evidence = FAULTS[fault.kind](ground, fault)
    ground.recover(*filter(None, [fault.worker]))
    return evidence


def _kill(ground: Ground, fault: Fault) -> Evidence:
    """A worker dies at a failpoint."""
    crew, target, waiting = ground.crew, fault.target, 0
    match target, fault.point:
        case "views", "mid-sink":
            # More removals on one timeline than a round trip carries, all at once.
            brokers = ground.addresses.kafka
            with crew.away(target), closing(Removals(brokers, sweeper(ground.seed))) as removals:
                publish(brokers, sweep(SWEPT, ground.seed))
                ground.wait("removals", lambda: removals.count() >= SWEPT)
                waiting = ground.waiting(target)
                crew.arm(target, fault.order)
        case _, "mid-restore":
            with crew.away(target):
                # Of rows on disk only the tail would be restored.
                shutil.rmtree(crew.data_dir / "state", ignore_errors=True)
                crew.arm(target, fault.order)
        case _:
            crew.arm(target, fault.order)
    mark = ground.marked(target)
    after = ground.changed(target, mark.pid)
    if mark.in_flight < 1 or mark.name != fault.point:
        raise NotLandedError(f"nothing was under way: {mark}")
    return {
        "place": mark.place,
        "in_flight": mark.in_flight,
        "waiting": waiting,
        "pid": mark.pid,
        "pid_after": after,
    }


def _state_deleted(ground: Ground, _fault: Fault) -> Evidence:
    """A worker dies, and comes back to find the rows of half of its partitions gone."""

    def delete(partition: Path) -> int:
        files = len(list(partition.iterdir()))
        shutil.rmtree(partition)
        return files

    return _state_damaged(ground, "files_deleted", delete, each=2)


def _state_flipped(ground: Ground, fault: Fault) -> Evidence:
    """A worker dies, and comes back to rows of which a bit is another in each partition."""
    rng = Random(f"flip:{ground.seed}:{fault.passes}")

    def flip(partition: Path) -> int:
        largest = max(_row_files(partition), key=lambda file: file.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        largest.write_bytes(content)
        return 1

    return _state_damaged(ground, "bits_flipped", flip)


def _state_damaged(
    ground: Ground, name: str, damage: Callable[[Path], int], *, each: int = 1
) -> Evidence:
    """Damage what a killed worker keeps of each (or each second) partition; `name` counts it."""
    crew = ground.crew

    def partitions() -> list[Path]:
        return [each for each in sorted(crew.data_dir.glob("state/app/*/*")) if _row_files(each)]

    ground.wait("rows on disk", lambda: len(partitions()) > settings().partitions)
    waiting, pid = ground.busy("app"), crew.pid("app")
    with crew.away("app"):
        damaged = sum(damage(partition) for partition in partitions()[::each])
    after = ground.changed("app", pid)
    return {name: damaged, "waiting": waiting, "pid": pid, "pid_after": after}


def _row_files(partition: Path) -> list[Path]:
    """The files with rows of a partition that are not empty."""
    files = (file for file in partition.iterdir() if file.suffix in ROW_FILES)
    return [file for file in files if file.stat().st_size]


def _join_and_leave(ground: Ground, fault: Fault) -> Evidence:
    """A second worker takes half of the partitions over, and leaves with records waiting."""
    name = fault.target
    with ground.more("second", name) as second:

        def processed() -> dict[str, int] | None:
            stages = second.stages(name)
            records = sum(stage["records"] for stage in stages.values())
            partitions = sum(len(stage["partitions"]) for stage in stages.values())
            return {"partitions": partitions, "records": records} if records else None

        took = ground.wait("records that the second worker processed", processed)
        return {**took, "waiting": ground.busy(name), "pid": second.pid(name)}


def _zombie(ground: Ground, fault: Fault) -> Evidence:
    """A worker stops in the middle of a batch for longer than its session, a second takes over,
    the first goes on with the batch: it must be fenced, and end, and the second must not notice.
    In Cassandra nothing fences it, and what it writes late changes no row: who ends there is up to
    what they find."""
    name, crew = fault.target, ground.crew
    with ground.more("second", name) as second:
        crew.arm(name, f"{fault.order}:stop")
        mark = ground.marked(name)
        try:
            everything = settings().partitions

            def has_all() -> bool:
                stages = second.stages(name).values()
                owned = [len(stage["partitions"]) for stage in stages]
                return bool(owned) and set(owned) == {everything}

            ground.wait("the partitions of the stopped worker", lambda: has_all() or None)
            waiting = ground.busy(name)
        finally:
            os.kill(mark.pid, signal.SIGCONT)
        if name != "archive":
            ground.changed(name, mark.pid)
        ground.recover(name)
        if name != "archive" and second.ends:
            raise NotLandedError(f"who had taken over was disturbed: {second.ends}")
        return {
            "place": mark.place,
            "in_flight": mark.in_flight,
            "waiting": waiting,
            "pid": mark.pid,
            "pid_after": crew.pid(name),
        }


def _kafka_kill(ground: Ground, fault: Fault) -> Evidence:
    """The broker is killed, and starts again, several times."""
    waiting = []
    for _ in range(fault.passes):
        waiting.append(ground.busy("app"))
        ground.stack.kill("kafka")
        time.sleep(fault.seconds)
        ground.stack.restart("kafka")
    return {"waiting": waiting}


def _kafka_kill_at_commit(ground: Ground, _fault: Fault) -> Evidence:
    """The broker is killed when a transaction is written and its end is on the way."""
    ground.kafka.catch_commit()
    try:
        if not ground.kafka.caught.wait(ground.patience_s):
            raise NotLandedError("no transaction ended")
        ground.stack.kill("kafka")
    finally:
        ground.kafka.let_commit()
    ground.stack.restart("kafka")
    return {"transactions_open": 1}


def _lost_answer(ground: Ground, _fault: Fault) -> Evidence:
    """Transactions are committed, and who committed them is not told."""
    waiting = ground.busy("app")
    ground.kafka.lose_answers(LOST_ANSWERS)

    def lost() -> bool:
        return ground.kafka.lost_answers == LOST_ANSWERS

    ground.wait("answers to lose", lambda: lost() or None)
    return {"answers_lost": ground.kafka.lost_answers, "waiting": waiting}


def _stall(ground: Ground, proxy: Proxy, name: str, seconds: float) -> Evidence:
    """The network holds back all bytes between the workers and a part."""
    proxy.hold()
    try:
        time.sleep(seconds)
        waiting = ground.busy(name)
        held = proxy.held_bytes
    finally:
        proxy.release()
    if not held:
        raise NotLandedError("no bytes were held back")
    return {"held_bytes": held, "waiting": waiting}


def _kafka_stall(ground: Ground, fault: Fault) -> Evidence:
    return _stall(ground, ground.kafka, "app", fault.seconds)


def _redis_stall(ground: Ground, fault: Fault) -> Evidence:
    return _stall(ground, ground.redis, "views", fault.seconds)


def _cassandra_stall(ground: Ground, fault: Fault) -> Evidence:
    return _stall(ground, ground.cassandra, "archive", fault.seconds)


def _redis_kill(ground: Ground, fault: Fault) -> Evidence:
    """Redis is killed, and starts again with what its append-only file has."""
    return _store_down(ground, "redis", "views", fault.seconds)


def _cassandra_kill(ground: Ground, fault: Fault) -> Evidence:
    """Cassandra is killed, and starts again with what its commit log has."""
    return _store_down(ground, "cassandra", "archive", fault.seconds)


def _store_down(ground: Ground, part: str, name: str, seconds: float) -> Evidence:
    waiting = ground.busy(name)
    ground.stack.kill(part)
    try:
        time.sleep(seconds)
        grown = ground.busy(name)
    finally:
        ground.stack.restart(part)
    return {"waiting": waiting, "waiting_at_the_end": grown}


def _redis_empty(ground: Ground, _fault: Fault) -> Evidence:
    """Redis is killed, and starts again with nothing."""
    keys, waiting = _keys(ground), ground.busy("views")
    ground.stack.kill("redis")
    ground.empty_redis()
    ground.stack.restart("redis")
    return {"keys_lost": keys, "waiting": waiting, "keys_after": _refilled(ground, keys)}


def _redis_flush(ground: Ground, _fault: Fault) -> Evidence:
    """Redis loses everything between two commands."""
    keys, waiting = _keys(ground), ground.busy("views")
    client = ground.redis_client()
    client.flushall()
    client.close()
    return {"keys_lost": keys, "waiting": waiting, "keys_after": _refilled(ground, keys)}


def _keys(ground: Ground) -> int:
    client = ground.redis_client()
    keys = int(str(client.dbsize()))
    client.close()
    return keys


def _refilled(ground: Ground, keys: int) -> int:
    """Wait until Redis has about as many keys as before; how many."""

    def as_many() -> int | None:
        found = _keys(ground)
        return found if found * 10 >= keys * 9 else None

    return ground.wait(f"{keys} keys in Redis again", as_many)


def _poison(ground: Ground, fault: Fault) -> Evidence:
    """Records that nobody can read, in every external topic."""
    return _planted(ground, fault, [(topic, value) for topic in EXTERNAL for value in POISON])


def _poison_inside(ground: Ground, fault: Fault) -> Evidence:
    """A record that no fold and no sink can read, in every topic that they read."""
    topics = dict.fromkeys((*INTERNAL, *IN_CASSANDRA, *IN_REDIS))
    evidence = _planted(ground, fault, [(topic, INSIDE) for topic in topics])
    ground.planted.update(dict.fromkeys(evidence["placed"], "not_decodable"))
    return evidence


def _planted(ground: Ground, fault: Fault, records: list[tuple[Topic, bytes]]) -> Evidence:
    """Put records among those that wait, and wait for their dead letters."""
    rng = Random(f"{fault.kind}:{ground.seed}:{fault.pause_s}")
    waiting = ground.busy("app")
    placed = ground.plant(
        [(str(topic), rng.randrange(settings().partitions), value) for topic, value in records]
    )
    return {"placed": sorted(placed), "waiting": waiting, "letters": ground.put_away(placed)}


FAULTS: dict[str, Callable[[Ground, Fault], Evidence]] = {
    "kill": _kill,
    "state-deleted": _state_deleted,
    "state-flipped": _state_flipped,
    "join-and-leave": _join_and_leave,
    "zombie": _zombie,
    "kafka-kill": _kafka_kill,
    "kafka-kill-at-commit": _kafka_kill_at_commit,
    "lost-answer": _lost_answer,
    "kafka-stall": _kafka_stall,
    "redis-kill": _redis_kill,
    "redis-empty": _redis_empty,
    "redis-flush": _redis_flush,
    "redis-stall": _redis_stall,
    "cassandra-kill": _cassandra_kill,
    "cassandra-stall": _cassandra_stall,
    "poison": _poison,
    "poison-inside": _poison_inside,
}
