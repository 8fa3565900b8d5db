"""What is sent is what the OpenAPI page says: field by field, in one order."""

from __future__ import annotations

import pytest

from api.models import Author, Counts, FeedPage, FeedPost, MediaOut
from api.sent_page import SentAuthor, SentCounts, SentPage, SentPost
from schemas.events import Media
from tests.unit.api_fakes import NOW, World


@pytest.fixture
def world() -> World:
    """A timeline with a post that has all, and one that has nothing."""
    world = World()
    medium = Media(url="https://x/a.png", kind="image", width=3, height=4, alt='a "mill"')
    world.redis.user(
        "bob", display_name="Bób\n", avatar="https://x/b.png", is_verified=True, username=None
    )
    world.redis.post(
        *("p", "bob", NOW - 7),
        content="\u2028 </script> \x7f é 🚀",
        media=(medium, Media(url="https://x/b")),
        edited_at=NOW,
        quote_of="q",
        language="en",
        hashtags=("a", "b"),
        mentions=("cy",),
    )
    world.redis.counters("p", reactions={"like": 4, "love": 1}, comments=3, shares=2, views=9)
    world.redis.mine["al"] = ({"p": "love"}, {"p"})
    world.redis.entry("al", "p", "u:bob", NOW - 7)
    world.redis.entry("al", "p", "s:cy", NOW)
    world.redis.post("sparse", "dee", NOW - 9, content="")
    world.redis.entry("al", "sparse", "u:dee", NOW - 9)
    return world


@pytest.mark.parametrize("query", ["", "?explain=true", "?limit=1", "?mode=ranked&explain=true"])
def test_a_page_is_what_its_model_would_send(world: World, query: str) -> None:
    answer = world.ask("GET", f"/api/v1/feed{query}", "al")
    assert answer.headers["content-type"] == "application/json"
    page = FeedPage.model_validate_json(answer.content, strict=True)
    assert page.posts
    assert page.model_dump_json() == answer.text


@pytest.mark.parametrize(
    ("sent", "model"),
    [
        (SentPage, FeedPage),
        (SentPost, FeedPost),
        (SentAuthor, Author),
        (SentCounts, Counts),
        (Media, MediaOut),
    ],
)
def test_both_have_the_same_fields(sent: type, model: type) -> None:
    assert list(sent.__struct_fields__) == list(model.model_fields)  # type: ignore[attr-defined]
