"""Requests end in time, are not redirected, and say nothing to the logs."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

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


def test_an_answer_that_never_ends_is_a_timeout() -> None:
    """Each byte comes in time; all of them do not."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(IMPATIENCE / 10)
        finally:
            writer.close()

    async def go() -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        client = plain_client(IMPATIENCE)
        try:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(PATIENCE):
                await client.post(f"http://127.0.0.1:{port}/", {}, b"")
        finally:
            await client.aclose()
            server.close()
            await asyncio.sleep(IMPATIENCE / 5)

    assert failure(go).reason == "timeout"


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


def test_no_more_is_read_than_has_a_use() -> None:
    reply, _ = posted(Answer(200, b"x" * (3 * LONGEST_ANSWER)))
    assert isinstance(reply, Reply)
    assert reply.body == b"x" * LONGEST_ANSWER


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
