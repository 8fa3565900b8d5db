"""Whether the process runs, whether it can serve, and its figures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, generate_latest

from api.models import Health, Readiness
from api.state import Services
from api.stores import CASSANDRA, KAFKA, REDIS, StoreDownError

CHECK_SECONDS = 2.5
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether the process runs")
async def healthz() -> Health:
    """Always ok; says nothing about the stores."""
    return Health()


@router.get(
    "/readyz",
    summary="Whether the API can serve",
    responses={503: {"model": Readiness, "description": "No feed can be served."}},
)
async def readyz(request: Request, response: Response) -> Readiness:
    """`ready`: all is there. `degraded` (also 200): one of Redis and Cassandra is away, or
    Kafka, so that writes fail. `unavailable` (503): Redis and Cassandra are away, or the API is
    starting."""
    services: Services | None = request.app.state.services
    if services is None:
        response.status_code = 503
        return Readiness(status="unavailable", checks={"api": "starting"})
    stores = services.stores
    checks = dict(
        await asyncio.gather(
            _check(REDIS, stores.cache.ping()),
            _check(CASSANDRA, stores.archive.ping()),
            _check(KAFKA, stores.writer.ping()),
        )
    )
    if all(answer == "ok" for answer in checks.values()):
        return Readiness(status="ready", checks=checks)
    if checks[REDIS] != "ok" and checks[CASSANDRA] != "ok":
        response.status_code = 503
        return Readiness(status="unavailable", checks=checks)
    return Readiness(status="degraded", checks=checks)


async def _check(store: str, ping: Awaitable[None]) -> tuple[str, str]:
    try:
        await asyncio.wait_for(ping, CHECK_SECONDS)
    except StoreDownError as error:
        return store, error.reason
    except TimeoutError:
        return store, f"no answer within {CHECK_SECONDS} s"
    return store, "ok"


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """Requests by route and status, and how long they took."""
    registry: CollectorRegistry = request.app.state.registry
    return Response(generate_latest(registry), media_type=METRICS_TYPE)
