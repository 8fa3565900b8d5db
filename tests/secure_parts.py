"""Kafka, Valkey and Cassandra that ask for TLS, a certificate and a password, and in which nobody
may do anything but one user, and those who have the rights of `deploy/rights`."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable, Session
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from redis import Redis, RedisError

from connectors.stack.addresses import Addresses
from connectors.stack.cassandra import STORAGE_PORT, Cassandra
from connectors.stack.kafka import Kafka
from connectors.stack.local import environment
from connectors.stack.parts import Part
from connectors.stack.ports import HOST, reserve
from connectors.stack.process import Child
from connectors.stack.valkey import Valkey
from headrace.chaos.proxy import Proxy
from tests import rights
from tests.certificates import Certificates
from tests.cluster import SLOTS, wait_for

USER, PASSWORD = "ann", "lake-and-river"
CASSANDRA_USER, CASSANDRA_PASSWORD = "cassandra", "cassandra"  # whom a new one has
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
FIRST_PORT = 25_000
_USERS = {USER: PASSWORD} | {rights.user_of(each): rights.PASSWORD for each in rights.IN_KAFKA}


class TlsProxy(Proxy):
    """Ends TLS before a server that has none."""

    def __init__(self, server_port: int, context: ssl.SSLContext) -> None:
        super().__init__(server_port)
        self._context = context

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port


class SecureKafka(Kafka):
    """Has a listener for clients with a certificate and a password, beside the plain one."""

    def __init__(self, home: Path, port: int, certificates: Certificates) -> None:
        super().__init__(home, port, lambda _: None)
        self._certificates = certificates
        self._secure = reserve(port + 1_000)

    @property
    def secure_address(self) -> str:
        """Where the secure listener is."""
        return f"{HOST}:{self._secure.number}"

    def command(self, stop: threading.Event) -> list[str]:
        command = super().command(stop)
        file = Path(command[-1])
        values = dict(line.split("=", 1) for line in file.read_text().splitlines())
        for name in ("listeners", "advertised.listeners"):
            values[name] += f",SECURE://{self.secure_address}"
        values["listener.security.protocol.map"] += ",SECURE:SASL_SSL"
        module = "org.apache.kafka.common.security"
        secure = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificates.both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._certificates.ca,
            "ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required "
            + " ".join(f'user_{name}="{password}"' for name, password in _USERS.items())
            + ";",
            **{
                f"{name.lower()}.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;"
                for name in MECHANISMS[1:]
            },
        }
        values |= {f"listener.name.secure.{name}": str(value) for name, value in secure.items()}
        values["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        values["super.users"] = f"User:{USER};User:ANONYMOUS"  # who has no name uses the plain one
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        return command

    def make_user(self) -> None:
        """Give the user a password by SCRAM."""
        admin = self.admin()
        wanted = [
            UserScramCredentialUpsertion(USER, ScramCredentialInfo(kind, 4096), PASSWORD.encode())
            for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        ]
        for one in wanted:  # of a user one at a time
            for done in admin.alter_user_scram_credentials([one]).values():
                done.result(timeout=10)

    def admin(self) -> AdminClient:
        """A client that may do all."""
        return AdminClient({"bootstrap.servers": self.address})

    def release_ports(self) -> None:
        super().release_ports()
        self._secure.release()


class SecureValkey(Valkey):
    """Knows one user, who has a password."""

    def __init__(self, home: Path, port: int, *more: str) -> None:
        super().__init__(home, port, lambda _: None)
        self._more = more

    def command(self, stop: threading.Event) -> list[str]:
        binary, file = super().command(stop)
        users = ("user default off", f"user {USER} on >{PASSWORD} ~* &* +@all")
        with Path(file).open("a") as configuration:
            configuration.writelines(f"{line}\n" for line in (*users, *self._more))
        return [binary, file]

    def client(self) -> Redis:
        """A client of the server itself; close it."""
        return Redis.from_url(self.address, username=USER, password=PASSWORD)

    def probe(self) -> str | None:
        with self.client() as client:
            try:
                return str(client.info("server")["valkey_version"])
            except RedisError:
                return None


class SecureCassandra(Cassandra):
    """Asks clients for TLS, a certificate and a password."""

    def __init__(self, home: Path, port: int, certificates: Certificates) -> None:
        super().__init__(home, port, lambda _: None)
        self._certificates = certificates

    def command(self, stop: threading.Event) -> list[str]:
        program, *arguments = super().command(stop)
        file = self.home / "config" / "cassandra.yaml"
        values = json.loads(file.read_text())
        values["authenticator"] = "PasswordAuthenticator"
        values["authorizer"] = "CassandraAuthorizer"
        values["role_manager"] = "CassandraRoleManager"
        values["client_encryption_options"] = {
            "enabled": True,
            "optional": False,
            "require_client_auth": True,
            "keystore": str(self._certificates.both),
            "truststore": str(self._certificates.ca),
            "ssl_context_factory": {
                "class_name": "org.apache.cassandra.security.PEMBasedSslContextFactory"
            },
        }
        file.write_text(json.dumps(values))
        return [program, "-Dcassandra.superuser_setup_delay_ms=0", *arguments]

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that may do all."""
        context = ssl.create_default_context(cafile=self._certificates.ca)
        context.load_cert_chain(self._certificates.certificate, self._certificates.key)
        known = PlainTextAuthProvider(CASSANDRA_USER, CASSANDRA_PASSWORD)
        cluster = Cluster(
            [HOST], port=self.port, protocol_version=5, auth_provider=known, ssl_context=context
        )
        try:
            yield cluster.connect()
        finally:
            cluster.shutdown()

    def probe(self) -> str | None:
        try:
            with self.session() as session:
                row = session.execute("SELECT release_version FROM system.local").one()
        except NoHostAvailable:
            return None
        return str(row.release_version)


class SecureParts:
    """All of them, Valkey behind a proxy that has TLS, and a Valkey cluster of one server too. Use
    it as a context manager, in which Cassandra may still be starting."""

    def __init__(self, home: Path) -> None:
        self.certificates = Certificates(home / "certificates")
        self.home = home
        self.kafka = SecureKafka(home / "kafka", FIRST_PORT, self.certificates)
        self.valkey = SecureValkey(home / "valkey", FIRST_PORT + 10)
        self._cluster = SecureValkey(home / "cluster", FIRST_PORT + 20, "cluster-enabled yes")
        self.cassandra = SecureCassandra(home / "cassandra", FIRST_PORT + 30, self.certificates)
        self._pool = ThreadPoolExecutor()
        self._held = ExitStack()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        try:
            self._start_all()
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

    def wait_for_cassandra(self) -> None:
        """Wait until Cassandra is up."""
        self._last.result()

    def give_rights(self, prepare: Callable[[], None]) -> None:
        """Make all users, with their rights; those in Cassandra are about tables, which `prepare`
        makes."""
        rights.give_in_kafka(self.kafka.admin(), self.home)
        with self.valkey.client() as client:
            rights.give_in_redis(client)
        self.wait_for_cassandra()
        with self.cassandra.session() as session:
            rights.make_in_cassandra(session)
            prepare()
            rights.give_in_cassandra(session)

    @property
    def addresses(self) -> Addresses:
        """Where they are, by TLS."""
        return Addresses(
            kafka=self.kafka.secure_address,
            redis=f"rediss://{HOST}:{self._proxy.port}/0",
            cassandra=self.cassandra.address,
        )

    @property
    def cluster_url(self) -> str:
        """Where the cluster is, by TLS."""
        return f"rediss://{HOST}:{self._cluster_proxy.port}/0"

    def settings(self) -> dict[str, str]:
        """What says so."""
        addresses = self.addresses
        return {
            "KAFKA_BROKERS": addresses.kafka,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_USER": USER,
            "KAFKA_PASSWORD": PASSWORD,
            "REDIS_URL": addresses.redis,
            "REDIS_USER": USER,
            "REDIS_PASSWORD": PASSWORD,
            "CASSANDRA_HOSTS": addresses.cassandra,
            "CASSANDRA_TLS": "true",
            "CASSANDRA_USER": CASSANDRA_USER,
            "CASSANDRA_PASSWORD": CASSANDRA_PASSWORD,
            **self.certificates.settings("KAFKA"),
            **self.certificates.settings("REDIS"),
            **self.certificates.settings("CASSANDRA"),
        }

    def _start_all(self) -> None:
        self.cassandra.reserve_ports(STORAGE_PORT)
        self._last = self._pool.submit(self._start, self.cassandra)
        others = (self.kafka, self.valkey, self._cluster)
        for started in [self._pool.submit(self._start, part) for part in others]:
            started.result()
        self.kafka.make_user()
        self._proxy, self._cluster_proxy = (
            self._held.enter_context(TlsProxy(part.port, self.certificates.for_server()))
            for part in (self.valkey, self._cluster)
        )
        with self._cluster.client() as client:
            client.config_set("cluster-announce-port", self._cluster_proxy.port)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
            wait_for(lambda: _is_ok(client), "a cluster that is ok")

    def _start(self, part: Part) -> None:
        child = Child(part.name, part.home / "log", grace_s=part.grace_s)
        command = part.command(self._stop)
        self._held.callback(part.release_ports)
        self._held.callback(child.kill)
        child.start(command, cwd=part.directory("."), env=environment())
        child.wait_ready(part.probe, part.ready_s, self._stop)

    def _end(self) -> None:
        self._stop.set()
        self._pool.shutdown()
        self._held.close()


def _is_ok(client: Redis) -> bool:
    return b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")
