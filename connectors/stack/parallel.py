"""Runs jobs side by side in threads that never keep the process alive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from connectors.stack.errors import Cancelled

Job = Callable[[threading.Event], None]


def run_all(jobs: Sequence[Job], stop: threading.Event, width: int | None = None) -> None:
    """Run every job, `width` at a time; the first error sets `stop` and is raised.

    Raises Cancelled when `stop` is set from elsewhere. A job watches `stop` and ends soon after
    it is set. An interrupt of the caller sets it too.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        while not stop.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                job(stop)
            except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
                ended.put(error)
                return
            ended.put(None)

    for _ in range(min(width or len(jobs), len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    left = len(jobs)
    try:
        while left:
            try:
                error = ended.get(timeout=0.2)
            except queue.Empty:
                if stop.is_set():
                    raise Cancelled("Stopped while starting") from None
                continue
            left -= 1
            if error is not None:
                raise error
    except BaseException:
        stop.set()
        raise
