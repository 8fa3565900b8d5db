"""A ranked feed: what may stand in it, its order, and its pages, which go on in what is kept."""

from __future__ import annotations

import asyncio
import secrets

from msgspec import Struct, field

from api.candidates import POPULAR, VIRAL, Step, Verdict, hydrate, is_found, judge, shown
from api.cursors import encode_rank
from api.errors import ProblemError
from api.explaining import explanation
from api.feed_filter import EVERYTHING, FeedFilter
from api.feed_models import FeedDegraded
from api.held import Candidate
from api.latest import MAX_EXAMINED, MIN_BATCH, latest_page
from api.ranking.experiments import Ranking
from api.ranking.features import Features, Tastes, features_of
from api.ranking.order import KEPT, Order, arrange, choose
from api.ranking.rankers import explaining
from api.seen import Seen
from api.sent_page import Sent, SentPage
from api.snapshots import Snapshot, explained, ranked
from api.state import Services
from api.stores import REDIS, StoreDownError
from api.timeline import Timeline
from api.trending import fresh_lists
from api.turns import AT_A_TURN, in_turns, turn
from api.views import Reader
from api.visibility import GONE
from schemas.views import CountersView

MAX_CANDIDATES = 500
"""Of the timeline, the newest; others follow while fewer than 200 of them may be seen."""
MAX_VIRAL = 50
MAX_SUBJECTS = 300
"""Likes, and as many aversions, the strongest."""
NAME_BYTES = 12


class Gathered(Struct):
    """What is ranked: a row for each post that is shown, with its reasons; what was dropped, by
    which step; and the time (ms) down to which the timeline was read, None if to its end."""

    rows: list[Features] = field(default_factory=list)
    reasons: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: dict[str, Step] = field(default_factory=dict)
    read_to: int | None = None


async def gather(
    reader: Reader, timeline: Timeline, owner: str, now: int, wanted: FeedFilter = EVERYTHING
) -> Gathered | None:
    """The posts of a timeline and those found for its owner, judged, as of a time (ms); None while
    Redis cannot be reached.

    Two round trips when the cache has all and the reasons name the authors; what is asked in the
    first is asked for at once. Others have their turn between parts of the work: what was fetched
    is this request's alone, so what they do meanwhile changes nothing of it.
    """
    batch, viral, tastes, seen = await asyncio.gather(
        _newest(timeline),
        _viral(reader),
        _tastes(reader, owner, now),
        _seen(reader, owner),
    )
    if reader.is_down(REDIS):
        return None
    found = await _popular(reader, now) if not batch and timeline.is_cut else []
    found += [Candidate(name, 0, [VIRAL]) for name in viral]
    gathered = Gathered()
    accepted: dict[str, Candidate] = {}
    examined = 0
    while batch or found:
        await hydrate(reader, [*batch, *found], users=[owner], to_show=False)
        # What is both stands for what brought it.
        async for some in in_turns([*found, *batch]):
            for candidate in some:
                verdict = _verdict(reader, candidate, owner, tastes, wanted)
                if verdict.reasons:
                    accepted[candidate.post_id] = candidate
                    gathered.reasons[candidate.post_id] = verdict.reasons
                elif verdict.dropped_by is not None:
                    gathered.dropped[candidate.post_id] = verdict.dropped_by
        examined += len(batch)
        if len(accepted) >= KEPT or examined >= MAX_EXAMINED:
            break
        batch, found = await _newest(timeline), []
    if batch and timeline.may_have_more:
        gathered.read_to = batch[-1].at
    async for some in in_turns(list(accepted.values())):
        gathered.rows += [_row(reader, each, tastes, seen, now) for each in some]
    return None if reader.is_down(REDIS) else gathered


async def _newest(timeline: Timeline) -> list[Candidate]:
    """The next 500 candidates; fewer only at the end."""
    found: list[Candidate] = []
    while len(found) < MAX_CANDIDATES:
        some = await timeline.take(AT_A_TURN)
        found += some
        if len(some) < AT_A_TURN:
            break
        await turn()
    return found


def _verdict(
    reader: Reader, candidate: Candidate, owner: str, tastes: Tastes, wanted: FeedFilter
) -> Verdict:
    """Of a candidate that was found, also that it is not its owner's (who has no need to find it),
    nor by one to whom the owner has an aversion; it gets the time of its post. Nothing of what is
    not asked for."""
    verdict = judge(reader, candidate, wanted)
    if verdict.reasons and is_found(candidate.reasons):
        post = reader.post(candidate.post_id)
        assert post is not None
        candidate.at = post.at
        if post.author_id == owner:
            return Verdict()
        if f"u:{post.author_id}" in tastes.aversions:
            return Verdict(dropped_by="aversion")
    return verdict


def _row(reader: Reader, candidate: Candidate, tastes: Tastes, seen: Seen, now: int) -> Features:
    known, name = reader.known, candidate.post_id
    return features_of(
        known.posts[name],
        known.counters.get(name) or CountersView(name),
        tastes,
        at=candidate.at,
        now=now,
        is_seen=name in seen,
        is_viral=is_found(candidate.reasons),
    )


async def _viral(reader: Reader) -> list[str]:
    try:
        return await reader.stores.cache.viral(MAX_VIRAL)
    except StoreDownError as error:
        reader.mark_down(error)
        return []


async def _popular(reader: Reader, now: int) -> list[Candidate]:
    """What most act upon, for want of the timeline."""
    lists = await fresh_lists(reader, "posts", "1h", None, now)
    entries = sorted(
        (entry for each in lists for entry in each.entries),
        key=lambda entry: (-entry.score, entry.key),
    )
    return [Candidate(entry.key, 0, [POPULAR]) for entry in entries[:MAX_VIRAL]]


async def _tastes(reader: Reader, owner: str, now: int) -> Tastes:
    try:
        found = await reader.stores.cache.interests(owner, MAX_SUBJECTS, now)
    except StoreDownError as error:
        reader.mark_down(error)
        return Tastes({}, {})
    return Tastes(dict(found.likes), dict(found.aversions))


async def _seen(reader: Reader, owner: str) -> Seen:
    try:
        return await reader.stores.rankings.seen(owner)
    except StoreDownError as error:
        reader.mark_down(error)
        return Seen()


async def order_of(ranking: Ranking, gathered: Gathered, *, explain: bool) -> Order:
    """The order of what was gathered; with the terms of the ranker's scores if they are wanted."""
    ranker = explaining(ranking.ranker) if explain else ranking.ranker
    chosen = choose(gathered.rows, ranking.weights)
    await turn()
    order = arrange(chosen, ranking.weights, ranker)
    await turn()
    return order


async def first_page(
    services: Services,
    reader: Reader,
    limit: int,
    wanted: FeedFilter = EVERYTHING,
    *,
    explain: bool,
) -> SentPage:
    """Rank the feed of the reader's viewer, and keep it if it has more than a page.

    While Redis cannot be reached, this is a page of `latest`, and so are those after it.
    """
    owner, now = reader.viewer or "", services.clock()
    timeline = Timeline(reader, owner, None, now)
    gathered = await gather(reader, timeline, owner, now, wanted)
    services.presence.note(owner, has_feed=timeline.has_feed)
    if gathered is None:
        timeline = Timeline(reader, owner, None, now)
        return await latest_page(reader, timeline, limit, wanted, explain=explain)
    ranking = services.ranking_of(owner)
    order = await order_of(ranking, gathered, explain=explain)
    snapshot = Snapshot(
        now,
        None if order.is_degraded else ranking.ranker.name,
        [
            ranked(
                place,
                gathered.reasons[place.row.post_id],
                explained(place, ranking.weights) if explain else None,
            )
            for place in order.places
        ],
        is_opening=timeline.is_opening,
        is_explained=explain,
        lacks_sources="sources" in timeline.degraded,
    )
    posts, after = await _page(reader, snapshot, 0, limit, explain=explain)
    name = secrets.token_urlsafe(NAME_BYTES)
    if after is not None and reader.user(owner).status not in GONE:
        try:
            await reader.stores.rankings.keep(owner, name, snapshot)
        except StoreDownError as error:
            reader.mark_down(error)
            anew = Timeline(reader, owner, None, now)
            return await latest_page(reader, anew, limit, wanted, explain=explain)
    else:
        after = None
    services.exposures.note(owner, ranking, is_degraded=order.is_degraded)
    return _feed_page(reader, snapshot, posts, name, after)


async def next_page(
    services: Services,
    reader: Reader,
    place: tuple[str, int],
    limit: int,
    wanted: FeedFilter = EVERYTHING,
    *,
    explain: bool,
) -> SentPage:
    """Go on in a ranked feed that is kept; from the top of `latest` while Redis cannot be reached.

    Raises:
        ProblemError: 410, when it is kept no longer; 422, when it has no explanations.
    """
    owner, (name, start) = reader.viewer or "", place
    services.presence.note(owner, has_feed=True)
    try:
        snapshot = await reader.stores.rankings.snapshot(owner, name)
    except StoreDownError as error:
        reader.mark_down(error)
        timeline = Timeline(reader, owner, None, services.clock())
        return await latest_page(reader, timeline, limit, wanted, explain=explain)
    if snapshot is None:
        raise ProblemError(
            410, "snapshot-gone", "The ranked feed is kept no longer. Read it again from the top."
        )
    if explain and not snapshot.is_explained:
        raise ProblemError(
            422, "not-explained", "The first page of this feed was read without `explain=true`."
        )
    posts, after = await _page(reader, snapshot, start, limit, explain=explain)
    return _feed_page(reader, snapshot, posts, name, after)


async def _page(
    reader: Reader, snapshot: Snapshot, start: int, limit: int, *, explain: bool
) -> tuple[list[Sent], int | None]:
    """Posts from a place on, as they may be seen now, and the place of the next that may; None when
    there is none."""
    posts: list[Sent] = []
    index = start
    while batch := snapshot.places[index : index + max(limit + 1 - len(posts), MIN_BATCH)]:
        candidates = [each.candidate() for each in batch]
        await hydrate(reader, candidates)
        for place, candidate in zip(batch, candidates, strict=True):
            how = None
            if explain and place.explained is not None:
                how = explanation(snapshot.ranker, place.explained, index)
            post = shown(reader, candidate, explanation=how)
            if post is not None and len(posts) == limit:
                return posts, index
            if post is not None:
                posts.append(post)
            index += 1
    return posts, None


def _feed_page(
    reader: Reader, snapshot: Snapshot, posts: list[Sent], name: str, after: int | None
) -> SentPage:
    degraded: list[FeedDegraded] = [*reader.degraded]
    if snapshot.lacks_sources:
        degraded.append("sources")
    if snapshot.ranker is None:
        degraded.append("ranker")
    return SentPage(
        posts=posts,
        next_cursor=None if after is None else encode_rank(name, after),
        has_more=after is not None,
        degraded=degraded,
        is_opening=snapshot.is_opening,
    )
