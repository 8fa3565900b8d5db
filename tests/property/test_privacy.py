"""Nobody is shown what docs/rules.md forbids, by no endpoint, and everybody what it allows.

A scenario is a post by an author, and all that decides who may see it. `RULES` says for each
question whether the rules allow it, written from docs/rules.md and not from the code; `PROBES` says
how each endpoint could tell. A new endpoint is a new probe, and if need be a new rule.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

import httpx
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict, replace
from structlog.testing import capture_logs

from api.auth import issue
from api.cursors import encode_place
from api.live.changes import Added
from api.live.inbox import Item
from api.live.judging import judge_entries
from api.live.places import Place
from schemas.topics import Topic
from schemas.views import CommentCountsView, CommentView, NotificationView, TrendingEntry
from tests.unit.api_fakes import KEY, NOW, World

POST, CONTENT, COMMENT, LIKES = "the-post", "the content", "the comment", 776_215
VIEWER, AUTHOR, FRIEND, SHARER, WRITER, END = "vera", "ann", "flo", "shay", "will", "eve"
"""FRIEND is between the viewer and the author, SHARER shares the post, WRITER comments on it, and
END wrote what it answers."""

GONE = ("deactivated", "deleted")
Standing = Literal["active", "deactivated", "deleted"]


class Scenario(Struct, frozen=True, kw_only=True):
    """What decides who may see the post. Without a change: all may, and it is on the timeline."""

    viewer: Literal["nobody", "author", "other"] = "other"
    visibility: Literal["public", "followers", "friends", "custom", "private"] = "public"
    is_listed: bool = True
    is_deleted: bool = False
    hidden_by: Literal["reports", "moderator"] | None = None
    author: Standing = "active"
    is_following: bool = True
    is_followed: bool = True
    is_blocked: Literal["by viewer", "by author"] | None = None
    is_muted: bool = False
    is_hidden: bool = False
    brought_by: frozenset[Literal["author", "topic", "sharer"]] = frozenset({"author"})
    is_topic_muted: bool = False
    is_sharer_muted: bool = False
    is_sharer_blocked: bool = False
    answers: Literal["nothing", "viewer", "other", "what was never made"] = "nothing"
    is_following_end: bool = True
    writer: Standing = "active"
    is_writer_blocked: bool = False
    is_writer_muted: bool = False
    down: Literal["redis", "cassandra"] | None = None


def consistent(given: Scenario) -> Scenario:
    """A follow and a block exclude each other; only public posts reach topics and sharers; and who
    is nobody in particular hides nothing, blocks nobody and is blocked by nobody."""
    if given.is_blocked:
        given = replace(given, is_following=False, is_followed=False)
    if given.visibility != "public":
        given = replace(given, brought_by=frozenset({"author"}))
    if given.viewer == "nobody":
        given = replace(given, is_hidden=False, is_blocked=None)
    return given


# What docs/rules.md says


def readable(s: Scenario) -> bool:
    """Whether the post may be seen at all ("Posts", "Engagements", "Timelines")."""
    if s.is_deleted or s.author in GONE:
        return False
    if s.viewer == "author":
        return True
    if s.hidden_by or s.is_blocked:
        return False
    if s.viewer == "nobody":
        return s.visibility == "public"
    return {
        "public": True,
        "followers": s.is_following,
        "friends": s.is_following and s.is_followed,
        "custom": s.is_listed,
        "private": False,
    }[s.visibility]


def in_feed(s: Scenario) -> bool:
    """What is served: reasons by who is muted or blocked fall away, and replies are shown to who is
    in the conversation, or for a share."""
    if not readable(s) or s.is_hidden or (s.viewer == "other" and s.is_muted):
        return False
    by_author = "author" in s.brought_by
    by_topic = "topic" in s.brought_by and not s.is_topic_muted
    by_sharer = "sharer" in s.brought_by and not (s.is_sharer_muted or s.is_sharer_blocked)
    return by_sharer or (joins(s) and (by_author or by_topic))


def joins(s: Scenario) -> bool:
    """Who is in the conversation: those at both ends, and who follows both."""
    return {
        "nothing": True,
        "viewer": True,
        "other": s.viewer == "author" or (s.is_following and s.is_following_end),
        "what was never made": s.viewer == "author",
    }[s.answers]


def ranked(s: Scenario) -> bool:
    """Besides what the feed shows, what is viral: public, and no reply to others ("Ranking")."""
    is_found = s.viewer == "other" and s.visibility == "public" and trends(s) and joins(s)
    return in_feed(s) or is_found


def explained(s: Scenario) -> bool:
    """Of what may be seen, and of one's own that was deleted, is told why it is not in the feed."""
    return readable(s) or (s.viewer == "author" and s.is_deleted)


def trends(s: Scenario) -> bool:
    """Of what is listed, the posts that the viewer may see now, and does not hide."""
    return readable(s) and not s.is_hidden and not (s.viewer == "other" and s.is_muted)


def commented(s: Scenario) -> bool:
    """A comment is shown with its post, unless its writer is gone, blocked or muted."""
    is_unwelcome = s.viewer != "nobody" and (s.is_writer_blocked or s.is_writer_muted)
    return readable(s) and s.writer not in GONE and not is_unwelcome


def noticed(s: Scenario) -> bool:
    """Left out are posts that the user may not see, and acts of who is gone, blocked or muted. To
    the author, FRIEND's like is told; to others, that the author mentions them."""
    return readable(s) and not (s.viewer == "other" and s.is_muted)


def suggested(s: Scenario) -> bool:
    """Who is neither gone, followed, blocked nor muted; and nobody to themselves."""
    is_known = s.is_following or s.is_blocked or s.is_muted
    return s.viewer == "other" and s.author not in GONE and not is_known


def close(s: Scenario) -> bool:
    """Who follow each other, and are neither gone nor muted."""
    both_ways = s.is_following and s.is_followed
    return s.viewer == "other" and both_ways and s.author not in GONE and not s.is_muted


def listed(s: Scenario) -> bool:
    """Whether the author is in lists of who follows whom."""
    return s.author not in GONE and not (s.viewer == "other" and s.is_blocked)


def known_to_both(s: Scenario) -> bool:
    """Of FRIEND's followers, those whom the viewer follows."""
    return listed(s) and s.viewer == "other" and s.is_following


def mutes(s: Scenario) -> bool:
    """Whom one mutes is listed for oneself alone, unless they are gone ("Relations")."""
    return s.viewer == "other" and s.is_muted and s.author not in GONE


def blocks(s: Scenario) -> bool:
    """Whom one blocks is listed for oneself alone; never who blocks one."""
    return s.viewer == "other" and s.is_blocked == "by viewer" and s.author not in GONE


def is_blocking_viewer(s: Scenario) -> bool:
    """Of the author's own list: the viewer, but not when it is the viewer who blocks."""
    return s.viewer == "author" and s.is_blocked == "by author"


def has_profile(s: Scenario) -> bool:
    """A profile is there for everybody while its user is."""
    return s.author not in GONE


def shareable(s: Scenario) -> bool:
    """Only public posts may be shared onwards."""
    return readable(s) and s.visibility == "public"


def own(s: Scenario) -> bool:
    """Only its author may change a post."""
    return readable(s) and s.viewer == "author"


# How endpoints could tell


class Probe(Struct, frozen=True):
    """A request about a post, what of the answer tells that it was shown (None: a success), and
    whether it may be. `is_alike`: what may not be seen is answered like what is not there."""

    name: str
    rule: Callable[[Scenario], bool]
    method: str
    path: str
    tells: str | None
    params: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    needs_token: bool = True
    is_alike: bool = False


def reads(name: str, rule: Callable[[Scenario], bool], path: str, tells: str, **more: Any) -> Probe:
    return Probe(name, rule, "GET", f"/api/v1/{path}", tells, **more)


def writes(
    name: str, rule: Callable[[Scenario], bool], method: str, path: str, body: Any = None
) -> Probe:
    return Probe(name, rule, method, f"/api/v1/{path}", None, body=body, is_alike=True)


ANYBODY: dict[str, Any] = {"needs_token": False}
ALIKE: dict[str, Any] = {"needs_token": False, "is_alike": True}
NAMED = f'"user_id":"{AUTHOR}"'
UNWANTED = {"action": "not_interested"}
ABOVE_ALL = {"since": encode_place((0, ""))}
BY_LIKES = {"order": "likes"}

PROBES = [
    reads("post", readable, "posts/POST", CONTENT, **ALIKE),
    reads("many posts", readable, "posts", str(LIKES), params={"ids": "POST"}, **ALIKE),
    reads("a user's posts", readable, f"users/{AUTHOR}/posts", CONTENT, **ANYBODY),
    reads("comments", commented, "posts/POST/comments", COMMENT, **ALIKE),
    reads("best comments", commented, "posts/POST/comments", COMMENT, params=BY_LIKES, **ALIKE),
    reads("likes", readable, "users/me/likes", CONTENT),
    reads("feed", in_feed, "feed", CONTENT),
    reads("feed upwards", in_feed, "feed", CONTENT, params=ABOVE_ALL),
    reads("feed of an author", in_feed, "feed", CONTENT, params={"author": AUTHOR}),
    reads("ranked feed", ranked, "feed", CONTENT, params={"mode": "ranked", "explain": True}),
    Probe(
        name="why not",
        rule=explained,
        method="GET",
        path="/api/v1/feed/why-not",
        tells=None,
        params={"post_id": "POST"},
        is_alike=True,
    ),
    reads("trending", trends, "trending", CONTENT, **ANYBODY),
    reads("notifications", noticed, "notifications", POST),
    reads("suggestions", suggested, "users/me/suggestions", NAMED),
    reads("close friends", close, "users/me/close-friends", NAMED),
    reads("following", listed, f"users/{FRIEND}/following", NAMED, **ANYBODY),
    reads("followers", listed, f"users/{FRIEND}/followers", NAMED, **ANYBODY),
    reads("mutuals", known_to_both, f"users/{FRIEND}/mutuals", NAMED),
    reads("mutes", mutes, "users/me/mutes", NAMED),
    reads("blocks", blocks, "users/me/blocks", NAMED),
    reads("the author's blocks", is_blocking_viewer, "users/me/blocks", f'"user_id":"{VIEWER}"'),
    reads("profile", has_profile, f"users/{AUTHOR}", NAMED, **ANYBODY),
    reads("user name", has_profile, f"usernames/{AUTHOR}", NAMED, **ANYBODY),
    writes("like", readable, "POST", "posts/POST/like"),
    writes("unlike", readable, "DELETE", "posts/POST/like"),
    writes("react", readable, "PUT", "posts/POST/reaction", {"kind": "wow"}),
    writes("engage", readable, "POST", "posts/POST/engagements", {"action": "view"}),
    writes("comment", readable, "POST", "posts/POST/comments", {"text": "x"}),
    writes("share", shareable, "POST", "posts/POST/share"),
    writes("reply", readable, "POST", "posts", {"content": "x", "reply_to": "POST"}),
    writes("quote", readable, "POST", "posts", {"content": "x", "quote_of": "POST"}),
    writes("feedback", readable, "POST", "feedback", {**UNWANTED, "post_id": "POST"}),
    writes("edit", own, "PATCH", "posts/POST", {"content": "x"}),
    writes("delete", own, "DELETE", "posts/POST"),
]


class Asker:
    """Sends requests of a viewer to the application, over one event loop."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(World().app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://api")
        self._tokens = {user: issue(KEY, user, 3_600) for user in (VIEWER, AUTHOR)}

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def ask(self, probe: Probe, user: str | None, post_id: str) -> httpx.Response:
        """The answer to a probe about a post."""
        headers = {} if user is None else {"Authorization": f"Bearer {self._tokens[user]}"}
        request = self._client.request(
            probe.method,
            probe.path.replace("POST", post_id),
            params=_about(probe.params, post_id),
            json=None if probe.body is None else _about(probe.body, post_id),
            headers=headers,
        )
        return self._runner.run(request)


def _about(fields: dict[str, Any], post_id: str) -> dict[str, Any]:
    return {name: post_id if value == "POST" else value for name, value in fields.items()}


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    asker = Asker()
    with capture_logs():
        yield asker
    asker.close()


def user_of(s: Scenario) -> str | None:
    return {"nobody": None, "author": AUTHOR, "other": VIEWER}[s.viewer]


def build(s: Scenario) -> World:
    """The views that say what a scenario says."""
    world = World()
    views = world.redis
    standings = {AUTHOR: s.author, WRITER: s.writer}
    for user in (VIEWER, AUTHOR, FRIEND, SHARER, WRITER, END):
        views.user(user, status=standings.get(user, "active"))
    views.names = {AUTHOR: AUTHOR}
    end = {"viewer": user_of(s) or VIEWER, "other": END}.get(s.answers)
    if end is not None:
        views.post("answered", end, NOW - 1)
    views.post(
        POST,
        AUTHOR,
        content=CONTENT,
        visibility=s.visibility,
        audience=(VIEWER,) if s.visibility == "custom" and s.is_listed else ("someone",),
        is_deleted=s.is_deleted,
        hidden_by=s.hidden_by,
        reply_to=None if s.answers == "nothing" else "answered",
    )
    views.counters(POST, reactions={"like": LIKES})
    views.comments[POST, "c"] = CommentView(POST, "c", WRITER, NOW, COMMENT)
    views.comment_counts[POST, "c"] = CommentCountsView(POST, "c", 1)
    views.trend(TrendingEntry(POST, 5.0, 40, 40, True))
    for pair in ((FRIEND, AUTHOR), (AUTHOR, FRIEND), (VIEWER, FRIEND)):
        views.follow(*pair)
    _relate(world, s)
    user = user_of(s)
    if user is not None:
        views.react(user, POST)
        reasons = {"author": f"u:{AUTHOR}", "topic": "t:x", "sharer": f"s:{SHARER}"}
        for what in s.brought_by:
            views.entry(user, POST, reasons[what])
        if s.is_hidden:
            views.hidden.add((user, POST))
    if s.viewer == "author":
        views.notices.append(NotificationView(AUTHOR, "like", POST, 1, ((NOW, FRIEND, ""),)))
    elif s.viewer == "other":
        views.notices.append(NotificationView(VIEWER, "mention", POST, 1, ((NOW, AUTHOR, POST),)))
    world.cache.is_down = s.down == "redis"
    world.archive.is_down = s.down == "cassandra"
    return world


def _relate(world: World, s: Scenario) -> None:
    """What the viewer has to do with others."""
    views, user = world.redis, user_of(s) or VIEWER
    if s.is_following:
        views.follow(VIEWER, AUTHOR)
    if s.is_followed:
        views.follow(AUTHOR, VIEWER)
    if s.is_following_end:
        views.follow(user, END)
    if s.is_blocked == "by viewer":
        views.block(VIEWER, AUTHOR)
    elif s.is_blocked == "by author":
        views.block(AUTHOR, VIEWER)
    if s.is_muted:
        views.mute(VIEWER, f"u:{AUTHOR}")
    if s.is_topic_muted:
        views.mute(user, "t:x")
    if s.is_sharer_muted:
        views.mute(user, f"u:{SHARER}")
    if s.is_sharer_blocked:
        views.block(user, SHARER)
    if s.is_writer_muted:
        views.mute(user, f"u:{WRITER}")
    if s.is_writer_blocked:
        views.block(WRITER, user)
    views.affinities[VIEWER, AUTHOR] = 50.0


def forgiven(s: Scenario, rule: Callable[[Scenario], bool]) -> Scenario:
    """What may be shown while Redis is down, which alone knows mutes and blocks: whatever is muted,
    and in spite of a block what anybody may read, such as who follows whom. Whom one mutes and
    blocks is listed by Cassandra."""
    if rule in (mutes, blocks, is_blocking_viewer):
        return s
    lenient: dict[str, Any] = {name: False for name in asdict(s) if name.endswith("_muted")}
    lenient |= {"is_sharer_blocked": False}
    if s.visibility == "public" or rule in (suggested, close, listed, known_to_both):
        lenient |= {"is_blocked": None, "is_writer_blocked": False}
    return replace(s, **lenient)


# The property

BASE = Scenario()
DENIED_ALONE: dict[str, tuple[Scenario, set[str]]] = {
    "deleted": (replace(BASE, is_deleted=True), {"post", "feed", "trending", "reply"}),
    "deactivated": (replace(BASE, author="deactivated"), {"post", "feed", "profile", "following"}),
    "erased": (replace(BASE, author="deleted"), {"many posts", "likes", "user name", "followers"}),
    "reported": (replace(BASE, hidden_by="reports"), {"post", "feed", "trending", "quote"}),
    "judged": (replace(BASE, hidden_by="moderator"), {"comments", "a user's posts", "many posts"}),
    "private": (replace(BASE, visibility="private"), {"post", "feed", "like", "trending", "share"}),
    "not followed": (
        replace(BASE, visibility="followers", is_following=False),
        {"post", "feed", "feed upwards"},
    ),
    "not followed back": (
        replace(BASE, visibility="friends", is_followed=False),
        {"post", "feed", "notifications", "close friends"},
    ),
    "not listed": (replace(BASE, visibility="custom", is_listed=False), {"post", "feed", "engage"}),
    "blocks": (replace(BASE, is_blocked="by viewer"), {"post", "feed", "comments", "following"}),
    "is blocked": (
        replace(BASE, is_blocked="by author"),
        {"post", "trending", "notifications", "blocks"},
    ),
    "is blocked by the viewer": (
        replace(BASE, viewer="author", is_blocked="by viewer"),
        {"the author's blocks"},
    ),
    "is muted by the viewer": (replace(BASE, viewer="author", is_muted=True), {"mutes"}),
    "who is muted and erased": (replace(BASE, is_muted=True, author="deleted"), {"mutes"}),
    "who is blocked and away": (
        replace(BASE, is_blocked="by viewer", author="deactivated"),
        {"blocks"},
    ),
    "listed, but blocked": (
        replace(BASE, visibility="custom", is_blocked="by author"),
        {"post", "feed", "comment"},
    ),
    "a stranger who is blocked": (
        replace(BASE, is_following=False, is_blocked="by author"),
        {"suggestions"},
    ),
    "muted": (
        replace(BASE, is_muted=True),
        {"feed", "feed of an author", "trending", "notifications"},
    ),
    "hidden by the viewer": (replace(BASE, is_hidden=True), {"feed", "trending"}),
    "a reply to a stranger": (replace(BASE, answers="other", is_following_end=False), {"feed"}),
    "a reply to nobody": (replace(BASE, answers="what was never made"), {"feed"}),
    "a muted topic": (
        replace(BASE, brought_by=frozenset({"topic"}), is_topic_muted=True),
        {"feed"},
    ),
    "a muted sharer": (
        replace(BASE, brought_by=frozenset({"sharer"}), is_sharer_muted=True),
        {"feed"},
    ),
    "a blocked sharer": (
        replace(BASE, brought_by=frozenset({"sharer"}), is_sharer_blocked=True),
        {"feed"},
    ),
    "a comment by who is gone": (replace(BASE, writer="deactivated"), {"comments"}),
    "a comment by who is erased": (replace(BASE, writer="deleted"), {"comments"}),
    "a comment by who is blocked": (replace(BASE, is_writer_blocked=True), {"comments"}),
    "a comment by who is muted": (replace(BASE, is_writer_muted=True), {"comments"}),
    "nobody reads what is for followers": (
        replace(BASE, viewer="nobody", visibility="followers"),
        {"post", "a user's posts", "many posts", "trending"},
    ),
    "another's post": (BASE, {"edit", "delete", "suggestions"}),
}
"""Each way in which the rules deny something, alone, with some of what it denies."""

SHOWN = [
    BASE,
    replace(BASE, viewer="author", visibility="private", hidden_by="reports"),
    replace(BASE, viewer="author", is_blocked="by author"),
    replace(BASE, viewer="nobody"),
    replace(BASE, visibility="friends"),
    replace(BASE, visibility="custom", is_following=False),
    replace(BASE, is_following=False, is_followed=False, answers="viewer"),
    replace(BASE, answers="other"),
    replace(BASE, answers="other", is_following=False, brought_by=frozenset({"sharer"})),
]
"""Where much is shown that could be missing."""


def with_examples(test: Any) -> Any:
    alone = [scenario for scenario, _ in DENIED_ALONE.values()]
    known_to_redis = [s for s in alone if s.is_blocked or s.is_muted or s.is_writer_blocked]
    without_redis = [replace(s, down="redis") for s in (*SHOWN, *known_to_redis)]
    for scenario in (*SHOWN, *alone, *without_redis):
        test = example(scenario=consistent(scenario))(test)
    return test


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """What is usual in two of three cases or more, as one denial hides the others."""
    return st.sampled_from([usual] * 2 * len(others) + list(others))


scenarios = st.builds(
    Scenario,
    viewer=mostly("other", "author", "nobody"),
    visibility=st.sampled_from(["public", "public", "followers", "friends", "custom", "private"]),
    is_listed=mostly(True, False),
    is_deleted=mostly(False, True),
    hidden_by=mostly(None, "reports", "moderator"),
    author=mostly("active", *GONE),
    is_following=mostly(True, False),
    is_followed=mostly(True, False),
    is_blocked=mostly(None, "by viewer", "by author"),
    is_muted=mostly(False, True),
    is_hidden=mostly(False, True),
    brought_by=st.frozensets(st.sampled_from(["author", "topic", "sharer"]), min_size=1),
    is_topic_muted=st.booleans(),
    is_sharer_muted=st.booleans(),
    is_sharer_blocked=mostly(False, True),
    answers=st.sampled_from(["nothing", "viewer", "other", "what was never made"]),
    is_following_end=st.booleans(),
    writer=mostly("active", *GONE),
    is_writer_blocked=mostly(False, True),
    is_writer_muted=mostly(False, True),
    down=mostly(None, "redis", "cassandra"),
).map(consistent)


def test_no_endpoint_shows_what_is_forbidden_and_each_shows_what_is_allowed(asker: Asker) -> None:
    tried: Counter[tuple[str, bool]] = Counter()

    @with_examples
    @given(scenario=scenarios)
    @settings(max_examples=50)
    def judged(scenario: Scenario) -> None:
        build(scenario)
        for probe in PROBES:
            if probe.needs_token and scenario.viewer == "nobody":
                continue
            is_shown = _judge(asker, probe, scenario)
            tried[probe.name, is_shown] += 1
        event(f"{scenario.viewer}: {scenario.visibility}, {scenario.down or 'nothing'} down")

    judged()
    one_way = {p.name for p in PROBES if not (tried[p.name, True] and tried[p.name, False])}
    assert not one_way, f"shown always, or never: {one_way}"


def _judge(asker: Asker, probe: Probe, s: Scenario) -> bool:
    """Compare an answer with the rules; whether it shows what was asked for."""
    response = asker.ask(probe, user_of(s), POST)
    assert response.status_code < 500 or (s.down and response.status_code == 503), response.text
    is_success = response.status_code < 300
    is_shown = is_success and (probe.tells is None or probe.tells in response.text)
    why = (probe.name, s, response.status_code, response.text)
    assert is_success or probe.tells is None or probe.tells not in response.text, why
    if s.down is None:
        assert is_shown == probe.rule(s), why
        if probe.is_alike and not readable(s) and not probe.rule(s):
            absent = asker.ask(probe, user_of(s), "absent")
            assert (absent.status_code, absent.text) == (response.status_code, response.text), why
    elif is_shown:
        assert probe.rule(forgiven(s, probe.rule) if s.down == "redis" else s), why
    return is_shown


@pytest.mark.parametrize("name", DENIED_ALONE)
def test_each_way_to_deny_denies_what_would_be_shown_without_it(asker: Asker, name: str) -> None:
    scenario, denied = DENIED_ALONE[name]
    scenario = consistent(scenario)
    build(scenario)
    probes = {probe.name: probe for probe in PROBES}
    assert denied <= set(probes)
    assert not any(probes[each].rule(scenario) for each in denied)
    assert [each for each in sorted(denied) if _judge(asker, probes[each], scenario)] == []


def test_every_route_that_reads_is_probed_or_shows_no_users_and_posts_of_others() -> None:
    """Who adds a route says how it could tell, or that it cannot."""
    own_or_open = {
        *("/api/v1/moderation/queue", "/api/v1/users/me", "/api/v1/users/me/interests"),
        *("/api/v1/topics/{topic}", "/healthz", "/readyz", "/metrics"),
        "/api/v1/stream",  # see the next test
    }
    paths = World().app.openapi()["paths"]
    reading = {path for path, operations in paths.items() if "get" in operations}
    probed = {
        path.replace("POST", "{post_id}")
        .replace(f"users/{AUTHOR}", "users/{user_id}")
        .replace(f"users/{FRIEND}", "users/{user_id}")
        .replace(f"usernames/{AUTHOR}", "usernames/{username}")
        for path in (probe.path for probe in PROBES if probe.method == "GET")
    }
    assert reading == probed | own_or_open


def test_streams_show_what_the_rules_allow() -> None:
    """For each entry the same is judged as in the feed, when it is sent."""
    tried: Counter[bool] = Counter()

    @with_examples
    @given(scenario=scenarios.filter(lambda s: s.viewer != "nobody" and s.down is None))
    @settings(max_examples=50)
    def judged(scenario: Scenario) -> None:
        user = user_of(scenario)
        if user is None or scenario.down is not None:
            return
        services = build(scenario).app.state.services
        reasons = {"author": f"u:{AUTHOR}", "topic": "t:x", "sharer": f"s:{SHARER}"}
        for what in scenario.brought_by:
            entry = Item((Topic.TIMELINE_WRITES, 0), Place(1), NOW, Added(POST, reasons[what], NOW))
            (sent,), _ = asyncio.run(judge_entries(services, user, [entry], 0))
            alone = replace(scenario, brought_by=frozenset({what}))
            assert (sent.post is not None) == in_feed(alone), (what, scenario)
            tried[sent.post is not None] += 1

    judged()
    assert set(tried) == {True, False}
