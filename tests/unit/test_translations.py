"""When the registry is asked for an id, and for how long an answer is kept."""

from __future__ import annotations

import pytest

from connectors.registry import Registered, RegistryDownError
from connectors.translations import ABSENT_SECONDS, SECOND_LOOK_SECONDS, TranslationCache
from schemas.codec import UndecodableError, decode, encode, newest
from schemas.events import Follow, Post
from schemas.translation import headers_in
from tests.unit.folds import created, followed

FOLLOW, POST = followed("follow"), created()
FOLLOWS, POSTS, GONE = 8, 501, 502  # an id of our own stands for what the registry says


def by(number: int, raw: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + raw[5:]


class Registry:
    """A registry in memory, and its time."""

    def __init__(self) -> None:
        self.schemas = {
            FOLLOWS: Registered(newest()[Post].text),
            POSTS: Registered(newest()[Follow].text),
        }
        self.asked: list[int] = []
        self.is_down = False
        self.now = 0.0
        self.slept: list[float] = []

    def schema(self, number: int) -> Registered | None:
        self.asked.append(number)
        if self.is_down:
            raise RegistryDownError("http://r TimeoutException")
        return self.schemas.get(number)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def cache(registry: Registry) -> TranslationCache:
    return TranslationCache(registry, max_kept=3, clock=lambda: registry.now, sleep=registry.sleep)


def test_an_id_means_what_the_registry_says_and_not_what_our_lock_says(
    cache: TranslationCache,
) -> None:
    assert encode(FOLLOW)[:5] == by(FOLLOWS, b"")
    assert decode(cache.translated(by(FOLLOWS, encode(POST))), Post) == POST
    assert decode(cache.translated(by(POSTS, encode(FOLLOW))), Follow) == FOLLOW


def test_it_is_asked_once_for_an_id(registry: Registry, cache: TranslationCache) -> None:
    batch = [by(POSTS, encode(FOLLOW))] * 3 + [by(FOLLOWS, encode(POST)), None, b"", b"{}"]
    for _ in range(3):
        assert len(cache.of(headers_in(batch))) == 2
    assert sorted(registry.asked) == [FOLLOWS, POSTS]
    registry.is_down = True
    assert len(cache.of(headers_in(batch))) == 2
    assert cache.kept(headers_in(batch)) == cache.of(headers_in(batch))
    assert cache.kept([*headers_in(batch), by(GONE, b"")]) is None


def test_an_outage_is_told_and_nothing_of_it_kept(
    registry: Registry, cache: TranslationCache
) -> None:
    registry.is_down = True
    with pytest.raises(RegistryDownError):
        cache.of([by(POSTS, b"")])
    registry.is_down = False
    assert cache.translated(by(POSTS, encode(FOLLOW))) == encode(FOLLOW)


def test_what_is_not_registered_is_asked_for_twice_and_then_refused_for_a_minute(
    registry: Registry, cache: TranslationCache
) -> None:
    raw = by(GONE, encode(FOLLOW))
    for _ in range(2):
        with pytest.raises(UndecodableError, match="the registry has no schema with id 502") as no:
            cache.translated(raw)
        assert no.value.code == "unknown_schema"
    assert (registry.asked, registry.slept) == ([GONE, GONE], [SECOND_LOOK_SECONDS])
    registry.schemas[GONE] = registry.schemas[POSTS]
    registry.now += ABSENT_SECONDS + 1
    assert cache.translated(raw) == encode(FOLLOW)


def test_what_another_server_of_it_registers_meanwhile_is_found(
    registry: Registry, cache: TranslationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_seconds: float) -> None:
        registry.schemas[GONE] = registry.schemas[POSTS]

    monkeypatch.setattr(cache, "_sleep", sleep)
    assert cache.translated(by(GONE, encode(FOLLOW))) == encode(FOLLOW)


def test_one_pause_is_for_all_that_is_absent(registry: Registry, cache: TranslationCache) -> None:
    assert len(cache.of([by(number, b"") for number in range(600, 610)])) == 10
    assert registry.slept == [SECOND_LOOK_SECONDS]


def test_what_is_kept_is_bounded_and_the_oldest_goes(
    registry: Registry, cache: TranslationCache
) -> None:
    for number in range(700, 704):
        registry.schemas[number] = registry.schemas[POSTS]
    for number in (700, 701, 702, 700, 703, 700, 701):
        cache.of([by(number, b"")])
    assert registry.asked == [700, 701, 702, 703, 701]
    assert len(cache.of([by(number, b"") for number in range(700, 704)])) == 4
    assert len(cache._kept) == 3


def test_ids_that_mean_nothing_push_out_none_that_do(
    registry: Registry, cache: TranslationCache
) -> None:
    known = by(POSTS, b"")
    cache.of([known])
    cache.of([by(number, b"") for number in range(600, 700)])
    assert cache.kept([known]) is not None
    assert len(cache._absent) == 3
    assert registry.asked.count(POSTS) == 1


@pytest.mark.parametrize(
    ("registered", "said"),
    [
        (Registered("message X {}", "PROTOBUF"), "is PROTOBUF"),
        (Registered(newest()[Follow].text, "AVRO", [{"name": "x"}]), "refers to others"),
        (Registered("{}"), "no schema of a record"),
    ],
)
def test_what_is_no_avro_schema_by_itself_is_refused(
    registry: Registry, cache: TranslationCache, registered: Registered, said: str
) -> None:
    registry.schemas[GONE] = registered
    with pytest.raises(UndecodableError, match=said) as refused:
        cache.translated(by(GONE, encode(FOLLOW)))
    assert refused.value.code == "unknown_schema"
