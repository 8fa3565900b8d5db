"""Connections to Redis, and the scripts that run in it."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    SlotNotCoveredError,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry

from connectors.redis_servers import Client
from connectors.security import RefusedError, causes, is_untrusting
from connectors.settings import settings

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
GREETING = ("HELLO",)

_PASSING = (
    ConnectionError,  # also of a server that is loading its data
    TimeoutError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    SlotNotCoveredError,
    TryAgainError,
)
_LASTING = (AuthenticationError, AuthorizationError)
_CANNOT_NOW = (
    "MISCONF",
    "NOREPLICAS",
    # A script ran into a key that is gone, in a slot that is moving. All keys of its transaction
    # were there when it began; so one before it emptied the key, and it had nothing to do there.
    "Attempted to access a non local key",
    "Script attempted to access a non local key",
)


def connect(url: str) -> Client:
    """A client for writers; every wait is bounded, and nothing is tried twice.

    Any server of a cluster will do: the others are asked for.

    Raises:
        RefusedError: it is not trusted, or refuses the password.
    """
    options = {
        **security_options(),
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    client = redis.Redis.from_url(url, **options)
    try:
        if not is_of_cluster(client.execute_command(*GREETING)):  # type: ignore[no-untyped-call]
            return client
    except BaseException as error:
        client.close()
        if refused := refusal(error, url):
            raise refused from error
        raise
    client.close()
    return redis.RedisCluster.from_url(url, protocol=2, require_full_coverage=False, **options)


def security_options() -> dict[str, Any]:
    """The options of a client by which it trusts and says who it is, as the settings want it."""
    security = settings().redis_security
    options = {
        "username": security.user,
        "password": security.password.get_secret_value(),
        "ssl_ca_certs": security.ca_file,
        "ssl_certfile": security.certificate_file,
        "ssl_keyfile": security.key_file,
    }
    return {name: value for name, value in options.items() if value}


def refusal(error: BaseException, url: str) -> RefusedError | None:
    """What an error means, if a server is not trusted or refuses the password."""
    security = settings().redis_security
    for cause in causes(error):
        if is_untrusting(cause):
            return security.untrusted(f"Redis at {url}", cause)
        if isinstance(cause, AuthenticationError):
            return security.unknown(f"Redis at {url}", cause)
    return None


def is_of_cluster(greeting: Any) -> bool:
    """Whether what a server answers to `GREETING` says that it is one of a cluster.

    The greeting is open to every user, unlike INFO and CLUSTER INFO.
    """
    if isinstance(greeting, list):  # as the older protocol gives a map
        greeting = dict(zip(greeting[::2], greeting[1::2], strict=True))
    return bool(greeting.get(b"mode") == b"cluster")


def is_passing(error: BaseException) -> bool:
    """Whether what Redis could not do now may succeed later, without anything changed here."""
    if isinstance(error, RedisClusterException) and error.__cause__ is not None:
        return is_passing(error.__cause__)  # why no server of a cluster could be asked
    if isinstance(error, ResponseError):
        answer = str(error).rpartition("caused error: ")[2]
        if answer.startswith(_CANNOT_NOW):
            return True
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


def digest_of(script: str) -> str:
    """By what EVALSHA knows a script."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


TRIM_FEED = """
-- KEYS: feed, floor; ARGV: how many entries to keep.
-- Drops the oldest entries and raises the floor to the newest time that was dropped. A feed whose
-- floor is gone, as Redis may evict keys, is none: it is dropped.
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if surplus <= 0 then return 0 end
local value = redis.call('GET', KEYS[2])
if not value then return redis.call('DEL', KEYS[1]) end
local opening, floor = string.match(value, '(%??)(.*)')
local newest = redis.call('ZRANGE', KEYS[1], surplus - 1, surplus - 1, 'WITHSCORES')[2]
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, surplus - 1)
if tonumber(newest) > tonumber(floor) then
  redis.call('SET', KEYS[2], opening .. newest)
end
return surplus
"""

TRIM_WITH_HASH = """
-- KEYS: sorted set, hash that has more of some of its members; ARGV: how many members to keep.
local gone = redis.call('ZRANGE', KEYS[1], 0, -tonumber(ARGV[1]) - 1)
for _, member in ipairs(gone) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('HDEL', KEYS[2], member)
end
return #gone
"""

RAISE_FLOOR = """
-- KEYS: floor of a feed that is being opened; ARGV: a floor of its sources, 1 if all have answered.
local value = redis.call('GET', KEYS[1])
if not value then return false end
local floor = string.match(value, '%??(.*)')
if tonumber(ARGV[1]) > tonumber(floor) then floor = ARGV[1] end
redis.call('SET', KEYS[1], (ARGV[2] == '1' and '' or '?') .. floor)
return floor
"""

REMOVE_REASONS = """
-- KEYS: feed; ARGV: packed reasons. Drops every entry with one of them; O(entries).
-- A packed post id has 17 bytes, of which the first is no text's; a text ends with NUL.
local dropped = 0
for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local is_packed = string.byte(entry) >= 254
  local cut = is_packed and 17 or string.find(entry, '\\0', 1, true)
  local reason = string.sub(entry, cut + 1)
  for _, unwanted in ipairs(ARGV) do
    if reason == unwanted then
      dropped = dropped + redis.call('ZREM', KEYS[1], entry)
    end
  end
end
return dropped
"""
