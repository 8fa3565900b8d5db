"""What users may publish: texts that are no spam, and media from hosts that are allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol
from urllib.parse import urlsplit

from api.bodies import MediaIn
from api.errors import ProblemError, invalid
from api.spam import Reason, SpamRules, load_rules
from connectors.settings import Settings

DETAILS: dict[Reason, str] = {
    "keyword": "has words that are not taken",
    "capitals": "has too many capitals",
    "links": "has too many links",
    "run": "has the same character too often in a row",
    "repetition": "has the same word too often",
}


class Written(Protocol):
    """The body of a request that says what a post says."""

    content: str
    media: list[MediaIn]
    media_urls: list[str]


class ContentRules:
    """The rules of a deployment; without hosts, media may come from any."""

    def __init__(self, spam: SpamRules | None = None, media_hosts: tuple[str, ...] = ()) -> None:
        self._spam = spam or SpamRules()
        self._hosts = media_hosts

    def check_post(self, body: Written) -> None:
        """Check what is to be said in a post.

        Raises:
            ProblemError: 422, with the reasons.
        """
        self.check_text("body.content", body.content)
        for field, url in _pictures(body):
            if not self._is_allowed(urlsplit(url).hostname or ""):
                raise invalid(field, "media from this host are not taken")

    def check_text(self, field: str, text: str | None) -> None:
        """Check the text of a field, if there is one.

        Raises:
            ProblemError: 422, with the reasons.
        """
        reasons = self._spam.reasons(text or "")
        if reasons:
            errors = [
                {"field": field, "detail": DETAILS[reason], "reason": reason} for reason in reasons
            ]
            raise ProblemError(422, "spam", "The text is taken for spam.", errors=errors)

    def _is_allowed(self, host: str) -> bool:
        """Whether there is no list of hosts, or it has this one, or all below a domain (`*.`)."""
        return not self._hosts or any(
            host == each or (each.startswith("*.") and host.endswith(each[1:]))
            for each in self._hosts
        )


def content_rules(config: Settings) -> ContentRules:
    """The rules that are set.

    Raises:
        RulesError: the file of rules cannot be used.
    """
    return ContentRules(load_rules(config.spam_rules), config.media_host_names)


def _pictures(body: Written) -> Iterator[tuple[str, str]]:
    """The addresses of what is shown in a post, with their fields: all but links."""
    for number, media in enumerate(body.media):
        if media.kind != "link":
            yield f"body.media.{number}.url", media.url
    for number, url in enumerate(body.media_urls):
        yield f"body.media_urls.{number}", url
