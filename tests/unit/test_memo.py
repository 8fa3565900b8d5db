"""What a function gave is kept, as far as there is room; and times as they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.memo import Memo
from api.render import rfc3339

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


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_time_is_written_with_its_milliseconds(at: int) -> None:
    wanted = (EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")
    assert rfc3339(at) == wanted.replace("+00:00", "Z")
