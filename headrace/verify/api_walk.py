"""Reads what users see through the API, as a client does: timelines page by page to the end, and
suggestions."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

WALKERS = 4
TIMEOUT_S = 30.0
PATIENCE_S = 30.0
PAUSE_S = 0.2

Page = tuple[str, list[str]]
"""A post and the reasons that it is served with."""

Answer = TypeVar("Answer")


class WalkError(Exception):
    """The API did not serve a page."""


def walk_all(
    url: str, token: Callable[[str], str], users: Iterable[str]
) -> Iterator[tuple[str, list[Page]]]:
    """Each user with the whole timeline as served.

    Raises:
        WalkError: a page did not come, or only in part, for 30 s.
    """
    return _each(url, token, users, _Client.walk)


def suggestions_of_all(
    url: str, token: Callable[[str], str], users: Iterable[str], limit: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each user with the suggestions as served.

    Raises:
        WalkError: they did not come, or only in part, for 30 s.
    """
    path = f"/api/v1/users/me/suggestions?limit={limit}"
    return _each(url, token, users, lambda client, token: client.get(path, token))


def _each(
    url: str,
    token: Callable[[str], str],
    users: Iterable[str],
    read: Callable[[_Client, str], Answer],
) -> Iterator[tuple[str, Answer]]:
    """Each user with what a client reads by the user's token; a few clients at a time."""
    local = threading.local()

    with ExitStack() as held:

        def ask(user_id: str) -> tuple[str, Answer]:
            if not hasattr(local, "client"):
                local.client = _Client(url)
                held.callback(local.client.close)
            return user_id, read(local.client, token(user_id))

        with ThreadPoolExecutor(WALKERS) as pool:
            yield from pool.map(ask, users)


class _Client:
    """One connection, opened again when it breaks."""

    def __init__(self, url: str) -> None:
        self._where = urlsplit(url)
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def walk(self, token: str) -> list[Page]:
        found: list[Page] = []
        cursor = ""
        while True:
            page = self._page(token, cursor)
            found += [(post["post_id"], list(post["reasons"])) for post in page["posts"]]
            if not page["has_more"]:
                return found
            following = page["next_cursor"]
            if not following or following == cursor:
                raise WalkError(f"a page says has_more, but its next_cursor is {following!r}")
            cursor = following

    def _page(self, token: str, cursor: str) -> dict[str, Any]:
        path = "/api/v1/feed?limit=100"
        if cursor:
            path += f"&cursor={quote(cursor)}"
        return self.get(path, token)

    def get(self, path: str, token: str) -> dict[str, Any]:
        """A whole answer, as soon as there is one."""
        path = self._where.path.rstrip("/") + path
        deadline = time.monotonic() + PATIENCE_S
        while True:
            why, page = self._get(path, token)
            if page is not None:
                return page
            if time.monotonic() > deadline:
                raise WalkError(f"GET {path} at {self._where.netloc}: {why}")
            time.sleep(PAUSE_S)

    def _get(self, path: str, token: str) -> tuple[str, dict[str, Any] | None]:
        """A whole page, or why there is none yet."""
        if self._connection is None:
            host, port = self._where.hostname or "", self._where.port
            self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            self._connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return repr(error), None
        if answer.status in (429, 502, 503, 504):
            return f"status {answer.status}", None
        if answer.status != 200:
            raise WalkError(f"GET {path}: status {answer.status}: {body[:300]!r}")
        page: dict[str, Any] = json.loads(body)
        if page.get("degraded"):
            return f"degraded: {page['degraded']}", None
        return "", page
