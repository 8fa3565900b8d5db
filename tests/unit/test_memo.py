"""What a function gave is kept, as far as there is room; and times as they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.memo import Memo, PostMemo
from api.render import rfc3339
from schemas.views import PostView

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_a_value_is_made_once_and_all_are_forgotten_when_there_is_no_room() -> None:
    made: list[int] = []

    def double(number: int) -> int:
        made.append(number)
        return 2 * number

    memo = Memo(double, most=2)
    assert [memo[1], memo[2], memo[1], memo[2]] == [2, 4, 2, 4]
    assert made == [1, 2]
    assert (memo[3], len(memo)) == (6, 1)
    assert (memo[1], made) == (2, [1, 2, 3, 1])


def test_what_was_computed_of_a_post_is_kept_while_its_view_is_the_same() -> None:
    made: list[str] = []

    def text(post: PostView) -> str:
        made.append(post.content)
        return post.content

    memo = PostMemo(text, most=2)
    first, edited = PostView("p", "ann", 1, "one"), PostView("p", "ann", 1, "two")
    assert [memo.of(each) for each in (first, first, edited, edited)] == [
        "one",
        "one",
        "two",
        "two",
    ]
    assert made == ["one", "two"]
    others = [PostView(name, "ann", 1, name) for name in ("q", "r")]
    assert [memo.of(each) for each in (*others, edited)] == ["q", "r", "two"]
    assert made == ["one", "two", "q", "r", "two"]


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_time_is_written_with_its_milliseconds(at: int) -> None:
    wanted = (EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
    assert rfc3339(at) == wanted.replace("+00:00", "Z")
