"""Round trips to Redis: in the time that is left of the request, or `StoreDownError`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from hiredis import pack_command
from redis.asyncio import Connection, Redis, RedisCluster, SSLConnection
from redis.asyncio.connection import RedisSSLContext
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from api.deadline import time_left
from api.held import Entries
from api.kept_views import KeptViews, Lookup, Question
from api.of_viewer import small
from api.redis_answers import filled
from api.redis_link import open_link
from api.stores import REDIS, StoreDownError
from api.turns import turn
from connectors.redis import GREETING, is_of_cluster, is_passing, refusal, security_options
from connectors.redis_keys import by_hash_tag

TIMEOUT_SECONDS = 1.0
MAX_CONNECTIONS = 512

log = structlog.get_logger(__name__)


class OneServer:
    """Connections to one server, of which each round trip has one.

    redis-py's pipeline bounds each write and each answer on its own, looks at each connection
    before it is used, and counts for its own figures; of a page of a feed that is most of the time
    that Redis takes. Its connections do the rest: greeting, TLS and parsing.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._idle: list[Connection] = []
        self._trust: RedisSSLContext | None = None
        self.views = KeptViews(lambda told, protocol: open_link(self.connection(), told, protocol))
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to commands. A connection that was idle may be gone: then another is made,
        and they are sent once more."""
        async with self._free:
            if self._idle:
                try:
                    return await self._exchange(self._idle.pop(), commands)
                except (RedisConnectionError, OSError):
                    await self._drop_idle()
            return await self._exchange(self.connection(), commands)

    def connection(self) -> Connection:
        """A connection that is not made yet, and is the caller's."""
        connection: Connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        if isinstance(connection, SSLConnection):  # to read whom it trusts takes each 20 ms
            self._trust = self._trust or connection.ssl_context
            connection.ssl_context = self._trust
        return connection

    async def aclose(self) -> None:
        """Close the connections."""
        self.views.close()
        await self._drop_idle()
        await self._client.aclose()

    async def _exchange(
        self, connection: Connection, commands: Sequence[Sequence[Any]]
    ) -> list[Any]:
        error: ResponseError | None = None
        answers = []
        try:
            packed = b"".join([pack_command(tuple(command)) for command in commands])
            await connection.send_packed_command(packed, check_health=False)
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except ResponseError as refusal:
                    error = error or refusal
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)
        if error is not None:
            raise error
        return answers

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)


Client = OneServer | RedisCluster
Ask = Callable[[Sequence[Sequence[Any]]], Awaitable[list[Any]]]


async def connect(url: str) -> Client:
    """A client of the server at `url`, or of the cluster that it is of.

    Raises:
        StoreDownError: it does not answer.
    """
    options: dict[str, Any] = {
        **security_options(),
        "protocol": 2,
        "socket_connect_timeout": TIMEOUT_SECONDS,
    }
    once = Retry(NoBackoff(), 0)
    client = OneServer(Redis.from_url(url, socket_timeout=None, retry=once, **options))
    try:
        async with _in_time(TIMEOUT_SECONDS):
            (greeting,) = await client.ask([GREETING])
    except BaseException as error:
        await client.aclose()
        if refused := refusal(error, url):
            log.error("redis refuses", detail=str(refused))
            raise StoreDownError(REDIS, "refused") from refused
        raise
    if not is_of_cluster(greeting):
        return client
    await client.aclose()
    return RedisCluster.from_url(
        url,
        require_full_coverage=False,
        socket_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
        max_connections=MAX_CONNECTIONS,
        **options,
    )


async def ask(
    client: Client, commands: Sequence[Sequence[Any]], seconds: float | None = None
) -> list[Any]:
    """The answers to commands, in one round trip to each server, within seconds, a second if these
    are not given.

    Raises:
        StoreDownError: one does not answer in time, or refuses.
    """
    if isinstance(client, OneServer):
        async with _in_time(TIMEOUT_SECONDS if seconds is None else seconds):
            return await client.ask(commands)
    async with _in_time(seconds), client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute())


async def look_up(
    client: Client, lookups: Sequence[Lookup], question: Question, since: float
) -> list[Any]:
    """Look views up and note what a question's sets tell, and give the answers to its commands; in
    one round trip to each server, and in one more if many names are wanted, and the sets in which
    they may be are large. What is kept may be of `since`, a time of `time.monotonic`.

    Raises:
        StoreDownError: one does not answer in time, or refuses; or a partition is not filled.
    """
    if isinstance(client, OneServer):
        async with _in_time(TIMEOUT_SECONDS):
            return await client.views.read(lookups, question, since)
    return await look_up_all(lambda commands: ask(client, commands), lookups, question, by_hash_tag)


async def look_up_all(
    ask: Ask,
    lookups: Sequence[Lookup],
    question: Question,
    grouped: Callable[[Iterable[str]], Sequence[Sequence[str]]],
) -> list[Any]:
    """As `look_up`, where nothing is kept; views are read in groups of their keys."""
    keys = [key for each in lookups for key in each.keys]
    groups = grouped(keys) if keys else ()
    await turn(len(keys))
    by_name = [each for each in question.sets if each.is_short]
    whole = [each for each in question.sets if not each.is_short]
    read = [("MGET", *group) for group in groups]
    asked = [command for each in by_name for command in each.of_each]
    commands = [*question.commands, *asked, *(each.whole for each in whole)]
    found = await ask([*read, *commands, *question.marks])
    answers = found[len(read) : len(read) + len(commands)]
    filled(mark for group in found[len(read) + len(commands) :] for mark in group)
    names = iter(answers[len(question.commands) :])
    for each in by_name:
        each.note_each(names)
    large = []
    for each, answer in zip(whole, names, strict=True):
        if (members := small(answer)) is None:
            large.append(each)
        else:
            each.note(members)
    if large:
        asked = [command for each in large for command in each.of_each]
        found_of_each = await ask([*asked, *question.marks])
        filled(mark for group in found_of_each[len(asked) :] for mark in group)
        names = iter(found_of_each)
        for each in large:
            each.note_each(names)
    await turn(len(keys))
    raws: dict[str, bytes | None] = {}
    for group, values in zip(groups, found, strict=False):
        raws.update(zip(group, values, strict=True))
    for lookup in lookups:
        for name, key in zip(lookup.ids, lookup.keys, strict=True):
            lookup.note(name, raws[key])
    return answers[: len(question.commands)]


async def entries(
    client: Client, question: Sequence[Any], commands: Sequence[Sequence[Any]]
) -> tuple[Entries, list[Any]]:
    """The entries of the sorted set that a question asks for, and the answers to commands that are
    carried out behind it, on the same server; in one round trip to it, or one more.

    Raises:
        StoreDownError: one does not answer in time, or refuses.
    """
    if isinstance(client, OneServer):
        async with _in_time(TIMEOUT_SECONDS):
            return await client.views.entries(question, commands)
    flat, *answers = await ask(client, [question, *commands])
    return Entries(flat), answers


async def ask_flat(client: Client, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """As `ask`, over the connection that all pages of feeds share.

    Raises:
        StoreDownError: one does not answer in time, or refuses.
    """
    if not isinstance(client, OneServer):
        return await ask(client, commands)
    async with _in_time(TIMEOUT_SECONDS):
        return await client.views.ask_flat(commands)


@asynccontextmanager
async def _in_time(most: float | None) -> AsyncIterator[None]:
    """Bound what is asked of Redis to seconds, and to the time that is left of the request.

    Raises:
        StoreDownError: it takes longer, or Redis refuses or cannot be reached.
    """
    seconds = time_left(most)
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except (RedisError, RedisClusterException, OSError) as error:
        is_cut = limit.expired() and seconds != most  # by the request, not by us
        is_outage = not is_cut and (isinstance(error, OSError) or is_passing(error))
        raise StoreDownError(REDIS, type(error).__name__, is_outage=is_outage) from error
