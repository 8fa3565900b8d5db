"""Connections to Redis, and the scripts that run in it."""

from __future__ import annotations

from hashlib import sha1

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0

_PASSING = (
    ConnectionError,  # also of a server that is loading its data
    TimeoutError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
_LASTING = (AuthenticationError, AuthorizationError)
_CANNOT_WRITE_NOW = ("MISCONF", "NOREPLICAS")


def connect(url: str) -> redis.Redis:
    """A client for writers; every wait is bounded, and nothing is tried twice."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def is_passing(error: Exception) -> bool:
    """Whether what Redis could not do now may succeed later, without anything changed here."""
    if isinstance(error, ResponseError):
        answer = str(error).rpartition("caused error: ")[2]
        if answer.startswith(_CANNOT_WRITE_NOW):
            return True
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


def digest_of(script: str) -> str:
    """By what EVALSHA knows a script."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


TRIM_FEED = """
-- KEYS: feed, floor; ARGV: how many entries to keep.
-- Drops the oldest entries and raises the floor to the newest time that was dropped.
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if surplus <= 0 then return 0 end
local newest = redis.call('ZRANGE', KEYS[1], surplus - 1, surplus - 1, 'WITHSCORES')[2]
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, surplus - 1)
local opening, floor = string.match(redis.call('GET', KEYS[2]), '(%??)(.*)')
if tonumber(newest) > tonumber(floor) then
  redis.call('SET', KEYS[2], opening .. newest)
end
return surplus
"""

RAISE_FLOOR = """
-- KEYS: floor of a feed that is being opened; ARGV: a floor of its sources, 1 if all have answered.
local floor = string.match(redis.call('GET', KEYS[1]), '%??(.*)')
if tonumber(ARGV[1]) > tonumber(floor) then floor = ARGV[1] end
redis.call('SET', KEYS[1], (ARGV[2] == '1' and '' or '?') .. floor)
return floor
"""

REMOVE_REASONS = """
-- KEYS: feed; ARGV: reasons. Drops every entry with one of them; O(entries).
local dropped = 0
for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local cut = string.find(entry, '\\0', 1, true)
  local reason = string.sub(entry, cut + 1)
  for _, unwanted in ipairs(ARGV) do
    if reason == unwanted then
      dropped = dropped + redis.call('ZREM', KEYS[1], entry)
    end
  end
end
return dropped
"""
