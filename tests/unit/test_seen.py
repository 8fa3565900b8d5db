"""The filters of posts that a user has seen."""

from __future__ import annotations

from api.seen import BITS, FULL_BITS, HASHES, Seen, bits_of


def filter_of(posts: list[str]) -> bytes:
    """As Redis sets the bits: no longer than it must be."""
    bits = sorted({bit for post in posts for bit in bits_of(post)})
    raw = bytearray(bits[-1] // 8 + 1 if bits else 0)
    for bit in bits:
        raw[bit // 8] |= 1 << 7 - bit % 8
    return bytes(raw)


def set_bits(raw: bytes) -> int:
    return sum(byte.bit_count() for byte in raw)


def test_what_was_seen_is_known_whichever_filter_has_it() -> None:
    names = [f"p{number}" for number in range(100)]
    for filters in ([filter_of(names), None], [None, filter_of(names)], [b"", filter_of(names)]):
        seen = Seen(filters)
        assert all(name in seen for name in names)
    both = Seen([filter_of(names[:50]), filter_of(names[50:])])
    assert all(name in both for name in names)


def test_nothing_was_seen() -> None:
    for filters in ([], [None, None], [b"", None], [filter_of([])]):
        assert "p" not in Seen(filters)


def test_a_post_has_bits_of_its_own_that_never_change() -> None:
    assert all(len(set(bits_of(f"p{number}"))) == HASHES for number in range(1_000))
    assert all(0 <= bit < BITS for number in range(1_000) for bit in bits_of(f"p{number}"))
    assert bits_of("p") == [13374, 15961, 18548, 655, 3242, 5829, 8416]


def test_a_filter_is_full_after_some_2000_posts_and_still_tells_them_apart() -> None:
    posts: list[str] = []
    bits: set[int] = set()
    while len(bits) < FULL_BITS:
        posts.append(f"seen {len(posts)}")
        bits.update(bits_of(posts[-1]))
    assert 1_950 < len(posts) < 2_110
    full = filter_of(posts)
    assert set_bits(full) == len(bits)
    assert len(full) <= BITS // 8
    others = sum(f"other {number}" in Seen([full]) for number in range(20_000))
    assert others / 20_000 < 1.5 / 128
    assert all(post in Seen([full]) for post in posts)
