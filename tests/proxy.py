"""A TCP proxy before a server, which loses what it is told to."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"


class Proxy:
    """Passes bytes between clients and a port of this machine. Use it as a context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._marker = b""
        self._swallowed = b""
        self._reaches_server = True
        self.lost = 0
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def cut_after(self, marker: bytes, *, reaches_server: bool) -> None:
        """Cut the next connection on which a client sends `marker`: before the server gets it,
        or after it has answered, the answer being lost."""
        self._reaches_server = reaches_server
        self._marker = marker

    def swallow(self, marker: bytes) -> None:
        """From now on what a client sends with `marker` in it does not reach the server, and is not
        answered; with an empty one, all does."""
        self._swallowed = marker

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((HOST, self._target)) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if server in ready:
                    answer = server.recv(1 << 16)
                    if not answer:
                        return
                    client.sendall(answer)
                if client in ready:
                    asked = client.recv(1 << 16)
                    if not asked:
                        return
                    if self._marker and self._marker in asked:
                        self._marker = b""
                        self.lost += 1
                        if self._reaches_server:
                            server.sendall(asked)
                            server.recv(1 << 16)
                        return
                    if self._swallowed and self._swallowed in asked:
                        self.lost += 1
                        continue
                    server.sendall(asked)
