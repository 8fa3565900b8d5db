"""Requests end in time, are not redirected, and say nothing to the logs."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from connectors.push.connector import RetryLaterError, code_or
from connectors.push.http import LONGEST_ANSWER, HttpClient, Reply, raise_if_passing, retry_after
from tests.push.certificate import Certificate
from tests.push.parts import IMPATIENCE, NOW, PATIENCE, patience, plain_client
from tests.push.server import SILENCE, Answer, Request, StandIn, said


class Echo(StandIn):
    async def judge(self, request: Request) -> Answer:
        return said(200, request.path)


def posted(
    *script: Answer, headers: dict[str, str] | None = None
) -> tuple[Reply | RetryLaterError, Echo]:
    async def go() -> tuple[Reply | RetryLaterError, Echo]:
        async with Echo() as server:
            server.script.extend(script)
            client = plain_client(patience(*script))
            try:
                return await client.post(f"{server.url}/x?y=z", headers or {}, b"body"), server
            except RetryLaterError as error:
                return error, server
            finally:
                await client.aclose()

    return asyncio.run(go())


def failure(go: Callable[[], Awaitable[object]]) -> RetryLaterError:
    async def run() -> None:
        await go()

    with pytest.raises(RetryLaterError) as error:
        asyncio.run(run())
    return error.value


def test_a_request_and_its_answer() -> None:
    reply, server = posted(headers={"x-name": "value"})
    assert reply == Reply(200, {"content-length": "8"}, b'"/x?y=z"')
    [request] = server.requests
    assert (request.method, request.body) == ("POST", b"body")
    assert request.headers["x-name"] == "value"


def test_connections_are_used_again() -> None:
    async def go() -> int:
        async with Echo() as server:
            client = plain_client()
            for _ in range(3):
                await client.post(server.url + "/", {}, b"")
            await client.aclose()
            return server.connections

    assert asyncio.run(go()) == 1


def test_silence_is_a_timeout() -> None:
    reply, _ = posted(SILENCE)
    assert isinstance(reply, RetryLaterError)
    assert reply.reason == "timeout"


def test_nobody_there() -> None:
    async def go() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        await plain_client().post(f"http://127.0.0.1:{port}/", {}, b"")

    assert failure(go).reason == "ConnectError"


def test_a_certificate_that_nobody_vouches_for_is_not_spoken_to(tmp_path: Path) -> None:
    async def go() -> None:
        async with Echo(Certificate(tmp_path)) as server:
            client = HttpClient()
            try:
                await client.post(server.url + "/", {}, b"secret")
            finally:
                assert not server.requests
                await client.aclose()

    assert failure(go).reason == "ConnectError"


def test_a_redirection_is_an_answer() -> None:
    reply, server = posted(said(307, location="/elsewhere"))
    assert isinstance(reply, Reply)
    assert reply.status == 307
    assert len(server.requests) == 1


def answered(
    *chunks: bytes, pause: float = 0.0, timeout_seconds: float = PATIENCE, protocol: str = ""
) -> Reply | RetryLaterError:
    """What comes of a server that sends these bytes, the last of them for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(65_536)
            for chunk in chunks[:-1]:
                writer.write(chunk)
            while not writer.is_closing():
                writer.write(chunks[-1])
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    async def go() -> Reply | RetryLaterError:
        with TemporaryDirectory() as folder:
            certificate = Certificate(Path(folder))
            tls = certificate.server(protocol) if protocol else None
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        client = HttpClient(http2=True, tls=certificate.client(), timeout_seconds=timeout_seconds)
        port = server.sockets[0].getsockname()[1]
        try:
            return await client.post(f"http{'s' if tls else ''}://127.0.0.1:{port}/", {}, b"x")
        except RetryLaterError as error:
            return error
        finally:
            await client.aclose()
            server.close()
            await asyncio.sleep(2 * pause + 0.01)

    return asyncio.run(go())


def test_an_answer_that_never_ends_is_a_timeout() -> None:
    """Each byte comes in time; all of them do not."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    reply = answered(head, b"x", pause=IMPATIENCE / 10, timeout_seconds=IMPATIENCE)
    assert isinstance(reply, RetryLaterError)
    assert reply.reason == "timeout"


def test_no_more_is_read_than_has_a_use() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n"
    reply = answered(head, b"x" * 65_536)
    assert isinstance(reply, Reply)
    assert reply.body == b"x" * LONGEST_ANSWER


SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.mark.parametrize(
    ("protocol", "chunk"),
    [
        pytest.param("http/1.1", b"\0\xff garbage\r\n\r\n", id="no HTTP"),
        pytest.param("http/1.1", b"HTTP/1.1 99999 x\r\n\r\n", id="no status"),
        pytest.param("http/1.1", b"HTTP/1.1 200 x\r\ncontent-length: -5\r\n\r\n", id="no length"),
        pytest.param("http/1.1", b"x" * 65_536, id="a head without end"),
        pytest.param("h2", b"\0\0\5\4" + bytes(10), id="broken settings"),
        pytest.param("h2", SETTINGS + b"\0\0\5\1\5\0\0\0\1" + b"\xff" * 5, id="broken headers"),
        pytest.param("h2", SETTINGS + b"\0\0\4\3\0\0\0\0\1\0\0\0\7", id="a reset stream"),
        pytest.param("h2", SETTINGS + b"\0\0\x08\7" + bytes(13), id="a server that goes away"),
    ],
)
def test_an_answer_that_is_none(protocol: str, chunk: bytes) -> None:
    reply = answered(chunk, protocol=protocol)
    assert isinstance(reply, RetryLaterError)
    assert reply.reason in {"RemoteProtocolError", "LocalProtocolError"}


def test_an_answer_that_is_damaged_on_its_way(tmp_path: Path) -> None:
    """Its bytes are changed from when the server has the request."""

    async def go() -> None:
        certificate = Certificate(tmp_path)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while data := await source.read(65_536):
                    sink.write(data if not server.requests else data[:-1] + b"?")
            sink.close()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

        async with Echo(certificate) as server:
            proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
            client = HttpClient(tls=certificate.client(), timeout_seconds=PATIENCE)
            try:
                port = proxy.sockets[0].getsockname()[1]
                await client.post(f"https://127.0.0.1:{port}/", {}, b"x")
            finally:
                await client.aclose()
                proxy.close()
                await asyncio.sleep(0.05)

    assert failure(go).reason == "SSLError"


def test_headers_and_bodies_are_in_no_log(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)

    async def go() -> None:
        certificate = Certificate(tmp_path)
        async with Echo(certificate, http2=True) as server:
            client = HttpClient(http1=False, http2=True, tls=certificate.client())
            reply = await client.post(server.url + "/Pa55", {"x-name": "Pa55"}, b"Pa55")
            assert reply.body == b'"/Pa55"'
            await client.aclose()

    asyncio.run(go())
    told = [record for record in caplog.records if record.name.split(".")[0] != "asyncio"]
    assert "Pa55" not in "".join(record.getMessage() for record in told)


def test_an_error_does_not_quote_a_header() -> None:
    async def go() -> None:
        async with Echo() as server:
            client = plain_client()
            try:
                await client.post(server.url + "/", {"authorization": "Pa55\n"}, b"")
            finally:
                await client.aclose()

    error = failure(go)
    assert "Pa55" not in str(error)
    assert error.__suppress_context__


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass(status: int) -> None:
    with pytest.raises(RetryLaterError) as error:
        raise_if_passing(Reply(status, {"retry-after": "7"}, b""), "why", NOW)
    assert (error.value.reason, error.value.after_seconds) == ("why", 7)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 410, 413])
def test_what_does_not_pass(status: int) -> None:
    raise_if_passing(Reply(status, {}, b""), "why", NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", 0),
        ("120", 120),
        ("9" * 400, 86_400),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2038 07:00:00 GMT", 86_400),
        ("Fri, 99 Jan 2027 07:00:00 GMT", None),
    ],
)
def test_when_to_come_again(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize("text", ["", "two words", "a" * 65, "token=Pa55", "ä"])
def test_only_codes_are_told(text: str) -> None:
    assert code_or(text, "400") == "400"
    assert code_or("UNREGISTERED", "404") == "UNREGISTERED"
