"""Reads `view.notifications` and delivers what is new, until it is told to stop."""

from __future__ import annotations

import asyncio
import time

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from api.app import open_stores
from api.deliveries import Deliveries
from api.state import Services
from api.writes import NoWriter
from connectors.kafka import explained, for_aiokafka
from connectors.push.gateway import Gateway
from connectors.rights import READ, check_rights
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from schemas.topics import Topic
from schemas.views import NotificationView, decode_view

GROUP = "headrace-deliver"
POLL_MS = 500
SETTLE_SECONDS = 1.0
AT_ONCE = 100
LONGEST_BATCH_MS = 15 * 60 * 1000
"""Endpoints that do not answer are given up after 80 s; 32 deliveries are under way at once."""

log = structlog.get_logger(__name__)


async def serve(
    settings: Settings, addresses: Addresses, gateway: Gateway, stop: asyncio.Event
) -> None:
    """Deliver by a gateway, which is closed in the end; raises as `run` does."""
    stores = await open_stores(settings, addresses, writer=NoWriter())
    try:
        async with gateway:
            services = Services(stores)
            deliveries = Deliveries(services, gateway, services.clock)
            try:
                await run(addresses.kafka, deliveries, stop)
            finally:
                log.info("deliveries ended", **deliveries.outcomes)
    finally:
        await stores.close()


async def run(brokers: str, deliveries: Deliveries, stop: asyncio.Event) -> None:
    """Deliver from where the group stands, of a new group from now on.

    Offsets are committed behind what was delivered, so that nothing is left out.

    Raises:
        MissingRightsError: this process may not read that.
        RefusedError: a broker is not trusted, or refuses the password.
        KafkaError: none answers.
        StoreDownError: Redis does not answer, or it cannot be known now who may see what.
    """
    needed = ({Topic.VIEW_NOTIFICATIONS.value: {READ}}, {GROUP: {READ}})
    await asyncio.to_thread(check_rights, brokers, *needed)
    consumer = AIOKafkaConsumer(
        Topic.VIEW_NOTIFICATIONS.value,
        bootstrap_servers=brokers,
        **for_aiokafka(),
        group_id=GROUP,
        isolation_level="read_committed",
        auto_offset_reset="latest",
        enable_auto_commit=False,
        max_poll_interval_ms=LONGEST_BATCH_MS,
    )
    try:
        await consumer.start()
    except KafkaError as error:
        await consumer.stop()
        raise await asyncio.to_thread(explained, error, brokers) from error
    try:
        while not stop.is_set():
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=AT_ONCE)
            records = [each for some in found.values() for each in some]
            await _settle(records)
            raws = (each.value for each in records if each.value)
            await deliveries.deliver(filter(None, map(_group, raws)))
            if found:
                await consumer.commit()
    finally:
        await consumer.stop()


async def _settle(records: list[ConsumerRecord]) -> None:
    """Wait until the newest of records is a second old, so that Redis has what it is about: that
    comes by other logs."""
    if records:
        age = time.time() - max(each.timestamp for each in records) / 1000
        await asyncio.sleep(min(SETTLE_SECONDS, max(0.0, SETTLE_SECONDS - age)))


def _group(raw: bytes) -> NotificationView | None:
    try:
        view = decode_view(Topic.VIEW_NOTIFICATIONS, raw)
    except msgspec.DecodeError:  # the sink has made a dead letter of it
        return None
    return view if isinstance(view, NotificationView) else None
