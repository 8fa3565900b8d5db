"""`headrace api` serves HTTP; `headrace token` prints a token for it."""

from __future__ import annotations

import errno
import gc
import logging
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click
import structlog

from connectors import handover

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BACKLOG = 2048
_MOST_SAID_BYTES = 4_096
"""Of a WebSocket's client, which has nothing to say."""

_STOP_SECONDS = 10
_GC_ALLOCATIONS = 20_000
_UNTAKEN_MS = 60_000


class _Duration(click.ParamType):
    """A time like 30s, 15m, 24h or 7d, in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        match = re.fullmatch(r"([1-9]\d{0,8})([smhd])", str(value))
        if match is None:
            self.fail("a number with its unit, like 30s, 15m, 24h or 7d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


class _Door:
    """The socket at which the API is to listen.

    Raises:
        ClickException: it is no address of this machine, or not one for trying out.
    """

    def __init__(self, host: str, port: int, *, is_trying_out: bool) -> None:
        from connectors.loopback import is_loopback

        try:
            family, kind, number, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except socket.gaierror as error:
            raise click.ClickException(
                f"HEADRACE_API_HOST {host} is not an address of this machine: {error.strerror}"
            ) from error
        if is_trying_out and not is_loopback(str(address[0])):
            raise click.ClickException(
                f"with HEADRACE_TRYING_OUT anybody who reaches the API may be any user: listen on "
                f"127.0.0.1, not {host}, or leave it out"
            )
        self._host, self._port, self._address = host, port, address
        self.socket = socket.socket(family, kind, number)

    def open(self) -> None:
        """Listen.

        Raises:
            ClickException: the address cannot be had; says what to do.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a connection that was closed with data in it
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_MS)
        try:
            self.socket.bind(self._address)
            self.socket.listen(_BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise click.ClickException(
                    f"port {self._port} is taken: another `headrace api` may run; stop it, or "
                    "choose another port with HEADRACE_API_PORT or --port"
                ) from error
            raise click.ClickException(
                f"cannot listen on {self._host}:{self._port}: {error.strerror}"
            ) from error

    def tell(self) -> None:
        """Say where the API listens."""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        click.echo(
            f"API on http://{shown}:{self.socket.getsockname()[1]}, a page to try it out on /, "
            "its documentation on /docs",
            err=True,
        )


class _Turn:
    """Has an application, once its stores are open, wait until the process that this one replaces
    has ended, and open its door then."""

    def __init__(self, app: FastAPI, door: _Door) -> None:
        self._door = door
        self._open_stores = app.router.lifespan_context
        self.failure: Exception | None = None
        app.router.lifespan_context = self._lifespan

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[Any]:
        async with self._open_stores(app) as state:
            try:
                await handover.wait_for_turn()
                self._door.open()
            except (click.ClickException, handover.HandoverError) as error:
                self.failure = error
                raise
            self._door.tell()
            yield state


def configure_logs() -> None:
    """One JSON object a line, on stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    # The driver prints a traceback for each attempt to connect; api.archive logs one line.
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)


def server_of(app: FastAPI, **options: Any) -> uvicorn.Server:
    """A server that ends the streams before it waits for what else is under way."""
    import uvicorn

    from api.bounded_http import BoundedHttp

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            # What there is now stays: the collector need not look through it again and again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_GC_ALLOCATIONS)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if app.state.live is not None:
                await app.state.live.close()
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            app,
            http=BoundedHttp,
            loop="uvloop",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ws_max_size=_MOST_SAID_BYTES,
            ws_per_message_deflate=False,  # it would cost each client memory and each message time
            **options,
        )
    )


@click.command()
@click.option("--host", help="Address to listen on; the default is HEADRACE_API_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="The default is HEADRACE_API_PORT.")
def api(host: str | None, port: int | None) -> None:
    """Serve the HTTP API."""
    from api.app import create_app
    from api.auth import SecretError
    from api.ranking.weights import WeightsError
    from api.spam import RulesError
    from connectors.addresses import NoAddressError, resolve
    from connectors.settings import settings
    from connectors.tracing import TracingError

    config = settings()
    door = _Door(
        host or config.api_host,
        config.api_port if port is None else port,
        is_trying_out=config.trying_out,
    )
    with door.socket:
        replaces = handover.is_successor()
        if not replaces:
            door.open()
        try:
            app = create_app(config, resolve())
        except (NoAddressError, RulesError, SecretError, TracingError, WeightsError) as error:
            raise click.ClickException(str(error)) from error
        configure_logs()
        turn = _Turn(app, door) if replaces else None
        if turn is None:
            door.tell()
        server = server_of(app)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again at its end
        try:
            server.run(sockets=[door.socket])
        except SystemExit:
            if turn is not None and turn.failure is not None:
                raise click.ClickException(str(turn.failure)) from turn.failure
            raise
    if not server.started:
        raise click.ClickException("the API did not start")


@click.command()
@click.argument("user_id")
@click.option(
    "--ttl", type=_Duration(), default="24h", show_default=True, help="How long it holds."
)
@click.option(
    "--scope",
    default="read write",
    show_default=True,
    help="Some of read, write, moderate, admin, produce.",
)
def token(user_id: str, ttl: int, scope: str) -> None:
    """Print a token with which the API takes USER_ID's requests."""
    from api.auth import SCOPES, SecretError, issue, signing_key
    from api.ids import is_id
    from connectors.settings import settings

    if not is_id(user_id):
        raise click.BadParameter("1 to 256 bytes, no control characters", param_hint="USER_ID")
    scopes = scope.replace(",", " ").split()
    if not scopes or not set(scopes) <= set(SCOPES):
        raise click.BadParameter(f"one or more of {', '.join(SCOPES)}", param_hint="--scope")
    config = settings()
    if config.jwks and not config.jwt_secret.get_secret_value():
        raise click.ClickException(
            "tokens are made by who has the keys of HEADRACE_JWKS.\n"
            "hint: the API takes those of this command too when HEADRACE_JWT_SECRET is set."
        )
    try:
        key = signing_key(config)
    except SecretError as error:
        raise click.ClickException(str(error)) from error
    click.echo(issue(key, user_id, ttl, " ".join(dict.fromkeys(scopes))))
