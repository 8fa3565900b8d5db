"""Writes generated posts: text, media, and who may see them."""

from __future__ import annotations

from itertools import accumulate
from random import Random

from connectors.sources import phrases
from connectors.sources.people import LivePost, People
from schemas.events import Media, Post, Visibility

_VISIBILITIES: tuple[Visibility, ...] = ("public", "followers", "private", "custom", "friends")
_VISIBILITY_WEIGHTS = tuple(accumulate((88, 6, 2, 2, 2)))
_MEDIA_KINDS = ("image", "image", "image", "video", "link")


class Desk:
    """Where people write."""

    def __init__(self, people: People, rng: Random) -> None:
        self._people = people
        self._rng = rng

    def write(
        self,
        event_id: str,
        post_id: str,
        author: str,
        at: int,
        *,
        visibility: Visibility | None = None,
        reply_to: str | None = None,
        quote_of: str | None = None,
        hashtag: str | None = None,
    ) -> LivePost:
        """A new post; its visibility is by chance, mostly public, unless it is given."""
        rng = self._rng
        chosen: Visibility = (
            visibility or rng.choices(_VISIBILITIES, cum_weights=_VISIBILITY_WEIGHTS)[0]
        )
        limited: list[str] | None = None
        if chosen in ("custom", "friends"):
            limited = self._people.audience(author, chosen)
            if limited is None:
                chosen = "followers"
        spoken = phrases.language(rng)
        event = Post(
            event_id=event_id,
            action="created",
            post_id=post_id,
            author_id=author,
            at=at,
            content=self.text(author, spoken) + (f" #{hashtag}" if hashtag else ""),
            media=self._media(post_id),
            visibility=chosen,
            audience=tuple(limited) if limited is not None and chosen == "custom" else (),
            reply_to=reply_to,
            quote_of=quote_of,
            language=spoken,
            location=rng.choice(phrases.PLACES) if rng.random() < 0.05 else None,
        )
        return LivePost(event, author, [author], limited)

    def text(self, author: str, spoken: str) -> str:
        """A text by the author, who sometimes mentions one whom they follow."""
        mention = self._people.followee(author) if self._rng.random() < 0.15 else None
        return phrases.text(self._rng, spoken, mention)

    def _media(self, post_id: str) -> tuple[Media, ...]:
        random = self._rng.random
        if random() > 0.2:
            return ()
        return tuple(
            Media(
                url=f"https://media.example/{post_id}/{n}",
                kind=_MEDIA_KINDS[int(random() * len(_MEDIA_KINDS))],
                width=1280,
                height=720,
                alt="A picture" if random() < 0.5 else None,
            )
            for n in range(1 + int(random() * random() * 4))
        )
