"""Ids come back as they were, in fewer bytes, and in their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ids import Mint
from connectors.packed_ids import FIRST_LEAD, PACKED_BYTES, pack_id, unpack_id

ULIDS = st.integers(0, 2**48 - 1).map(lambda at: Mint().new(at))
UUIDS = st.uuids().map(str)
TEXTS = st.text(max_size=40)


@given(ULIDS | UUIDS)
def test_a_ulid_and_a_uuid_take_17_bytes(value: str) -> None:
    assert len(pack_id(value)) == PACKED_BYTES
    assert unpack_id(pack_id(value)) == value


@given(TEXTS)
def test_another_id_is_its_text(value: str) -> None:
    assert pack_id(value) == value.encode()
    assert unpack_id(value.encode()) == value


@pytest.mark.parametrize(
    "value",
    [
        "01JZ8B0V3QKX4M5T7N9R2C6DHe",  # a small letter would come back as a capital
        "81JZ8B0V3QKX4M5T7N9R2C6DHE",  # more than 128 bits
        "01JZ8B0V3QKX4M5T7N9R2C6DHI",  # no digit
        "01JZ8B0V3QKX4M5T7N9R2C6DH",
        "01JZ8B0V3QKX4M5T7N9R2C6DH\n",
        "٠1JZ8B0V3QKX4M5T7N9R2C6DHE",
        "9F1B7A52-4C1E-4D7B-8B65-2D0F3A9C6E11",
        "9f1b7a524c1e4d7b8b652d0f3a9c6e11",
        "{9f1b7a52-4c1e-4d7b-8b65-2d0f3a9c6e11}",
        "0" * 36,
        "",
    ],
)
def test_what_only_looks_like_one_is_text(value: str) -> None:
    assert pack_id(value) == value.encode()


@given(st.binary(max_size=20))
def test_whatever_stands_there_is_read(raw: bytes) -> None:
    assert isinstance(unpack_id(raw), str)


@given(ULIDS | UUIDS | TEXTS, ULIDS | UUIDS | TEXTS)
def test_only_equal_ids_are_packed_alike(one: str, other: str) -> None:
    assert (pack_id(one) == pack_id(other)) == (one == other)


@given(st.lists(ULIDS) | st.lists(UUIDS) | st.lists(TEXTS))
def test_the_order_of_ids_of_one_kind_stays(values: list[str]) -> None:
    assert [unpack_id(raw) for raw in sorted(map(pack_id, values))] == sorted(values)


@given(TEXTS)
def test_no_text_begins_as_a_packed_id(value: str) -> None:
    assert not value or pack_id(value)[0] < FIRST_LEAD
