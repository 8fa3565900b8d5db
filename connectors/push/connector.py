"""What every connector does, and how a delivery can end."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from enum import StrEnum

from msgspec import Struct

from connectors.push.address import Address
from connectors.push.notice import Notice

_CODE = re.compile(r"[A-Za-z0-9_]{1,64}")


class Verdict(StrEnum):
    """How a delivery ended."""

    DELIVERED = "delivered"
    GONE = "gone"
    REFUSED = "refused"


class Outcome(Struct, frozen=True):
    """How a delivery ended, with the service's code for it.

    `delivered`: the service has taken it. `gone`: nothing will ever reach this address again, it
    is to be forgotten. `refused`: this notice will never be taken at this address; others may.
    """

    verdict: Verdict
    reason: str = ""


DELIVERED = Outcome(Verdict.DELIVERED)


class RetryLaterError(Exception):
    """It may work later: no answer, too many requests, or a fault of the service.

    `after_seconds` is what the service asked to wait, if it did.
    """

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds


class CredentialsError(Exception):
    """The service does not accept the operator's own key: no notice can be delivered there.

    Neither the notice nor the address is at fault. The message names the setting.
    """


class Connector(ABC):
    """Delivers notices by one system; used from one event loop, by any number of tasks."""

    @abstractmethod
    async def deliver(self, address: Address, notice: Notice) -> Outcome:
        """Try once to deliver a notice.

        Raises:
            RetryLaterError: it may work later.
            CredentialsError: the operator's key is not accepted.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""


def gone(reason: str) -> Outcome:
    """Nothing will ever reach the address again."""
    return Outcome(Verdict.GONE, reason)


def refused(reason: str) -> Outcome:
    """The notice will never be taken at the address."""
    return Outcome(Verdict.REFUSED, reason)


def code_or(text: str, fallback: str) -> str:
    """A service's code for an error, if it looks like one: it may quote a token, or anything."""
    return text if _CODE.fullmatch(text) else fallback
