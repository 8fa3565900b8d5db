"""What in Redis comes from no log: kept by the API and by who delivers. A new generation gets it by
copies under its own names; all else is filled from the logs. A dropped generation's keys go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from redis.exceptions import ResponseError

from connectors.redis_keys import API_KEPT
from connectors.redis_servers import Client
from schemas.generation import GENERATION, hash_tag, tag_prefix
from schemas.partitioning import partition_of

SCANNED = 10_000
AT_ONCE = 500
_END = b"\0"


def keys_of(client: Client, generation: int) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The keys of a generation: each with its kind, and what is behind its hash tag. One pass over
    all keys."""
    prefix = tag_prefix(generation).encode()
    scanned: Iterable[bytes] = client.scan_iter(match=b"*:{" + prefix + b"[0-9]*", count=SCANNED)
    for name in scanned:
        kind, _, tagged = name.partition(b":{")
        tag, _, rest = tagged.partition(b"}")
        if tag.startswith(prefix) and tag.removeprefix(prefix).isdigit():
            yield name, kind, rest


def carry(client: Client, partitions: int) -> int:
    """Copy what the API keeps into the next generation, of so many partitions, with its time to
    live, unless it is there; how many keys."""
    kept = ((n, k, r) for n, k, r in keys_of(client, GENERATION) if k.decode() in API_KEPT)
    done = 0
    while some := list(islice(kept, AT_ONCE)):
        reading = client.pipeline(transaction=False)
        for name, _, _ in some:
            reading.dump(name)
            reading.pttl(name)
        found: list[Any] = reading.execute()
        writing = client.pipeline(transaction=False)
        for (_, kind, rest), dumped, ttl in zip(some, found[::2], found[1::2], strict=True):
            if dumped is not None:
                writing.restore(_renamed(kind, rest, partitions), max(0, ttl), dumped)
        for answer in writing.execute(raise_on_error=False):
            if isinstance(answer, ResponseError) and "BUSYKEY" in str(answer):
                continue
            if isinstance(answer, Exception):
                raise answer
            done += 1
    return done


def _renamed(kind: bytes, rest: bytes, partitions: int) -> bytes:
    """`rest` begins with a colon and the user's id."""
    user_id = rest[1:].partition(_END)[0].decode()
    tag = hash_tag(partition_of(user_id, partitions), GENERATION + 1)
    return b"%s:%s%s" % (kind, tag.encode(), rest)


def drop(client: Client, generation: int) -> int:
    """Delete the keys of a generation; how many."""
    names = (name for name, _, _ in keys_of(client, generation))
    done = 0
    while some := list(islice(names, AT_ONCE)):
        pipe = client.pipeline(transaction=False)
        for name in some:
            pipe.unlink(name)
        pipe.execute()
        done += len(some)
    return done
