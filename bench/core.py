"""One system's run over the filled topic, from the first record to the last count in Redis."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from bench.counts import LastCounts, wrong
from bench.figures import Figures, measured
from bench.systems import System
from bench.topic import WORKED_ON, make
from bench.workers import Workers, cpu_seconds
from connectors.stack.addresses import Addresses
from connectors.stack.errors import StackError

TIMEOUT_S = 600.0
_LOOK_EVERY_S = 0.01
_CHECK_EVERY_S = 1.0


def measure(
    name: str,
    system: System,
    addresses: Addresses,
    likes: dict[str, int],
    events: int,
    *,
    directory: Path,
    under: str,
    say: Callable[[str], None],
) -> Figures:
    """Run a system once; `likes` is what must come out, `under` a command to run it under."""
    client = Redis.from_url(addresses.redis)
    client.flushall()
    make(addresses.kafka, WORKED_ON)
    try:
        with Workers(addresses, directory) as workers:
            seconds, cpu = _run(name, system, workers, client, shlex.split(under), say)
        differing = wrong(client, system.counts, likes)
    except (StackError, TimeoutError) as error:
        return Figures(events=events, void=str(error))
    finally:
        client.close()
    if differing:
        return Figures(events=events, void=f"{differing:,} of {len(likes):,} counts are wrong")
    return measured(events, seconds, cpu)


def _run(
    name: str,
    system: System,
    workers: Workers,
    client: Redis,
    under: list[str],
    say: Callable[[str], None],
) -> tuple[float, dict[str, float]]:
    """Seconds, and CPU seconds by process, from the mark of the start to the last count."""
    sink = workers.start_ready(f"{name}-sink", system.sink) if system.sink else None
    command = [*under, *system.command(workers)]
    main, start = workers.start_measured(name, command)
    sink_before = cpu_seconds(sink) if sink else 0.0
    say(f"  it runs as process {main.pid}" + (f", its sink as {sink.pid}" if sink else ""))
    last = LastCounts(client, system.counts)
    checked = time.monotonic()
    while not last.are_there():
        now = time.monotonic()
        if now - checked > _CHECK_EVERY_S:
            checked = now
            workers.check()
        if now - start.at > TIMEOUT_S:
            raise TimeoutError(f"the last count was not there after {TIMEOUT_S:.0f} s")
        time.sleep(_LOOK_EVERY_S)
    seconds = time.monotonic() - start.at
    cpu = {name: cpu_seconds(main) - start.cpu}
    if sink is not None:
        cpu[f"{name}-sink"] = cpu_seconds(sink) - sink_before
    return seconds, cpu
