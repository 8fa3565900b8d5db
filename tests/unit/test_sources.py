"""Edge lists, the Higgs rule, and generated crowds."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from itertools import chain, islice, pairwise, permutations
from pathlib import Path
from random import Random

import pytest

from connectors.sources import (
    SourceError,
    endless_activity,
    follow_events,
    generate_activity,
    generate_network,
    higgs_span,
    kind_of,
    load_follows,
    load_higgs,
    profile_events,
    read_follows,
)
from schemas.codec import decode, encode
from schemas.events import Engagement, Event, Follow, Post
from tests.oracle.events import why_rejected

END = 1_800_000_000_000
HOUR_MS = 3_600_000
PAIRS = generate_network(300, 1)


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


class TestEdges:
    @pytest.mark.parametrize(
        ("name", "text", "pairs", "undirected"),
        [
            ("facebook_combined.txt.gz", "0 1\n0 2\n", "01 10 02 20", True),
            ("edges.csv.gz", "from,to\n0,9\n", "09 90", True),
            ("edges.csv", "from,to\r\n0,9\r\n", "09 90", True),
            ("x.edgelist.gz", "1 2\n2 1\n", "12 21", False),
            ("mine.csv", "follower,followee\na,b\n", "ab", False),
            ("snap.txt", "# from to\n\n1\t2\n", "12", False),
        ],
    )
    def test_kind_is_recognised(
        self, tmp_path: Path, name: str, text: str, pairs: str, undirected: bool
    ) -> None:
        file = written(tmp_path, name, text)
        found = read_follows(file)
        assert found.pairs == [tuple(pair) for pair in pairs.split()]
        assert found.is_undirected is undirected
        assert kind_of(file) == "follows"

    def test_option_overrules_the_name(self, tmp_path: Path) -> None:
        assert load_follows(written(tmp_path, "edges.csv", "a,b\n"), undirected=False) == [
            ("a", "b")
        ]
        assert len(load_follows(written(tmp_path, "x.edgelist", "a b\n"), undirected=True)) == 2

    def test_duplicates_and_self_loops_are_dropped_and_counted(self, tmp_path: Path) -> None:
        text = "a b\na b\nc c\nb a\n"
        found = read_follows(written(tmp_path, "x.edgelist", text))
        assert (found.pairs, found.duplicates, found.self_loops) == (
            [("a", "b"), ("b", "a")],
            1,
            1,
        )
        both = read_follows(written(tmp_path, "x.edgelist", text), undirected=True)
        assert (both.pairs, both.duplicates, both.self_loops) == ([("a", "b"), ("b", "a")], 4, 1)

    @pytest.mark.parametrize("text", ["a b\na\n", "a b\na,b,c\n", "a b\na,\n"])
    def test_a_bad_line_is_named(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(SourceError, match="line 2"):
            load_follows(written(tmp_path, "x.edgelist", text))

    def test_broken_files_are_explained(self, tmp_path: Path) -> None:
        cut = tmp_path / "cut.gz"
        cut.write_bytes(gzip.compress(b"a b\n" * 10_000)[:-20])
        for file in (cut, tmp_path / "absent", written(tmp_path, "binary", "\0").parent):
            with pytest.raises(SourceError, match="cannot be read"):
                load_follows(file)
        (tmp_path / "latin").write_bytes(b"\xff\xfe b\n")
        with pytest.raises(SourceError, match="not a text file"):
            kind_of(tmp_path / "latin")

    def test_neither_edges_nor_actions(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="neither"):
            kind_of(written(tmp_path, "x", "1 2 3\n"))
        with pytest.raises(SourceError, match="empty"):
            kind_of(written(tmp_path, "x", "# nothing\n"))

    def test_follow_events(self) -> None:
        assert list(follow_events([("a", "b"), ("b", "a")], END)) == [
            Follow(event_id="f:0", action="follow", user_id="a", target="u:b", at=END),
            Follow(event_id="f:1", action="follow", user_id="b", target="u:a", at=END),
        ]


def told(event: Event) -> str:
    """An event in short: who did what, with times in seconds before the end."""
    ago = (event.at - END) / 1000
    if isinstance(event, Post):
        answered = f" to {event.reply_to}" if event.reply_to else ""
        names = event.content if event.content.startswith("@") else "-"
        return f"{event.author_id} posts {event.post_id}{answered} {names} {ago:g}"
    assert isinstance(event, Engagement)
    ids = event.comment_id or event.share_id
    return f"{event.user_id} {event.action} {ids} {event.post_id} {ago:g}"


HIGGS_CASES = {
    "a mention is a post": ("a b 9 MT", ["a posts h:1 @b 0"]),
    "a reply to nothing is a post that mentions": ("a b 9 RE", ["a posts h:1 @b 0"]),
    "a retweet of nothing is given an original": (
        "a b 9 RT",
        ["b posts h:1:o - -1", "a share h:1:s h:1:o 0"],
    ),
    "the second retweet has that original": (
        "a b 8 RT\nc b 9 RT",
        ["b posts h:1:o - -2", "a share h:1:s h:1:o -1", "c share h:2:s h:1:o 0"],
    ),
    "a retweet takes the newest earlier post": (
        "b x 7 MT\nb y 8 MT\na b 9 RT",
        ["b posts h:1 @x -2", "b posts h:2 @y -1", "a share h:3:s h:2 0"],
    ),
    "later posts do not count": (
        "b x 7 MT\na b 8 RT\nb y 9 MT",
        ["b posts h:1 @x -2", "a share h:2:s h:1 -1", "b posts h:3 @y 0"],
    ),
    "a reply answers, and comments": (
        "b x 7 MT\na b 9 RE",
        ["b posts h:1 @x -2", "a posts h:2 to h:1 - 0", "a comment h:2:c h:1 0"],
    ),
    "a reply is a post that can be retweeted": (
        "b x 7 MT\na b 8 RE\nc a 9 RT",
        [
            "b posts h:1 @x -2",
            "a posts h:2 to h:1 - -1",
            "a comment h:2:c h:1 -1",
            "c share h:3:s h:2 0",
        ],
    ),
    "a retweet is no post of the retweeter": (
        "b x 7 MT\na b 8 RT\nc a 9 RT",
        [
            "b posts h:1 @x -2",
            "a share h:2:s h:1 -1",
            "a posts h:3:o - -1",
            "c share h:3:s h:3:o 0",
        ],
    ),
    "a mention of someone who has posted is no reply": (
        "b x 8 MT\na b 9 MT",
        ["b posts h:1 @x -1", "a posts h:2 @b 0"],
    ),
    "a reply to oneself answers the post before": (
        "a x 9 MT\na a 9 RE",
        ["a posts h:1 @x 0", "a posts h:2 to h:1 - 0", "a comment h:2:c h:1 0"],
    ),
    "the first reply to oneself is a plain post": ("a a 9 RE", ["a posts h:1 @a 0"]),
    "the same second, earlier line": (
        "b x 9 MT\na b 9 RT",
        ["b posts h:1 @x 0", "a share h:2:s h:1 0"],
    ),
}


class TestHiggs:
    @pytest.mark.parametrize("case", HIGGS_CASES)
    def test_rule(self, tmp_path: Path, case: str) -> None:
        text, expected = HIGGS_CASES[case]
        file = written(tmp_path, "activity.txt.gz", text + "\n")
        assert [told(event) for event in load_higgs(file, END)] == expected
        assert kind_of(file) == "higgs"

    def test_span(self, tmp_path: Path) -> None:
        span = higgs_span(written(tmp_path, "x", "a b 5 MT\na b 9 RT\n"))
        assert (span.first_s, span.last_s, span.actions) == (5, 9, 2)

    @pytest.mark.parametrize("line", ["a b 5", "a b x MT", "a b 5 QT"])
    def test_a_bad_line_is_named(self, tmp_path: Path, line: str) -> None:
        with pytest.raises(SourceError, match="line 2"):
            list(load_higgs(written(tmp_path, "x", f"a b 4 MT\n{line}\n"), END))


class TestNetwork:
    def test_same_seed_same_network(self) -> None:
        assert generate_network(300, 1) == PAIRS
        assert generate_network(300, 2) != PAIRS

    def test_is_shaped_like_a_social_network(self) -> None:
        pairs = generate_network(2_000, 7)
        follows = set(pairs)
        assert len(follows) == len(pairs)
        assert all(a != b for a, b in pairs)
        assert 30_000 < len(pairs) < 50_000
        mutual = sum((b, a) in follows for a, b in pairs) / len(pairs)
        assert 0.2 < mutual < 0.33
        following = Counter(a for a, _ in pairs)
        assert len(following) == 2_000
        assert min(following.values()) >= 3

    def test_audiences_follow_a_power_law(self) -> None:
        audiences = sorted(Counter(b for _, b in generate_network(8_000, 3)).values())
        tail = audiences[-400:]
        least = tail[0] - 0.5
        exponent = 1 + len(tail) / sum(math.log(size / least) for size in tail)  # Hill's estimate
        assert 1.8 < exponent < 2.5
        assert audiences[-1] > 50 * audiences[len(audiences) // 2]

    def test_circles_close(self) -> None:
        """More follows go to a followee's followee than between the same people by chance."""
        pairs = generate_network(2_000, 7)
        chance = Random(1)
        others = [b for _, b in pairs]
        chance.shuffle(others)

        audiences = Counter(b for _, b in pairs)

        def closed(edges: list[tuple[str, str]]) -> int:
            following: dict[str, set[str]] = {}
            for a, b in edges:
                following.setdefault(a, set()).add(b)
            return sum(
                any(b in following.get(c, ()) for c in following[a] if c != b)
                for a, b in edges
                if audiences[b] < 30  # stars are everyone's followees' followees
            )

        by_chance = closed([(a, b) for (a, _), b in zip(pairs, others, strict=True)])
        assert closed(pairs) > 1.4 * by_chance

    @pytest.mark.parametrize("users", [2, 3, 5])
    def test_the_smallest_networks(self, users: int) -> None:
        pairs = set(generate_network(users, 1))
        everything = set(permutations([f"user{n}" for n in range(users)], 2))
        assert pairs <= everything
        assert {a for a, _ in pairs} == {f"user{n}" for n in range(users)}

    def test_one_user_is_no_network(self) -> None:
        with pytest.raises(ValueError, match="at least 2"):
            generate_network(1, 1)

    def test_profiles(self) -> None:
        profiles = list(profile_events(["a", "b"], END, 1))
        assert profiles == list(profile_events(["a", "b"], END, 1))
        assert [p.username for p in profiles] == ["a", "b"]
        assert all(p.display_name for p in profiles)


class TestActivity:
    @pytest.mark.parametrize("noise", [True, False])
    @pytest.mark.parametrize("count", [0, 1, 99, 5_000])
    def test_exact_count(self, count: int, noise: bool) -> None:
        events = list(generate_activity(PAIRS, count, 1, END, noise=noise))
        assert len(events) == count
        assert len({event.event_id for event in events}) == count - (count // 100 if noise else 0)

    def test_same_seed_same_events(self) -> None:
        first = list(generate_activity(PAIRS, 3_000, 1, END))
        assert first == list(generate_activity(PAIRS, 3_000, 1, END))
        other = list(generate_activity(PAIRS, 3_000, 2, END))
        assert not {e.event_id for e in first} & {e.event_id for e in other}

    def test_without_noise_in_time_order_and_within_the_hours(self) -> None:
        events = list(generate_activity(PAIRS, 5_000, 1, END, hours=10, noise=False))
        assert all(a.at <= b.at for a, b in pairwise(events))
        assert END - 10 * HOUR_MS <= events[0].at < END - 9 * HOUR_MS
        assert END - HOUR_MS < events[-1].at <= END

    def test_noise_is_small(self) -> None:
        events = list(generate_activity(PAIRS, 20_000, 1, END))
        seen: dict[str, Event] = {}
        late = 0
        newest = 0
        for event in events:
            if event.event_id in seen:
                assert seen[event.event_id] == event
                continue
            seen[event.event_id] = event
            late += event.at < newest
            newest = max(newest, event.at)
        assert 100 < late < 300  # 1 % are held back
        assert len(events) - len(seen) == 200

    def test_every_event_is_valid_and_survives_the_wire(self) -> None:
        pairs = generate_network(500, 3)
        people = sorted({user for pair in pairs for user in pair})
        kinds: Counter[str] = Counter()
        for event in chain(
            profile_events(people, END, 1),
            follow_events(pairs, END),
            generate_activity(pairs, 30_000, 1, END),
        ):
            kinds[event.action] += 1
            assert why_rejected(event, END) is None, event
            assert decode(encode(event), type(event)) == event
        every = "created edited deleted like unlike react comment comment_deleted share unshare"
        every += " view click hide report profile_view message follow unfollow block unblock mute"
        assert not [kind for kind in every.split() if not kinds[kind]]
        assert kinds["view"] > kinds["like"] > kinds["comment"] > kinds["report"]

    def test_posts_are_varied(self) -> None:
        posts = [
            event
            for event in generate_activity(PAIRS, 30_000, 1, END, noise=False)
            if isinstance(event, Post) and event.action == "created"
        ]
        kinds = Counter(post.visibility for post in posts)
        assert set(kinds) == {"public", "followers", "friends", "custom", "private"}
        assert kinds["public"] > 0.8 * len(posts)
        assert all(bool(post.audience) == (post.visibility == "custom") for post in posts)
        share = {
            "tagged": sum("#" in post.content for post in posts) / len(posts),
            "mentioning": sum("@" in post.content for post in posts) / len(posts),
            "with media": sum(bool(post.media) for post in posts) / len(posts),
            "replies": sum(post.reply_to is not None for post in posts) / len(posts),
            "quotes": sum(post.quote_of is not None for post in posts) / len(posts),
        }
        assert all(0.04 < part < 0.7 for part in share.values()), share
        assert len({post.language for post in posts}) == 6

    def test_engagers_may_see_the_post(self) -> None:
        """Everyone who engages followed the author or a sharer, or is in the audience."""
        following: dict[str, set[str]] = {}
        for a, b in PAIRS:
            following.setdefault(a, set()).add(b)
        posts: dict[str, Post] = {}
        spread: dict[str, set[str]] = {}
        deleted: set[str] = set()
        for event in generate_activity(PAIRS, 20_000, 1, END, noise=False):
            match event:
                case Follow(action="follow", target=target) if target.startswith("u:"):
                    following.setdefault(event.user_id, set()).add(target[2:])
                case Post(action="created", author_id=str(author)):
                    posts[event.post_id] = event
                    spread[event.post_id] = {author}
                case Post(action="deleted"):
                    deleted.add(event.post_id)
                case Engagement(post_id=str(post_id), user_id=user):
                    post = posts[post_id]
                    assert post.visibility != "private"
                    assert user != post.author_id
                    if post.visibility == "custom":
                        assert user in post.audience
                    else:
                        assert following[user] & spread[post_id]
                    if not event.action.startswith("un") and event.action != "comment_deleted":
                        assert post_id not in deleted
                    if event.action == "share":
                        assert post.visibility == "public"
                        spread[post_id].add(user)

    def test_viewers_may_see_the_post_now(self) -> None:
        """Whoever views a post follows, as things are, its author or one who shares it."""
        following = set(PAIRS)
        posts: dict[str, Post] = {}
        sharing: dict[str, set[str]] = {}
        for event in generate_activity(PAIRS, 40_000, 1, END, noise=False):
            match event:
                case Follow(action=action, user_id=user, target=target):
                    pair = (user, target[2:])
                    if action == "follow":
                        following.add(pair)
                    elif action in ("unfollow", "block"):
                        following.discard(pair)
                    if action == "block":
                        following.discard(pair[::-1])
                case Post(action="created", author_id=str(author)):
                    posts[event.post_id] = event
                    sharing[event.post_id] = {author}
                case Engagement(action="share", post_id=str(post_id), user_id=user):
                    sharing[post_id].add(user)
                case Engagement(action="unshare", post_id=str(post_id), user_id=user):
                    sharing[post_id].discard(user)
                case Engagement(action="view", post_id=str(post_id), user_id=user):
                    if posts[post_id].visibility in ("public", "followers"):
                        assert any((user, source) in following for source in sharing[post_id])

    def test_what_is_taken_back_was_there(self) -> None:
        done: set[tuple[str, str, str | None]] = set()
        for event in generate_activity(PAIRS, 20_000, 1, END, noise=False):
            if isinstance(event, Engagement):
                done.add((event.action, event.user_id, event.post_id))
                if event.action == "unshare":
                    assert ("share", event.user_id, event.post_id) in done
                if event.action == "comment_deleted":
                    assert ("comment", event.user_id, event.post_id) in done

    def test_has_heavy_users_viral_posts_and_a_daily_rhythm(self) -> None:
        events = list(generate_activity(PAIRS, 40_000, 1, END, noise=False))
        authors = Counter(e.author_id for e in events if isinstance(e, Post))
        assert authors.most_common(1)[0][1] > 5 * authors.total() / len(authors)
        met = Counter(e.post_id for e in events if isinstance(e, Engagement) and e.post_id)
        assert met.most_common(1)[0][1] > 20 * met.total() / len(met)
        hours = Counter(event.at // HOUR_MS % 24 for event in events)
        assert sum(hours[h] for h in range(12, 20)) > 1.5 * sum(hours[h] for h in range(8))

    def test_refuses_what_makes_no_sense(self) -> None:
        with pytest.raises(ValueError, match="no pairs"):
            generate_activity([], 1, 1, END)
        with pytest.raises(ValueError, match="at least 0"):
            generate_activity(PAIRS, -1, 1, END)

    def test_endless_follows_the_clock(self) -> None:
        now = END

        def clock() -> int:
            nonlocal now
            now += 7
            return now

        events = list(islice(endless_activity(PAIRS, 1, clock), 5_000))
        assert [event.at for event in events] == [END + 7 * n for n in range(2, 5_002)]
        assert len({event.event_id for event in events}) == 5_000

    def test_endless_never_goes_back_in_time(self) -> None:
        times = iter([END, END + 5, END - 100, END + 6])
        events = islice(endless_activity(PAIRS, 1, lambda: next(times)), 3)
        assert [event.at for event in events] == [END + 5, END + 5, END + 6]
