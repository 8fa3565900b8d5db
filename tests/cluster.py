"""A Valkey cluster of three servers on this machine, one of them with a replica."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.crc import key_slot

from connectors.stack.ports import HOST, reserve
from connectors.stack.process import Child
from connectors.stack.valkey import Valkey

FIRST_PORT = 24_000
SLOTS = 16_384
PRIMARIES = 3
NODE_TIMEOUT_MS = 1_000
KEYS_PER_STEP = 20


class Node(Valkey):
    """One server of a cluster."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, FIRST_PORT, lambda _: None)
        self._stop = threading.Event()
        self._bus = reserve(FIRST_PORT + 1_000)
        self.child: Child
        self.client: Redis
        self.start()
        self.id = self.ask("CLUSTER", "MYID").decode()

    def command(self, stop: threading.Event) -> list[str]:
        binary, file = super().command(stop)
        lines = [
            "cluster-enabled yes",
            f"cluster-port {self.bus}",
            f"cluster-node-timeout {NODE_TIMEOUT_MS}",
            "cluster-replica-validity-factor 0",
            "repl-diskless-sync-delay 0",
        ]
        with Path(file).open("a") as configuration:
            configuration.writelines(f"{line}\n" for line in lines)
        return [binary, file]

    @property
    def bus(self) -> int:
        """The port that the servers use among themselves."""
        return self._bus.number

    def start(self) -> None:
        """Start the server, also again, on the same port and with what it has on disk."""
        self.child = Child(self.name, self.home / "log", grace_s=self.grace_s)
        self.child.start(self.command(self._stop), cwd=self.directory("data"), env={})
        self.child.wait_ready(self.probe, self.ready_s, self._stop)
        self.client = Redis(host=HOST, port=self.port, protocol=2)

    def ask(self, *command: Any) -> Any:
        """What this server answers, as it was sent."""
        return self.client.execute_command(*command)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self.client.close()
        self.child.kill()

    def stop(self) -> None:
        """End the server."""
        self.client.close()
        self.child.stop()
        self.release_ports()
        self._bus.release()


class Cluster:
    """Use it as a context manager; `nodes` are the primaries, `replica` that of the first."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.nodes: list[Node] = []
        self.replica: Node

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def url(self) -> str:
        """Where any of them is."""
        return self.nodes[-1].address

    @property
    def all(self) -> list[Node]:
        """The primaries of the beginning, and the replica."""
        return [*self.nodes, self.replica]

    @property
    def primaries(self) -> list[Node]:
        """Those that have slots or may have, at the moment."""
        alive = [node for node in self.all if node.child.is_alive()]
        return [node for node in alive if node.ask("ROLE")[0] == b"master"]

    def owner(self, key: str) -> Node:
        """The server that has a key's slot."""
        slot = key_slot(key.encode())
        asked = next(node for node in self.all if node.child.is_alive())
        port = next(port for first, last, port in _ranges(asked) if first <= slot <= last)
        return next(node for node in self.all if node.port == port)

    def wait_until_agreed(self) -> None:
        """Wait until every server finds the cluster whole, and all name the same owners."""
        wait_for(lambda: all(_is_ok(node) for node in self.all), "every server ok")
        first, *rest = self.all
        wait_for(lambda: all(_ranges(node) == _ranges(first) for node in rest), "owners agreed on")

    def move_at_once(self, key: str) -> None:
        """Hand a key's slot to another primary, all that it has in one step."""
        slot, source = key_slot(key.encode()), self.owner(key)
        target = next(node for node in self.primaries if node is not source)
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        wait_for(lambda: self.owner(key) is target, "a slot handed over")

    def begin_to_move(self, key: str) -> tuple[int, Node, Node]:
        """Have a key's slot on the move; the slot, where it is, and where it goes."""
        slot, source = key_slot(key.encode()), self.owner(key)
        target = next(node for node in self.primaries if node is not source)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        return slot, source, target

    def move_keys(self, slot: int, source: Node, target: Node, pause_s: float) -> int:
        """Move what a slot has, in small steps; how many keys were moved."""
        moved = 0
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, KEYS_PER_STEP):
            source.ask("MIGRATE", HOST, target.port, "", 0, 5_000, "KEYS", *keys)
            moved += len(keys)
            time.sleep(pause_s)
        return moved

    def end_move(self, slot: int, target: Node) -> None:
        """Tell all primaries that a slot has moved, its new owner first."""
        for node in sorted(self.primaries, key=lambda node: node is not target):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def errors(self) -> dict[str, int]:
        """How often all servers have answered with each kind of error."""
        found: dict[str, int] = {}
        for node in self.all:
            for name, figures in node.client.info("errorstats").items():
                kind = name.removeprefix("errorstat_")
                found[kind] = found.get(kind, 0) + int(figures["count"])
        return found

    def _start(self) -> None:
        for number in range(PRIMARIES):
            node = Node(self._home / str(number))
            self.nodes.append(node)
            first, end = (SLOTS * n // PRIMARIES for n in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        self.replica = Node(self._home / "replica")
        first = self.nodes[0]
        for node in [*self.nodes[1:], self.replica]:
            node.ask("CLUSTER", "MEET", HOST, first.port, first.bus)
        wait_for(
            lambda: all(_knows(node, PRIMARIES + 1) for node in self.all),
            "every server known to all",
        )
        self.replica.ask("CLUSTER", "REPLICATE", first.id)
        self.wait_until_agreed()
        wait_for(
            lambda: self.replica.client.info("replication")["master_link_status"] == "up",
            "a replica that follows",
        )

    def _end(self) -> None:
        for node in self.nodes:
            node.stop()
        if hasattr(self, "replica"):
            self.replica.stop()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)


def _is_ok(node: Node) -> bool:
    return b"cluster_state:ok" in node.ask("CLUSTER", "INFO")


def _knows(node: Node, servers: int) -> bool:
    lines = node.ask("CLUSTER", "NODES").splitlines()
    return len(lines) == servers and not any(b"handshake" in line for line in lines)


def _ranges(node: Node) -> list[tuple[int, int, int]]:
    """First and last slot with the owner's port, as a server says."""
    slots = node.ask("CLUSTER", "SLOTS")
    return sorted((first, last, owner[1]) for first, last, owner, *_ in slots)
