"""Tokens for whom one likes, to who tries Headrace out on this machine; only with
`HEADRACE_TRYING_OUT`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.audit import address_of, audit
from api.auth import issue
from api.bodies import Body
from api.errors import ProblemError
from api.ids import Id
from connectors.loopback import is_loopback

TOKEN_SECONDS = 8 * 60 * 60


class TokenIn(Body):
    """Whom a token is to speak for."""

    user_id: Id


class TokenOut(BaseModel):
    """A token to read and write with."""

    token: str
    expires_in: int
    """In seconds."""


def router_of(key: str) -> APIRouter:
    """The route that gives tokens signed with the key."""
    router = APIRouter(include_in_schema=False)

    @router.post("/trying-out/token")
    async def give_token(request: Request, response: Response, body: TokenIn) -> TokenOut:
        """A token for any user, to the page alone, when it is open on this machine."""
        if not _is_from_here(request):
            raise ProblemError(
                403,
                "not-local",
                "Tokens are given to the page on this machine only: open it at localhost.",
            )
        audit("token given", user_id=body.user_id)
        response.headers["Cache-Control"] = "no-store"
        return TokenOut(token=issue(key, body.user_id, TOKEN_SECONDS), expires_in=TOKEN_SECONDS)

    return router


def _is_from_here(request: Request) -> bool:
    """Whether neither the network nor another site's page asks: such a page may send requests to
    this machine, by its address (then `Origin` is the site's) or by a name of the site that stands
    for it (then `Host` is)."""
    url = request.url
    origin = request.headers.get("origin", f"{url.scheme}://{url.netloc}")
    return (
        is_loopback(address_of(request))
        and is_loopback(url.hostname or "")
        and origin == f"{url.scheme}://{url.netloc}"
    )
