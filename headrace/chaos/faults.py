"""The faults by kind. Each breaks something in the middle of work, proves that it did, and mends
it; what the workers make of it is their own affair until they are ready again.

A new kind is one function in `FAULTS` and one line in `headrace.chaos.schedule.every_fault`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import Any

from connectors.publisher import publish
from connectors.redis_fence import COMMANDS_PER_ROUND_TRIP
from connectors.settings import settings
from headrace.chaos.ground import READY_S, Ground, NotLandedError
from headrace.chaos.load import sweep
from headrace.chaos.proxy import Proxy
from headrace.chaos.schedule import Fault
from schemas.topics import EXTERNAL, Topic

SWEPT = COMMANDS_PER_ROUND_TRIP + 1_000  # topics
LOST_ANSWERS = 3
POISON = (
    b"",
    b'{"not": "avro"}',
    b"\0" + (9_999).to_bytes(4, "big") + b"an unknown schema",
    b"\0\0\0\0\1\xff",
)
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
    ground.recover()
    return evidence


def _kill(ground: Ground, fault: Fault) -> Evidence:
    """A worker dies at a failpoint."""
    crew, mark_file = ground.crew, ground.mark_file()
    point, waiting = f"{fault.point}:{fault.passes}", 0
    if (fault.target, fault.point) == ("views", "mid-sink"):
        # More removals on one timeline than a round trip carries, all at once.
        with crew.away("views"):
            publish(ground.addresses.kafka, sweep(SWEPT, ground.seed))
            ground.wait("removals", lambda: ground.waiting("app") < 1_000, READY_S)
            waiting = ground.waiting("views")
            crew.arm("views", point, mark_file)
    else:
        crew.arm(fault.target, point, mark_file)
    pid = crew.pid(fault.target)
    mark = ground.marked(pid)
    after = ground.changed(fault.target, pid)
    if mark.in_flight < 1 or mark.name != fault.point:
        raise NotLandedError(f"nothing was under way: {mark}")
    return {
        "place": mark.place,
        "in_flight": mark.in_flight,
        "waiting": waiting,
        "pid": pid,
        "pid_after": after,
    }


def _join_and_leave(ground: Ground, fault: Fault) -> Evidence:
    """A second worker takes half of the partitions over, and leaves with records waiting."""
    name = fault.target
    with ground.more("second", name) as second:

        def processed() -> dict[str, int] | None:
            stages = second.stages(name)
            records = sum(stage["records"] for stage in stages.values())
            partitions = sum(len(stage["partitions"]) for stage in stages.values())
            return {"partitions": partitions, "records": records} if records else None

        took = ground.wait("records that the second worker processed", processed, READY_S)
        return {**took, "waiting": ground.busy(name), "pid": second.pid(name)}


def _zombie(ground: Ground, fault: Fault) -> Evidence:
    """A worker stops in the middle of a batch for longer than its session, a second takes over,
    the first goes on with the batch: it must be fenced, and end."""
    name, crew = fault.target, ground.crew
    with ground.more("second", name) as second:
        crew.arm(name, f"{fault.point}:{fault.passes}:stop", ground.mark_file())
        pid = crew.pid(name)
        mark = ground.marked(pid)
        try:
            everything = settings().partitions

            def has_all() -> bool:
                stages = second.stages(name).values()
                owned = [len(stage["partitions"]) for stage in stages]
                return bool(owned) and set(owned) == {everything}

            ground.wait("the partitions of the stopped worker", lambda: has_all() or None, READY_S)
            waiting = ground.busy(name)
        finally:
            os.kill(pid, signal.SIGCONT)
        after = ground.changed(name, pid)
        ground.recover()
        return {
            "place": mark.place,
            "in_flight": mark.in_flight,
            "waiting": waiting,
            "pid": pid,
            "pid_after": after,
        }


def _kafka_kill(ground: Ground, fault: Fault) -> Evidence:
    """The broker is killed, and starts again."""
    waiting = ground.busy("app")
    ground.stack.kill("kafka")
    time.sleep(fault.seconds)
    ground.stack.restart("kafka")
    return {"waiting": waiting}


def _kafka_kill_at_commit(ground: Ground, _fault: Fault) -> Evidence:
    """The broker is killed when a transaction is written and its end is on the way."""
    ground.kafka.catch_commit()
    try:
        if not ground.kafka.caught.wait(READY_S):
            raise NotLandedError("no transaction ended")
        ground.stack.kill("kafka")
    finally:
        ground.kafka.let_commit()
    ground.stack.restart("kafka")
    return {"transactions_open": 1}


def _lost_answer(ground: Ground, _fault: Fault) -> Evidence:
    """Transactions are committed, and who committed them is not told."""
    ground.kafka.lose_answers(LOST_ANSWERS)

    def lost() -> bool:
        return ground.kafka.lost_answers == LOST_ANSWERS

    ground.wait("answers to lose", lambda: lost() or None, READY_S)
    return {"answers_lost": ground.kafka.lost_answers}


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

    return ground.wait(f"{keys} keys in Redis again", as_many, READY_S)


def _poison(ground: Ground, fault: Fault) -> Evidence:
    """Records that nobody can read, in every external topic."""
    rng = Random(f"poison:{ground.seed}:{fault.pause_s}")
    placed = ground.plant(
        [
            (str(topic), rng.randrange(settings().partitions), value)
            for topic in EXTERNAL
            for value in POISON
        ]
    )
    return {"placed": sorted(placed)}


def _poison_inside(ground: Ground, fault: Fault) -> Evidence:
    """A record that no fold can read, in the log of posts."""
    rng = Random(f"inside:{ground.seed}:{fault.pause_s}")
    partition = rng.randrange(settings().partitions)
    (place,) = ground.plant([(str(Topic.BY_POST), partition, INSIDE)])
    ground.planted[place] = "not_decodable"
    return {"placed": [place]}


FAULTS: dict[str, Callable[[Ground, Fault], Evidence]] = {
    "kill": _kill,
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
