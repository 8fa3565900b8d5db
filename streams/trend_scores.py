"""How much a key, a post or a topic, is on the rise: windows of time, scores, and samples of acts.

An act is told by its bucket (5 minutes) and its user, so that a user counts once a bucket. A key
keeps those of 48 hours, and of more than it can keep a sample (see `Depths`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import blake2b
from math import asinh, sqrt

from msgspec import Struct

BUCKET_MS = 5 * 60 * 1000
HOUR_BUCKETS = 12
DAY_BUCKETS = 288
KEPT_BUCKETS = 2 * DAY_BUCKETS
WINDOWS = {"1h": HOUR_BUCKETS, "24h": DAY_BUCKETS}
BASE_BUCKETS = {"1h": KEPT_BUCKETS - HOUR_BUCKETS, "24h": KEPT_BUCKETS - DAY_BUCKETS}

DISPERSION = 4.0
MIN_USERS = 3
MIN_SCORE = 2.0
STEPS = 10  # of a score's unit: scores are compared as tenths
VIRAL_USERS = 30
VIRAL_GROWTH = 3.0

DIGEST_BITS = 64
DIGESTS_AT_HAND = 65_536
_SEPARATOR = ":"

Depths = tuple[tuple[int, int], ...]
"""How much of the acts is kept, as steps (first bucket, depth): of the users only those whose
digest begins with `depth` zero bits, from that bucket up to the next step's. None: all of them.

So a sample of 1 in 2**depth users stands for all, whatever the order of the acts; samples of the
same users meet, and what is taken back is taken from the sample too. A sum of `n` acts at a depth
has a standard error of `sqrt(n * (2**depth - 1))` (P. Flajolet, "On adaptive sampling", 1990).
"""


class Standing(Struct, frozen=True, array_like=True, gc=False):
    """What is shown of a key that is on the rise: distinct users in the window, and in the last
    hour (its velocity), and whether it is viral."""

    users: int
    velocity: int
    is_viral: bool


class Rise(Struct, frozen=True):
    """What a key's acts come to at a time: by window the score in tenths, 0 if it is not on the
    rise, and what is shown of it; and the bucket from which on that may change by itself."""

    levels: tuple[int, int]
    standings: tuple[Standing, Standing]
    changes_at: int


def act_of(user_id: str, bucket: int) -> str:
    """An act's name: its bucket and 64 bits of a digest of its user."""
    return f"{bucket}{_SEPARATOR}{_digest(user_id)}"


@lru_cache(DIGESTS_AT_HAND)
def _digest(user_id: str) -> str:
    return blake2b(user_id.encode(), digest_size=DIGEST_BITS // 8).hexdigest()


def bucket_of(act: str) -> int:
    """The bucket of an act."""
    return int(act.partition(_SEPARATOR)[0])


def is_sampled(act: str, depths: Depths) -> bool:
    """Whether an act is kept."""
    bucket, _, digest = act.partition(_SEPARATOR)
    zeros = DIGEST_BITS - int(digest, 16).bit_length()
    return zeros >= depth_at(depths, int(bucket))


def depth_at(depths: Depths, bucket: int) -> int:
    """The depth at which a bucket's users are sampled."""
    found = 0
    for first, depth in depths:
        if first > bucket:
            break
        found = depth
    return found


def deeper(one: Depths, other: Depths) -> Depths:
    """The greater of two depths, for every bucket."""
    steps: list[tuple[int, int]] = []
    for first in sorted({first for first, _ in (*one, *other)}):
        depth = max(depth_at(one, first), depth_at(other, first))
        if depth != (steps[-1][1] if steps else 0):
            steps.append((first, depth))
    return tuple(steps)


def after(depths: Depths, bucket: int) -> Depths:
    """The depths of the buckets after one: what is before does not matter any more."""
    now = depth_at(depths, bucket + 1)
    rest = tuple(step for step in depths if step[0] > bucket + 1)
    return ((0, now), *rest) if now else rest


def score(acts: float, expected: float) -> float:
    """By how many standard deviations `acts` are more than `expected`.

    Both are counts whose variance is `m + m**2 / 4` at a mean `m`: by chance as Poisson's, and by
    half of the mean for what comes and goes with the hour and the day, so that a large count does
    not stand out for that. F. J. Anscombe, "The transformation of Poisson, binomial and
    negative-binomial data" (1948): `2 * sqrt(k) * asinh(sqrt(n / k))` has a variance of about 1
    whatever the mean.
    """
    scale = 2 * sqrt(DISPERSION)
    return scale * (asinh(sqrt(acts / DISPERSION)) - asinh(sqrt(expected / DISPERSION)))


def rise(acts: Collection[str], depths: Depths, bucket: int) -> Rise:
    """What the acts of a key come to, none older than 48 hours, when `bucket` has begun.

    A window ends with it, and has what is ahead of it too (by 5 minutes at most). The rate before a
    window is that of all that is kept from before it. Fewer acts than listed keys have users matter
    only until the last of them is gone. O(acts).
    """
    if len(acts) < MIN_USERS and not depths:
        nothing = Standing(0, 0, is_viral=False)
        return Rise((0, 0), (nothing, nothing), max(map(bucket_of, acts)) + KEPT_BUCKETS)
    counts: defaultdict[int, int] = defaultdict(int)
    newest: dict[str, int] = {}
    for act in acts:
        name, _, digest = act.partition(_SEPARATOR)
        at = int(name)
        counts[at] += 1
        if newest.get(digest, -1) < at:
            newest[digest] = at
    weights = {at: 1 << depth_at(depths, at) for at in counts}
    sizes, users = [0, 0], [0, 0]
    before = [0, 0]
    begins = [bucket - length for length in WINDOWS.values()]
    for at, count in counts.items():
        for window, begin in enumerate(begins):
            (sizes if at > begin else before)[window] += count * weights[at]
    for at in newest.values():
        for window, begin in enumerate(begins):
            if at > begin:
                users[window] += weights[at]
    expected = [
        before[window] * length / BASE_BUCKETS[name]
        for window, (name, length) in enumerate(WINDOWS.items())
    ]
    levels = [
        _level(users[window], sizes[window], expected[window]) for window in range(len(WINDOWS))
    ]
    is_viral = users[0] >= VIRAL_USERS and sizes[0] >= VIRAL_GROWTH * expected[0]
    return Rise(
        (levels[0], levels[1]),
        (Standing(users[0], users[0], is_viral), Standing(users[1], users[0], is_viral)),
        _changes_at(counts, bucket, levels),
    )


def _level(users: int, acts: int, expected: float) -> int:
    if users < MIN_USERS:
        return 0
    value = score(acts, expected)
    return int(value * STEPS) if value >= MIN_SCORE else 0


def _changes_at(counts: Iterable[int], bucket: int, levels: list[int]) -> int:
    """The next bucket with which an act leaves a window in which the key is on the rise, or which
    acts outlive. Without those nothing rises, but by acts; so a key that nobody has touched for a
    day waits until its last act is gone."""
    hour, day = bucket - HOUR_BUCKETS, bucket - DAY_BUCKETS
    times = list(counts)
    lately = [at for at in times if at > day]
    found = [min(times) if lately else max(times)]
    found[0] += KEPT_BUCKETS
    if any(levels):
        found += [at + HOUR_BUCKETS for at in lately if at > hour]
    if levels[1]:
        found += [at + DAY_BUCKETS for at in lately]
    return min(found)


def language_of(text: str | None) -> str:
    """The language that a post is in, by the first part of its tag (`en` of `en-GB`); none if that
    is not one of two or three letters."""
    first = (text or "").replace("_", "-").partition("-")[0].lower()
    return first if 2 <= len(first) <= 3 and first.isascii() and first.isalpha() else ""
