"""The connectors that are configured, as one: what the sink of notifications uses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

from connectors.push.address import WEBHOOK, Address, AddressError, parse_address
from connectors.push.apns import Apns, ApnsKey
from connectors.push.connector import Connector, Outcome
from connectors.push.fcm import Fcm
from connectors.push.key_files import read_apns_key, read_service_account
from connectors.push.keys import vapid_key, webhook_key
from connectors.push.notice import Notice
from connectors.push.retry import RetryPolicy, with_retries
from connectors.push.webhook import Webhook
from connectors.push.webpush import WebPush
from connectors.settings import Settings


class Gateway:
    """Delivers notices by the connectors that it has; leaving the context closes them."""

    def __init__(
        self,
        connectors: dict[str, Connector],
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        share: Callable[[], float] = random.random,
    ) -> None:
        self._connectors = connectors
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
        self._share = share

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the connectors; none if nothing is configured."""
        return tuple(self._connectors)

    def addresses(self, device_tokens: Iterable[str]) -> list[Address]:
        """Where a user's notices go: the operator's endpoint, and the devices.

        Tokens of no known form, of connectors that are not configured, and doubles are left out.
        """
        found = dict.fromkeys([WEBHOOK] if WEBHOOK.service in self._connectors else [])
        for token in device_tokens:
            try:
                address = parse_address(token)
            except AddressError:
                continue
            if address.service in self._connectors:
                found[address] = None
        return list(found)

    async def deliver(self, address: Address, notice: Notice) -> Outcome:
        """Deliver a notice to an address of `addresses`, with the retries of the policy.

        Raises:
            RetryLaterError: the policy's last attempt has failed, too.
            CredentialsError: the operator's key is not accepted.
        """
        connector = self._connectors[address.service]
        return await with_retries(
            lambda: connector.deliver(address, notice),
            self._policy,
            sleep=self._sleep,
            share=self._share,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for connector in self._connectors.values():
            await connector.aclose()


def open_gateway(settings: Settings) -> Gateway:
    """The connectors that the settings name, none of them connected yet.

    Raises:
        KeyFileError: a file with a key is missing, or is something else.
    """
    connectors: dict[str, Connector] = {}
    ttl_seconds = float(settings.push_ttl_seconds)
    if settings.webhook_url:
        key = webhook_key(settings.webhook_secret.get_secret_value())
        connectors["webhook"] = Webhook(settings.webhook_url, key)
    if settings.vapid_subject:
        connectors["webpush"] = WebPush(
            vapid_key(settings.vapid_key.get_secret_value()),
            settings.vapid_subject,
            ttl_seconds=ttl_seconds,
            may_loop_back=settings.push_loopback,
        )
    if settings.fcm_credentials:
        account = read_service_account(settings.fcm_credentials)
        connectors["fcm"] = Fcm(account, ttl_seconds=ttl_seconds, url=settings.fcm_url)
    if settings.apns_key_file:
        connectors["apns"] = Apns(
            ApnsKey(
                read_apns_key(settings.apns_key_file),
                settings.apns_key_id,
                settings.apns_team_id,
            ),
            settings.apns_topic,
            ttl_seconds=ttl_seconds,
            url=settings.apns_url,
        )
    return Gateway(connectors)
