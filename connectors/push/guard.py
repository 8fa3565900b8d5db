"""Keeps requests to addresses that users chose out of the operator's own networks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpcore
from httpcore import SOCKET_OPTION

Resolve = Callable[[str, int], Awaitable[list[str]]]

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: its last 32 bits are the IPv4 address


class ForbiddenAddressError(Exception):
    """A name leads to an address that is not of the public Internet."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only; `may_loop_back` allows this machine's as well.

    A name is refused if any of its addresses is. The connection goes to an address that was
    looked at, so a name that leads elsewhere a moment later changes nothing.

    Raises:
        ForbiddenAddressError: on connecting.
    """

    def __init__(self, *, may_loop_back: bool = False, resolve: Resolve | None = None) -> None:
        self._may_loop_back = may_loop_back
        self._resolve = resolve or _resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own interface
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """As httpcore does, tried with each of the name's addresses until one answers."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name is not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name cannot be resolved") from None
        if not all(is_allowed(address, may_loop_back=self._may_loop_back) for address in found):
            raise ForbiddenAddressError
        failure: httpcore.NetworkError | httpcore.TimeoutException
        failure = httpcore.ConnectError("the name has no address")
        for address in found:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Part of httpcore's interface."""
        await self._inner.sleep(seconds)


def is_allowed(address: str, *, may_loop_back: bool = False) -> bool:
    """Whether an IP address is a public one, to one machine."""
    try:
        ip = _true(ip_address(address))
    except ValueError:
        return False
    if ip.is_loopback:
        return may_loop_back
    if isinstance(ip, IPv6Address) and (
        ip.scope_id is not None or ip.sixtofour is not None or ip.teredo is not None
    ):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _true(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[4][0]) for place in found))
