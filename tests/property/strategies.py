"""Events of a small crowd in a short time, so that they meet: for the property tests."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.changes import FIELDS
from schemas.events import Engagement, Event, Feedback, Follow, Media, Moderation, Post, User
from tests.unit.folds import NOW

USERS = ("a", "b", "c", "d")
POSTS = ("p", "q", "r", "s", "t", "u", "v", "w")
TOPICS = ("t:TAG",)

user_ids = st.sampled_from(USERS)
post_ids = st.sampled_from(POSTS)
targets = st.sampled_from([*(f"u:{user_id}" for user_id in USERS), *TOPICS])
event_ids = st.sampled_from("xyz")
"""How an event's id begins: of events at one time the greater id is the newer."""
times = st.integers(0, 9).map(lambda n: NOW - 60_000 + n * 1_000)
visibilities = st.sampled_from(
    ["public", "public", "public", "followers", "friends", "custom", "private"]
)
audiences = st.lists(user_ids, max_size=2).map(tuple)

creations = st.builds(
    Post,
    event_id=event_ids,
    action=st.just("created"),
    post_id=post_ids,
    author_id=user_ids,
    at=times,
    content=st.sampled_from(["", "one", "two #Tag", "@Eight three @ten"]),
    language=st.sampled_from([None, "en", "en-GB", "DE"]),
    media=st.sampled_from([(), (Media(url="u", kind="video"),)]),
    reply_to=st.none() | post_ids,
    visibility=visibilities,
    audience=audiences,
)
edits = st.builds(
    Post,
    event_id=event_ids,
    action=st.just("edited"),
    post_id=post_ids,
    author_id=st.none() | user_ids,
    at=times,
    content=st.sampled_from(["", "four", "five #Other", "@eight"]),
    reply_to=st.none() | post_ids,
    language=st.sampled_from([None, "fr"]),
    visibility=visibilities,
    audience=audiences,
)
deletions = st.builds(
    Post, event_id=event_ids, action=st.just("deleted"), post_id=post_ids, at=times
)
reactions = st.builds(
    Engagement,
    event_id=event_ids,
    action=st.sampled_from(["like", "unlike", "react"]),
    user_id=user_ids,
    post_id=post_ids,
    at=times,
    kind=st.sampled_from(["like", "wow"]),
)
shares = st.builds(
    Engagement,
    event_id=event_ids,
    action=st.sampled_from(["share", "share", "unshare"]),
    user_id=user_ids,
    post_id=post_ids,
    at=times,
    target=st.none() | user_ids,
)
comments = st.builds(
    Engagement,
    event_id=event_ids,
    action=st.sampled_from(["comment", "comment", "comment_deleted"]),
    user_id=user_ids,
    post_id=post_ids,
    at=times,
    comment_id=st.sampled_from(["m", "n", "o"]),
    text=st.sampled_from([None, "six", "seven"]),
    parent=st.sampled_from([None, "m"]),
)
marks = st.builds(
    Engagement,
    event_id=event_ids,
    action=st.sampled_from(["view", "click", "hide", "report"]),
    user_id=user_ids,
    post_id=post_ids,
    at=times,
)
reports = st.builds(
    Engagement,
    event_id=event_ids,
    action=st.just("report"),
    user_id=user_ids,
    post_id=post_ids,
    at=times,
)
verdicts = st.builds(
    Moderation,
    event_id=event_ids,
    action=st.sampled_from(["hidden", "cleared", "cleared"]),
    post_id=post_ids,
    moderator_id=user_ids,
    at=times,
)
contacts = st.builds(
    Engagement,
    event_id=event_ids,
    action=st.sampled_from(["message", "profile_view"]),
    user_id=user_ids,
    target=user_ids,
    at=times,
)
opinions = st.builds(
    Feedback,
    event_id=event_ids,
    action=st.sampled_from(["not_interested", "interested"]),
    user_id=user_ids,
    subject=st.sampled_from(["t:TAG", "t:tag", "l:en", "m:video", *(f"u:{u}" for u in USERS)]),
    at=times,
)
follows = st.builds(
    Follow,
    event_id=event_ids,
    action=st.sampled_from(["follow", "follow", "unfollow", "block", "unblock", "mute", "unmute"]),
    user_id=user_ids,
    target=targets,
    at=times,
    is_favourite=st.booleans(),
)
changes = st.lists(
    st.sampled_from(
        [*FIELDS, "preferences.notify.like", "preferences.notify.share", "username", "preferences"]
    ),
    min_size=1,
    max_size=4,
).map(tuple)
"""What an edit of a profile names; what else stands in it does not count."""
profiles = st.builds(
    User,
    event_id=event_ids,
    action=st.sampled_from(["profile", "active", "deactivated", "reactivated"]),
    user_id=user_ids,
    at=times,
    username=st.sampled_from([None, "eight", "Eight", "ten"]),
    display_name=st.sampled_from([None, "Nine"]),
    verified=st.booleans(),
    seen_to=st.none() | times,
    device_tokens=st.sampled_from([(), ("fcm:one",), ("fcm:one", "fcm:two")]),
    preferences=st.sampled_from(
        [{}, {"notify.like": "off", "notify.x": "off"}, {"notify.share": "off"}]
    ),
    changes=st.none() | changes,
)
erasures = st.builds(
    User,
    event_id=event_ids,
    action=st.just("deleted"),
    user_id=st.sampled_from(USERS[-2:]),  # the others go on
    at=times,
)


@st.composite
def blogs(draw: st.DrawFn) -> list[Post]:
    """Several posts by one author, more than a new follower is given."""
    author = draw(user_ids)
    chosen = draw(st.lists(creations, min_size=3, max_size=6, unique_by=lambda post: post.post_id))
    return [replace(post, author_id=author) for post in chosen]


@st.composite
def talks(draw: st.DrawFn) -> list[Event]:
    """A post, a comment and an answer to it, by different users, in any order; one may go."""
    post = draw(creations)
    users = draw(st.permutations(USERS))
    talk: list[Event] = [
        post,
        *(
            replace(draw(comments), action="comment", post_id=post.post_id, user_id=user_id, **more)
            for user_id, more in zip(
                users,
                ({"comment_id": "m", "parent": None}, {"comment_id": "n", "parent": "m"}),
                strict=False,
            )
        ),
    ]
    if draw(st.booleans()):
        talk.append(
            replace(draw(comments), action="comment_deleted", post_id=post.post_id, parent=None)
        )
    return list(draw(st.permutations(talk)))


def numbered(event: Event, number: int) -> Event:
    """The event with an id that no other has: only an event and its copies share one."""
    return replace(event, event_id=f"{event.event_id}{number}")


comment_reactions = st.builds(
    Engagement,
    event_id=event_ids,
    action=st.sampled_from(["like", "react", "unlike"]),
    user_id=user_ids,
    post_id=post_ids,
    at=times,
    kind=st.just("love"),
    comment_id=st.sampled_from(["m", "n", "o"]),
)
engagements = st.one_of(reactions, shares, comments, comment_reactions, marks)
posts = st.one_of(creations, edits, deletions)
moderations = st.one_of(reports, verdicts)
events: st.SearchStrategy[Event] = st.one_of(
    posts, engagements, moderations, contacts, opinions, follows, profiles
)
