"""What the routes share: the stores and what is made from them, once an application."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Annotated

from fastapi import Depends, Request

from api.auth import Caller
from api.content import ContentRules
from api.errors import unavailable
from api.exposures import Exposures
from api.limits import Limiter, Limits
from api.presence import Presence
from api.ranking.experiments import Experiments, Ranking
from api.ranking.rankers import Ranker, ranker_of
from api.ranking.weights import Weights
from api.stores import Stores
from api.views import Absent, Reader
from api.visible_writes import Waiting
from api.writes import Events, Ids, RequestEvents, now_ms


class Services:
    """The stores, and what reads and writes them."""

    def __init__(
        self,
        stores: Stores,
        clock: Callable[[], int] = now_ms,
        limits: Limits | None = None,
        content: ContentRules | None = None,
        weights: Weights | None = None,
        ranker: Ranker | None = None,
        experiments: Experiments | None = None,
    ) -> None:
        self.content = content or ContentRules()
        self.stores = stores
        self.limiter = Limiter(stores.ledger, limits or {})
        self.clock = clock
        self.weights = weights or Weights()
        self.ranker = ranker or ranker_of(self.weights)
        self.experiments = experiments or Experiments(self.weights)
        self.events = Events(stores.writer, clock)
        self.presence = Presence(self.events)
        self.exposures = Exposures(self.events)
        self.waiting = Waiting(stores)
        self._absent = Absent()

    def of_request(self, at: int, ids: Ids | None) -> tuple[Services, RequestEvents]:
        """These services for one request, all of the time `at` (ms), and its events."""
        mine = copy(self)
        mine.clock = lambda: at
        mine.events = events = self.events.of_request(at, ids)
        return mine, events

    def ranking_of(self, user_id: str) -> Ranking:
        """How the feed of a user is ordered."""
        return self.experiments.of(user_id) or Ranking(self.weights, self.ranker)

    def reader_for(self, user_id: str) -> Reader:
        """A reader for what a user may see."""
        return Reader(self.stores, self._absent, user_id)

    def reader(self, caller: Caller | None) -> Reader:
        """A reader for one request."""
        return Reader(self.stores, self._absent, caller.user_id if caller else None)


async def services_of(request: Request) -> Services:
    """What a request is served with.

    Raises:
        ProblemError: 503, while the API starts.
    """
    of_request: Services | None = request.scope.get("state", {}).get("services")
    services: Services | None = of_request or request.app.state.services
    if services is None:
        raise unavailable("The API is starting.")
    return services


Shared = Annotated[Services, Depends(services_of)]
