"""TCP proxies on the loopback interface: what a network does to the bytes of workers."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from connectors.stack.ports import HOST

CHUNK = 65_536
START_S = 10.0
REFUSAL_S = 0.3  # clients whose connection is closed at once try again at once
END_TRANSACTION = 26  # the key of Kafka's EndTxn request
_FAULTS = (ConnectionError, OSError, asyncio.IncompleteReadError)

T = TypeVar("T")
Way = Coroutine[Any, Any, None]


class Proxy:
    """Passes bytes between its own port and a server's; it can hold them back, both ways.

    It runs in a thread of its own for as long as the context lasts. A client whose server does
    not answer is disconnected, as without a proxy.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.held_bytes = 0
        self._server_port = server_port
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self.port = self._do(self._listen()).result(START_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._end()).result(START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()

    def hold(self) -> None:
        """Let nothing through; what comes is kept. `held_bytes` counts from here."""
        self.held_bytes = 0
        self._loop.call_soon_threadsafe(self._is_open.clear)

    def release(self) -> None:
        """Let through what was held, and what comes."""
        self._loop.call_soon_threadsafe(self._is_open.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            to_reader, to_writer = await asyncio.open_connection(HOST, self._server_port)
        except OSError:
            await asyncio.sleep(REFUSAL_S)
            writer.close()
            self._tasks.discard(task)
            return
        try:
            await self._connect(reader, writer, to_reader, to_writer)
        finally:
            writer.close()
            to_writer.close()
            self._tasks.discard(task)

    async def _connect(self, *streams: Any) -> None:
        """Pass on both ways until one side ends."""
        ways = [asyncio.create_task(way) for way in self._ways(*streams)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def _ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_reader: asyncio.StreamReader,
        to_writer: asyncio.StreamWriter,
    ) -> tuple[Way, Way]:
        """What passes on from a client to the server, and back."""
        return self._pass(reader, to_writer), self._pass(to_reader, writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(*_FAULTS):
            while data := await reader.read(CHUNK):
                await self._send(writer, data)

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not self._is_open.is_set():
            self.held_bytes += len(data)
            await self._is_open.wait()
        writer.write(data)
        await writer.drain()


class KafkaProxy(Proxy):
    """A proxy that knows Kafka's frames: its clients are led to it also by the broker's answers,
    and the ends of transactions can be caught.
    """

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self.lost_answers = 0
        self.caught = threading.Event()
        self._to_lose = 0
        self._is_catching = False
        self._may_end = asyncio.Event()
        self._may_end.set()

    def lose_answers(self, count: int) -> None:
        """The next `count` transactions end, and whoever ended them is not told: the answer is
        dropped and the connection closed."""
        self.lost_answers = 0
        self._to_lose = count

    def catch_commit(self) -> None:
        """Hold back the next end of a transaction, and set `caught`, until `let_commit`."""
        self.caught.clear()
        self._is_catching = True
        self._loop.call_soon_threadsafe(self._may_end.clear)

    def let_commit(self) -> None:
        """Let the caught request go where it may."""
        self._is_catching = False
        self._loop.call_soon_threadsafe(self._may_end.set)

    def _ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_reader: asyncio.StreamReader,
        to_writer: asyncio.StreamWriter,
    ) -> tuple[Way, Way]:
        lost: set[int] = set()
        return self._requests(reader, to_writer, lost), self._answers(to_reader, writer, lost)

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: set[int]
    ) -> None:
        """Pass requests on; the numbers of those that get no answer go to `lost`."""
        with suppress(*_FAULTS):
            while True:
                frame = await _frame(reader)
                key, _, number = struct.unpack_from(">hhi", frame, 4)
                if key == END_TRANSACTION:
                    if self._is_catching:
                        self.caught.set()
                        await self._may_end.wait()
                    if self._to_lose:
                        self._to_lose -= 1
                        lost.add(number)
                await self._send(writer, frame)

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: set[int]
    ) -> None:
        """Pass answers on, this port instead of the broker's in them."""
        host = HOST.encode()
        brokers, mine = (host + struct.pack(">i", port) for port in (self._server_port, self.port))
        with suppress(*_FAULTS):
            while True:
                frame = await _frame(reader)
                if struct.unpack_from(">i", frame, 4)[0] in lost:
                    self.lost_answers += 1
                    return
                await self._send(writer, frame.replace(brokers, mine))


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """One request or answer with its length before it."""
    size = await reader.readexactly(4)
    return size + await reader.readexactly(int.from_bytes(size, "big"))
