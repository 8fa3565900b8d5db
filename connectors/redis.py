"""Connections to Redis, and the scripts that run in it."""

from __future__ import annotations

import redis

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0


def connect(url: str) -> redis.Redis:
    """A client for writers; every wait is bounded."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=ANSWER_SECONDS
    )


TRIM_FEED = """
-- KEYS: feed, floor; ARGV: how many entries to keep.
-- Drops the oldest entries and raises the floor to the newest time that was dropped.
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if surplus <= 0 then return 0 end
local newest = redis.call('ZRANGE', KEYS[1], surplus - 1, surplus - 1, 'WITHSCORES')[2]
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, surplus - 1)
local floor = redis.call('GET', KEYS[2])
if not floor or tonumber(newest) > tonumber(floor) then
  redis.call('SET', KEYS[2], newest)
end
return surplus
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
