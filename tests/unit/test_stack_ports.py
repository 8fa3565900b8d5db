"""Ports: the wanted one, or the next free one, and never one that was given out."""

from __future__ import annotations

import socket

import pytest

from connectors.stack.errors import StackError
from connectors.stack.ports import HOST, is_listening, reserve


def listener() -> tuple[socket.socket, int]:
    server = socket.socket()
    server.bind((HOST, 0))
    server.listen()
    return server, server.getsockname()[1]


def test_a_taken_port_leads_to_another() -> None:
    server, taken = listener()
    with server:
        assert is_listening(taken)
        port = reserve(taken)
        assert port.number > taken
        port.release()


def test_a_reserved_port_is_not_given_out_again() -> None:
    first = reserve(42_100)
    second = reserve(42_100)
    assert second.number > first.number
    number = first.number
    first.release()
    again = reserve(42_100)
    assert again.number == number
    second.release()
    again.release()


def test_no_free_port_is_an_error_with_a_hint() -> None:
    server, taken = listener()
    with server, pytest.raises(StackError) as raised:
        reserve(taken, tries=1)
    assert "HEADRACE_KAFKA_PORT" in raised.value.hint
