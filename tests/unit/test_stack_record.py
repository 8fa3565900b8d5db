"""The record of the running stack: who is alive, and who only has a dead one's pid."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.settings import Settings
from connectors.stack import addresses
from connectors.stack.addresses import Addresses, Record, Recorded

ADDRESSES = {"kafka": "127.0.0.1:1", "redis": "redis://127.0.0.1:2/0", "cassandra": "127.0.0.1:3"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(addresses, "settings", lambda: Settings(data_dir=tmp_path))
    return tmp_path / "stack.json"


def record(since: float, names: tuple[str, ...] = tuple(ADDRESSES)) -> Record:
    me = os.getpid()
    parts = [Recorded(name, ADDRESSES[name], me, since, "1.0") for name in names]
    return Record(me, addresses.created(me), parts)


def test_a_running_stack_is_found(file: Path) -> None:
    written = record(addresses.created(os.getpid()))
    addresses.write(file, written)
    assert addresses.read(file) == written
    assert addresses.running() == Addresses(**ADDRESSES)


def test_a_reused_pid_is_not_the_part(file: Path) -> None:
    addresses.write(file, record(addresses.created(os.getpid()) - 60))
    assert addresses.running() is None


def test_a_dead_owner_is_no_stack(file: Path) -> None:
    now = addresses.created(os.getpid())
    addresses.write(file, Record(os.getpid(), now - 60, record(now).parts))
    assert addresses.running() is None


def test_a_stack_without_every_part_is_not_used(file: Path) -> None:
    addresses.write(file, record(addresses.created(os.getpid()), ("redis",)))
    assert addresses.running() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"parts": [{"x": 1}]}'])
def test_a_broken_record_is_none(file: Path, text: str) -> None:
    file.write_text(text)
    assert addresses.read(file) is None
    assert addresses.running() is None
