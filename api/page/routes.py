"""GET / and the files of the page; it uses the API as any client does."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.auth import signing_key
from api.page.trying_out import router_of
from connectors.settings import Settings

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)
_files = StaticFiles(packages=[("api.page", "files")])


class About(BaseModel):
    """What the page cannot know: whether it may ask for tokens, and where the monitors are."""

    is_trying_out: bool
    monitors: list[str]


def install(app: FastAPI, settings: Settings) -> None:
    """Serve the page; with `trying_out` also tokens for it.

    Raises:
        SecretError: the key file cannot be used.
    """
    app.state.about_page = About(
        is_trying_out=settings.trying_out, monitors=settings.monitor_addresses
    )
    if settings.trying_out:
        app.include_router(router_of(signing_key(settings)))
    app.include_router(router)


@router.get("/")
async def read_page(request: Request) -> Response:
    """The page."""
    return await _file("index.html", request)


@router.get("/page/about")
async def read_about(request: Request) -> About:
    """What the page is told when it opens."""
    about: About = request.app.state.about_page
    return about


@router.get("/page/{name}")
async def read_file(name: str, request: Request) -> Response:
    """A file of the page."""
    return await _file(name, request)


async def _file(name: str, request: Request) -> Response:
    """The file, or 304 where `If-None-Match` names it as it is.

    Raises:
        HTTPException: 404.
    """
    response = await _files.get_response(name, request.scope)
    response.headers.update(HEADERS)
    return response
