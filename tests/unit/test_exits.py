"""How a process ends: the code, and the reason as the last line on stderr."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import mode
import pytest
from faust.types import TP

from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from connectors.transport import Progress
from streams.engine import app as app_module
from streams.engine.app import App
from streams.engine.exits import Exit, Worker
from streams.engine.outage import Place
from streams.engine.restore import Progress as RestoreProgress
from streams.engine.sink import Reach

ROOT = Path(__file__).parents[2]


class Ended(BaseException):
    """Stands in for the end of the process."""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[App]:
    """An app that was not started; `end` raises `Ended` with what it was told."""

    def end(*told: Any) -> None:
        raise Ended(*told)

    monkeypatch.setattr(app_module, "end", end)
    monkeypatch.setattr(app_module, "log", mock.Mock())
    monkeypatch.setattr(app_module.logs, "configure", lambda: None)
    settings = Settings(HEADRACE_DATA_DIR=tmp_path, HEADRACE_STALL_SECONDS=30)
    made = App("test", Addresses("a:1", "", ""), settings, 6066)
    yield made
    made.pool.shutdown()


def test_the_reason_is_the_last_line() -> None:
    script = (
        "import sys; from streams.engine.exits import Exit, end\n"
        "print('out'); print('err', file=sys.stderr)\n"
        "end(Exit.STALLED, 'it stands\\n  still')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 75
    assert done.stdout == "out\n"
    assert done.stderr == "err\nstalled: it stands still\n"


def test_codes_are_apart() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "CLEAN": 0,
        "CRASH": 1,
        "FAULT": 70,
        "STALLED": 75,
    }


def test_what_a_service_of_faust_raises_is_a_fault(app: App) -> None:
    with pytest.raises(Ended) as ended:
        app._crash(ValueError("the timer"))
    assert ended.value.args == (Exit.FAULT, "ValueError: the timer")


def test_what_fails_when_work_goes_on_is_a_fault(app: App) -> None:
    async def run() -> None:
        app.loop = asyncio.get_running_loop()
        failing = mock.Mock(deliver=mock.AsyncMock(side_effect=ValueError("a batch")))
        ended: asyncio.Future[tuple[Any, ...]] = app.loop.create_future()

        def end(*told: Any) -> None:
            ended.set_result(told)

        with (
            mock.patch.object(App, "consumer", failing),
            mock.patch.object(app_module, "end", end),
        ):
            await asyncio.to_thread(app._resume)
            told = await asyncio.wait_for(ended, 5)
        assert told == (Exit.FAULT, "ValueError: a batch")

    asyncio.run(run())


def test_what_is_raised_while_it_stops_is_not(app: App) -> None:
    app._stopped.set()
    app._crash(ValueError("late"))


def test_a_stall_ends_it_but_not_a_store_that_is_away(app: App) -> None:
    place = TP("view.posts", 3)
    app._consumer = SimpleNamespace(progress=lambda: {place: Progress(7, True)}, opening=[])
    reach = Reach("redis", mock.Mock(), lambda _: True)
    app.outages.append(reach.outage)
    reach.outage._waiting.add(Place(*place))
    app._look(31)
    app._look(31)
    reach.outage.gave_up(Place(*place))
    app._look(29)
    with pytest.raises(Ended) as ended:
        app._look(2)
    code, reason = ended.value.args
    assert code is Exit.STALLED
    assert reason.startswith("view.posts/3 has stood at 7 for 31 s")


def test_a_partition_that_does_not_finish_opening_ends_it(app: App) -> None:
    """But not while its restore moves, nor while it waits for a thread."""
    place = TP("posts", 3)
    owner = SimpleNamespace(queued={3}, restores={})
    app.processors["posts"] = owner  # type: ignore[assignment]
    app._consumer = SimpleNamespace(progress=dict, opening=[place])
    for _ in range(3):
        app._look(91)
    owner.queued.clear()
    app._look(91)
    restoring = owner.restores[3] = RestoreProgress()
    app._look(91)
    restoring.rows = 5
    app._look(91)
    app._look(90)
    with pytest.raises(Ended) as ended:
        app._look(1)
    code, reason = ended.value.args
    assert code is Exit.STALLED
    assert reason.startswith("posts/3 has been opening for 273 s, of which nothing moved for 91 s")


def test_a_worker_that_has_stopped_does_not_wait_as_modes_would(app: App) -> None:
    assert app.conf.Worker is Worker
    assert "_sentinel_task" in vars(mode.Worker)
    assert "_sentinel_task" in vars(Worker)
