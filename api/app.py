"""The application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from api import (
    account,
    acts,
    close_friends,
    comments,
    engagements,
    errors,
    feed,
    health,
    interests,
    moderation,
    notifications,
    openapi,
    people,
    post_edits,
    post_lists,
    posts,
    produce,
    relations,
    suggestions,
    topics,
    trending,
    unwanted,
    usernames,
    users,
    why_not,
)
from api.archive import CassandraArchive
from api.auth import authenticator
from api.boundary import Boundary, cors_of
from api.cache import RedisCache
from api.circuit import OPEN
from api.content import content_rules
from api.ledger import FAILURES, RedisLedger
from api.limits import limits_of
from api.live import routes as live
from api.live.figures import Figures
from api.live.open import open_hub
from api.page import routes as page
from api.ranking.experiments import Experiments
from api.ranking.rankers import ranker_of
from api.ranking.weights import load_weights
from api.rankings import RedisRankings
from api.shortcut import Shortcut
from api.state import Services
from api.stores import Stores, Writer
from api.writes import KafkaWriter, now_ms
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from connectors.tracing import Tracing

WRITE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
CONNECT_SECONDS = 10.0
"""How long a start waits for Cassandra before it serves without."""


def create_app(
    settings: Settings,
    addresses: Addresses | None = None,
    *,
    stores: Stores | None = None,
    clock: Callable[[], int] = now_ms,
) -> FastAPI:
    """The API over the stores at `addresses`, or over `stores` that the caller opens and closes.

    Args:
        settings: Partitions, keyspace, the key of the tokens, and the file of weights.
        addresses: Of the stores, opened when the application starts; None with `stores`.
        stores: Instead of `addresses`.
        clock: The time in ms since 1970 UTC.

    Raises:
        SecretError: the key file cannot be used.
        RulesError: the file of rules on spam cannot be used.
        TracingError: traces are asked for, and what makes them is not installed.
        WeightsError: the file of weights cannot be used, or the model that it names.
    """
    weights = load_weights(settings.ranking)
    ranker, experiments = ranker_of(weights), Experiments(weights)
    limits, content = limits_of(settings), content_rules(settings)
    tracing = Tracing()
    tracing.begin(settings, "headrace-api")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if addresses is None:
            yield
            return
        opened = await open_stores(settings, addresses, tracing)
        app.state.services = Services(opened, clock, limits, content, weights, ranker, experiments)
        app.state.live = open_hub(settings, addresses.kafka, app.state.services, figures)
        try:
            yield
        finally:
            await app.state.live.close()
            app.state.live = app.state.services = None
            await opened.close()
            await asyncio.to_thread(tracing.end)

    app = FastAPI(
        title="Headrace",
        version=version("headrace"),
        summary="A news feed",
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        telemetry={
            "tracer_provider": tracing.provider,
            "tracing": tracing.provider is not None,
            "exclude": _is_no_write,
            **{"auto_configure": False, "operation_spans": False, "metrics": False, "logs": False},
        },
        generate_unique_id_function=_operation_id,
    )
    registry = CollectorRegistry()
    registry.register(FAILURES)
    registry.register(OPEN)
    figures = Figures(registry)
    app.state.registry = registry
    app.state.authenticator = authenticator(settings)
    services = (
        None
        if stores is None
        else Services(stores, clock, limits, content, weights, ranker, experiments)
    )
    app.state.services = services
    app.state.live = None
    app.state.live_limits = live.limits_of(settings)
    app.state.live_figures = figures
    modules = (  # in this order: ids may have any text in them
        *(live, feed, why_not, post_lists, trending, comments, engagements, acts, posts),
        *(post_edits, produce, moderation, interests, notifications, health, suggestions),
        *(close_friends, unwanted, account, people, relations, topics, usernames, users),
    )
    for module in modules:
        app.include_router(module.router)
    page.install(app, settings)
    errors.install(app)
    routes = [route for module in modules for route in module.router.routes]
    openapi.install(app, routes)
    app.add_middleware(Shortcut, routes=routes)
    app.add_middleware(Boundary, registry=registry)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, **cors_of(settings))
    return app


def _is_no_write(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("method") not in WRITE_METHODS


def _operation_id(route: APIRoute) -> str:
    return route.name


async def open_stores(
    settings: Settings,
    addresses: Addresses,
    tracing: Tracing | None = None,
    writer: Writer | None = None,
) -> Stores:
    """The stores at addresses, connected as far as they answer; close them when done. What
    publishes, if not `writer`, is a producer of Kafka."""
    archive = CassandraArchive(addresses.cassandra, settings.cassandra_keyspace)
    archive.start()
    await archive.connected(CONNECT_SECONDS)
    cache = RedisCache(addresses.redis, settings.partitions)
    return Stores(
        cache=cache,
        archive=archive,
        writer=writer or KafkaWriter(addresses.kafka, settings.registry_address, tracing),
        ledger=RedisLedger(cache.run, settings.partitions),
        rankings=RedisRankings(cache.run, settings.partitions),
    )
