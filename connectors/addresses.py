"""Where Kafka, Redis and Cassandra are: what the settings say, else the running local stack."""

from __future__ import annotations

from connectors.settings import settings
from connectors.stack.addresses import Addresses, running


class NoAddressError(Exception):
    """Some address is neither set nor known from a running local stack."""


def resolve() -> Addresses:
    """The addresses to use: each that is set, and those of the running local stack for the rest.

    Raises:
        NoAddressError: one is missing; the message says which and what to do.
    """
    config = settings()
    given = {
        "KAFKA_BROKERS": config.kafka_brokers,
        "REDIS_URL": config.redis_url,
        "CASSANDRA_HOSTS": config.cassandra_hosts,
    }
    missing = [variable for variable, address in given.items() if not address]
    if not missing:
        return Addresses(config.kafka_brokers, config.redis_url, config.cassandra_hosts)
    local = running()
    if local is None:
        raise NoAddressError(
            f"{', '.join(missing)} not set and no local stack is running: run "
            "`headrace stack up`, or set it"
        )
    return Addresses(
        kafka=config.kafka_brokers or local.kafka,
        redis=config.redis_url or local.redis,
        cassandra=config.cassandra_hosts or local.cassandra,
    )


def resolve_kafka() -> str:
    """Kafka's addresses, for what needs nothing else.

    Raises:
        NoAddressError: neither set nor known from a running local stack.
    """
    local = None if settings().kafka_brokers else running()
    found = settings().kafka_brokers or ("" if local is None else local.kafka)
    if not found:
        raise NoAddressError(
            "KAFKA_BROKERS not set and no local stack is running: run `headrace stack up`, or set "
            "it"
        )
    return found


def resolve_or_default() -> Addresses:
    """As `resolve`, or where a local stack would be: for what is only imported, not yet run."""
    try:
        return resolve()
    except NoAddressError:
        config = settings()
        return Addresses(
            kafka=config.kafka_brokers or f"127.0.0.1:{config.kafka_port}",
            redis=config.redis_url or f"redis://127.0.0.1:{config.redis_port}/0",
            cassandra=config.cassandra_hosts or f"127.0.0.1:{config.cassandra_port}",
        )
