"""What was known at a moment of a log: posts, their counts, and what users like; no I/O.

Everything is bounded: the oldest posts go, and the users who have done nothing for longest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from api.ranking.features import Features, Tastes, features_of
from schemas.events import Engagement, Event, Feedback, Post
from schemas.views import AVERSION_PER_DAY, CLOSENESS_PER_DAY, CountersView, PostView
from streams.acts import WEIGHTS
from streams.decay import NOTHING, Faded, add
from streams.intake import extract
from streams.interests import AVERSION_WEIGHT, subject_of
from streams.subjects import USER, about
from streams.users import MESSAGE_WEIGHT, PROFILE_VIEW_WEIGHT

MAX_POSTS = 200_000
MAX_FACTS = 3_000_000
"""Who did what at which post: distinct ones are counted."""
MAX_USERS = 200_000
MAX_SUBJECTS = 300
"""Of one user, the latest."""
POSITIVE = {"like": "like", "react": "like", "comment": "comment", "share": "share"}
"""Actions that are engagement, and what they count as."""
_WEIGHT_OF = {str(kind): weight for kind, weight in WEIGHTS.items()}
_TAKEN_BACK = {"unlike": "like", "unshare": "share", "comment_deleted": "comment"}


class Known(Struct):
    """A post, and by kind of fact who did it. Of `comment` they are the comments' ids, and
    `commented` has who ever did."""

    view: PostView
    subjects: tuple[str, ...]
    facts: dict[str, set[str]] = field(default_factory=dict)

    def size(self) -> int:
        """How many facts there are."""
        return sum(map(len, self.facts.values()))

    def has(self, kind: str, who: str) -> bool:
        """Whether a fact is in force."""
        return who in self.facts.get(kind, ())

    def count(self, kind: str) -> int:
        """How many facts of a kind there are."""
        return len(self.facts.get(kind, ()))

    def put(self, kind: str, who: str, *, is_in_force: bool) -> int:
        """Put a fact in force, or take it back; by how many facts there are more then."""
        if self.has(kind, who) is is_in_force:
            return 0
        if is_in_force:
            self.facts.setdefault(kind, set()).add(who)
            return 1
        self.facts[kind].remove(who)
        return -1


class Liking(Struct, frozen=True):
    """How much a user likes to see a subject, and how averse the user is to it; `said_at` (ms) is
    when the user said so, 0 if not."""

    liking: Faded = NOTHING
    aversion: Faded = NOTHING
    said_at: int = 0


class _Scores(Mapping[str, float]):
    """Scores as of a time (ms), made when they are asked for."""

    def __init__(self, rows: Mapping[str, Liking], now: int, *, is_averse: bool) -> None:
        self._rows, self._now, self._is_averse = rows, now, is_averse

    def __getitem__(self, subject: str) -> float:
        row = self._rows[subject]
        faded, per_day = (
            (row.aversion, AVERSION_PER_DAY) if self._is_averse else (row.liking, CLOSENESS_PER_DAY)
        )
        return max(0.0, add(faded, 0.0, self._now, per_day).score)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class History:
    """The fold of the events so far."""

    def __init__(self) -> None:
        self._posts: OrderedDict[str, Known] = OrderedDict()
        self._users: OrderedDict[str, dict[str, Liking]] = OrderedDict()
        self._facts = 0

    def post(self, post_id: str | None) -> Known | None:
        """A post that is known and was not deleted."""
        return None if post_id is None else self._posts.get(post_id)

    def row(self, user_id: str, known: Known, now: int) -> Features:
        """The row of a post toward a user, by what is known so far, at the time `now` (ms): by the
        same code as a feed's. That a post is viral is not known here."""
        tastes = self._users.get(user_id, {})
        counted = CountersView(
            known.view.post_id,
            {"like": known.count("like")},
            comments=known.count("comment"),
            shares=known.count("share"),
            views=known.count("view"),
            hides=known.count("hide"),
        )
        return features_of(
            known.view,
            counted,
            Tastes(_Scores(tastes, now, is_averse=False), _Scores(tastes, now, is_averse=True)),
            at=known.view.at,
            now=now,
            is_seen=known.has("view", user_id) or known.has("click", user_id),
        )

    def add(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case Post():
                self._add_post(event)
            case Engagement():
                self._add_engagement(event)
            case Feedback():
                self._say(event)
            case _:
                pass

    def _add_post(self, event: Post) -> None:
        if event.action == "deleted":
            gone = self._posts.pop(event.post_id, None)
            self._facts -= 0 if gone is None else gone.size()
            return
        if event.action != "created" or event.author_id is None or event.post_id in self._posts:
            return
        tags = extract(event.content)
        view = PostView(
            event.post_id,
            event.author_id,
            event.at,
            media=event.media,
            visibility=event.visibility,
            language=event.language,
            hashtags=tags.hashtags,
        )
        self._posts[event.post_id] = Known(view, about(event, tags))
        while len(self._posts) > MAX_POSTS or self._facts > MAX_FACTS:
            _, oldest = self._posts.popitem(last=False)
            self._facts -= oldest.size()

    def _add_engagement(self, event: Engagement) -> None:
        if event.action in ("message", "profile_view"):
            is_message = event.action == "message"
            weight = MESSAGE_WEIGHT if is_message else PROFILE_VIEW_WEIGHT
            if event.target:
                subject = f"{USER}{event.target.removeprefix(USER)}"
                self._taste(event.user_id, (subject,), weight, 0.0, event.at)
            return
        known = self.post(event.post_id)
        if known is None:
            return
        kind = POSITIVE.get(event.action) or _TAKEN_BACK.get(event.action) or event.action
        is_in_force = event.action not in _TAKEN_BACK
        who = event.user_id
        if kind == "comment":
            who = event.comment_id or event.user_id
            if is_in_force:
                self._facts += known.put("commented", event.user_id, is_in_force=True)
        sign = known.put(kind, who, is_in_force=is_in_force)
        self._facts += sign
        if not sign or known.view.author_id == event.user_id:
            return
        subjects = (f"{USER}{known.view.author_id}", *known.subjects)
        if kind == "hide":
            self._taste(event.user_id, subjects, 0.0, sign * AVERSION_WEIGHT, event.at)
        elif kind in _WEIGHT_OF:
            self._taste(event.user_id, subjects, sign * _WEIGHT_OF[kind], 0.0, event.at)

    def _say(self, event: Feedback) -> None:
        subject = subject_of(event)
        said_at = self._users.get(event.user_id, {}).get(subject, Liking()).said_at
        if said_at:
            self._taste(event.user_id, (subject,), 0.0, -AVERSION_WEIGHT, said_at)
        is_averse = event.action == "not_interested"
        self._taste(event.user_id, (subject,), 0.0, AVERSION_WEIGHT * is_averse, event.at)
        rows = self._users[event.user_id]
        rows[subject] = replace(rows[subject], said_at=event.at if is_averse else 0)

    def _taste(
        self, user_id: str, subjects: tuple[str, ...], liking: float, aversion: float, at: int
    ) -> None:
        rows = self._users.setdefault(user_id, {})
        self._users.move_to_end(user_id)
        for subject in subjects:
            row = rows.pop(subject, None) or Liking()
            rows[subject] = Liking(
                add(row.liking, liking, at, CLOSENESS_PER_DAY),
                add(row.aversion, aversion, at, AVERSION_PER_DAY),
                row.said_at,
            )
        while len(rows) > MAX_SUBJECTS:
            del rows[next(iter(rows))]
        if len(self._users) > MAX_USERS:
            self._users.popitem(last=False)
