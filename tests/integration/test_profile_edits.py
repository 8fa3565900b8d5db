"""Edits of a profile over all parts: those in flight at once are all in force."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from connectors.publisher import publish
from connectors.stack.addresses import Addresses
from headrace.supervisor import Supervisor
from schemas.events import User

APPS = ("app", "views", "archive", "api")
PATIENCE_SECONDS = 60.0
QUIET_SECONDS = 3.0
"""After which an event that is under way has come."""


@pytest.fixture(scope="module")
def supervisor(
    own_addresses: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Supervisor]:
    logs = tmp_path_factory.mktemp("logs")
    with Supervisor(own_addresses, APPS, log_dir=logs, is_trying_out=True) as supervisor:
        yield supervisor


class Me:
    """A user who reads and edits the own account."""

    def __init__(self, supervisor: Supervisor, user_id: str) -> None:
        self.user_id = user_id
        self._url = f"{supervisor.api_url}/api/v1/users/me"
        self._headers = {"Authorization": f"Bearer {supervisor.token(user_id)}"}

    def edit(self, **fields: Any) -> None:
        """Change some of the profile; the view need not show it yet."""
        answer = httpx.patch(self._url, headers=self._headers, json=fields, trust_env=False)
        assert answer.status_code == 202, answer.text

    def read(self) -> dict[str, Any]:
        """The account as the views show it."""
        answer = httpx.get(self._url, headers=self._headers, trust_env=False)
        assert answer.status_code == 200, answer.text
        account: dict[str, Any] = answer.json()
        return account

    def stays(self, **wanted: Any) -> None:
        """The account comes to show this, and goes on to."""
        self.comes_to(**wanted)
        time.sleep(QUIET_SECONDS)
        assert self._of(wanted) == wanted

    def comes_to(self, **wanted: Any) -> None:
        """The account comes to show this."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self._of(wanted)) != wanted:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def _of(self, wanted: dict[str, Any]) -> dict[str, Any]:
        account = self.read()
        return {name: account[name] for name in wanted}


@pytest.fixture
def me(supervisor: Supervisor, own_addresses: Addresses) -> Me:
    """One whose whole profile was published, as producers that know no edits do."""
    user_id = f"ann-{secrets.token_hex(4)}"
    at = time.time_ns() // 1_000_000 - 60_000
    profile = User(
        event_id=f"e-{user_id}",
        action="profile",
        user_id=user_id,
        at=at,
        username=user_id,
        display_name="Ann",
        bio="old",
        verified=True,
        preferences={"notify.like": "off"},
    )
    publish(own_addresses.kafka, [profile])
    me = Me(supervisor, user_id)
    me.comes_to(username=user_id, display_name="Ann", bio="old")
    return me


def test_edits_of_different_fields_in_flight_are_both_in_force(me: Me) -> None:
    edits: list[dict[str, Any]] = [
        {"bio": "new"},
        {"display_name": "Ann B."},
        {"avatar": "https://x/a.png"},
        {"notifications": {"share": "off"}},
        {"notifications": {"follow": "off", "like": "on"}},
    ]
    with ThreadPoolExecutor(len(edits)) as pool:
        list(pool.map(lambda edit: me.edit(**edit), edits))
    me.stays(username=me.user_id, display_name="Ann B.", bio="new", avatar="https://x/a.png")
    account = me.read()
    silenced = {kind for kind, on in account["notifications"].items() if on == "off"}
    assert (account["is_verified"], silenced) == (True, {"follow", "share"})


def test_edits_of_one_field_come_to_the_last_that_was_acknowledged(me: Me) -> None:
    for number in range(20):
        me.edit(bio=f"bio {number}")
    me.stays(bio="bio 19", display_name="Ann", username=me.user_id)


def test_a_name_is_claimed_beside_other_edits(me: Me) -> None:
    """The edit behind it is made before the name is known to be the user's, and keeps it."""
    name = f"{me.user_id}-2"
    me.edit(username=name)
    me.edit(bio="new")
    me.stays(username=name, bio="new", display_name="Ann")
