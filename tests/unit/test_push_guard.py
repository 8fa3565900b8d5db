"""Which addresses a subscription may lead to."""

from __future__ import annotations

import asyncio
import socket

import httpcore
import pytest

from connectors.push.guard import ForbiddenAddressError, GuardedBackend, is_allowed

PUBLIC = [
    "8.8.8.8",
    "142.250.1.188",
    "2a00:1450:4001:80b::200a",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2a00:1450:4001:80b::200a%eth0",
    "ff02::1",
    "not an address",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_others_are_not_whatever_the_setting(address: str) -> None:
    assert not is_allowed(address)
    assert not is_allowed(address, may_loop_back=True)


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_allowed_by_the_setting_only(address: str) -> None:
    assert not is_allowed(address)
    assert is_allowed(address, may_loop_back=True)


def connect(backend: GuardedBackend, host: str, port: int = 443) -> None:
    async def go() -> None:
        stream = await backend.connect_tcp(host, port, timeout=0.2)
        await stream.aclose()

    asyncio.run(go())


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0.0.0.0"]
)
def test_a_name_is_judged_by_where_it_leads(host: str) -> None:
    """The machine's own resolver reads some strange names as addresses."""
    with pytest.raises(ForbiddenAddressError):
        connect(GuardedBackend(), host)


def test_one_bad_address_among_good_ones_is_enough() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(ForbiddenAddressError):
        connect(GuardedBackend(resolve=resolve), "push.example.net")


def test_a_name_is_asked_for_once_and_the_address_that_was_judged_is_connected_to() -> None:
    """A second answer, as of a name that is bound anew, is not even asked for."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(_host: str, _port: int) -> list[str]:
        return answers.pop(0)

    with socket.create_server(("127.0.0.1", 0)) as server:
        backend = GuardedBackend(may_loop_back=True, resolve=resolve)
        connect(backend, "rebound.example.net", server.getsockname()[1])
        server.settimeout(1)
        server.accept()[0].close()
    assert answers == [["10.0.0.1"]]


def test_the_next_address_is_tried() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    with socket.create_server(("127.0.0.1", 0)) as server:
        backend = GuardedBackend(may_loop_back=True, resolve=resolve)
        connect(backend, "two.example.net", server.getsockname()[1])


def test_a_name_without_addresses_is_not_connected_to() -> None:
    async def none(_host: str, _port: int) -> list[str]:
        return []

    async def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async def slow(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(10)
        return ["8.8.8.8"]

    for resolve in (none, unknown):
        with pytest.raises(httpcore.ConnectError):
            connect(GuardedBackend(resolve=resolve), "push.example.net")
    with pytest.raises(httpcore.ConnectTimeout):
        connect(GuardedBackend(resolve=slow), "push.example.net")
