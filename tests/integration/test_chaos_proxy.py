"""The proxies of chaos runs, before a server that answers each frame with itself."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator

import pytest

from headrace.chaos.proxy import END_TRANSACTION, KafkaProxy, Proxy

PATIENCE_S = 5.0
HELD_S = 0.3


class Echo(socketserver.BaseRequestHandler):
    """Answers each frame: its number, then what is behind the number."""

    def handle(self) -> None:
        stream = self.request.makefile("rwb")
        while size := stream.read(4):
            frame = stream.read(int.from_bytes(size, "big"))
            answer = frame[4:]
            stream.write(struct.pack(">i", len(answer)) + answer)
            stream.flush()


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of the server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def ask(client: socket.socket, key: int, number: int, rest: bytes) -> None:
    frame = struct.pack(">hhi", key, 0, number) + rest
    client.sendall(struct.pack(">i", len(frame)) + frame)


def answer(client: socket.socket) -> bytes:
    """An answer; nothing when the connection was closed."""
    stream = client.makefile("rb")
    size = stream.read(4)
    return stream.read(int.from_bytes(size, "big")) if size else b""


def test_what_is_held_comes_later(server: int) -> None:
    with Proxy(server) as proxy, connected(proxy.port) as client:
        ask(client, 0, 1, b"before")
        assert answer(client).endswith(b"before")
        proxy.hold()
        ask(client, 0, 2, b"held")
        client.settimeout(HELD_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert proxy.held_bytes > 0
        proxy.release()
        client.settimeout(PATIENCE_S)
        assert answer(client).endswith(b"held")


def test_without_a_server_a_client_is_disconnected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with Proxy(port) as proxy, connected(proxy.port) as client:
        assert client.recv(1) == b""


def test_kafkas_clients_are_led_to_the_proxy(server: int) -> None:
    with KafkaProxy(server) as proxy, connected(proxy.port) as client:
        ask(client, 3, 1, b"127.0.0.1" + struct.pack(">i", server) + b"x" * 100_000)
        found = answer(client)
        assert found[4:].startswith(b"127.0.0.1" + struct.pack(">i", proxy.port))
        assert found.endswith(b"x" * 100_000)


def test_an_answer_is_lost_with_its_connection(server: int) -> None:
    with KafkaProxy(server) as proxy:
        proxy.lose_answers(1)
        with connected(proxy.port) as client:
            ask(client, 0, 1, b"other")
            assert answer(client).endswith(b"other")
            ask(client, END_TRANSACTION, 2, b"end")
            assert answer(client) == b""
        assert proxy.lost_answers == 1
        with connected(proxy.port) as client:
            ask(client, END_TRANSACTION, 3, b"again")
            assert answer(client).endswith(b"again")


def test_a_commit_is_caught_on_its_way(server: int) -> None:
    with KafkaProxy(server) as proxy, connected(proxy.port) as client:
        proxy.catch_commit()
        ask(client, 0, 1, b"other")
        assert answer(client).endswith(b"other")
        assert not proxy.caught.is_set()
        ask(client, END_TRANSACTION, 2, b"end")
        assert proxy.caught.wait(PATIENCE_S)
        client.settimeout(HELD_S)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.let_commit()
        client.settimeout(PATIENCE_S)
        assert answer(client).endswith(b"end")
