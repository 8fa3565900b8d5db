"""Apache Kafka: one node that is broker and controller (KRaft)."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
import uuid
from pathlib import Path

from connectors.settings import settings
from connectors.stack import jars
from connectors.stack.errors import StackError
from connectors.stack.java import LIGHT_COMPILER, java, shared_classes
from connectors.stack.parts import Part
from connectors.stack.ports import HOST, is_listening

CONTROLLER_PORT = 19_093  # or the next free one
MESSAGE_BYTES = 4 * 2**20

LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


def properties(port: int, controller_port: int, logs: Path) -> str:
    """The server.properties of the one node."""
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "log.dirs": logs,
        # A broker that was killed may come back once its old session has ended.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "auto.create.topics.enable": "false",
        "message.max.bytes": MESSAGE_BYTES,
        "replica.fetch.max.bytes": MESSAGE_BYTES,
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 4,
        "log.cleaner.dedupe.buffer.size": 32 * 2**20,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def cluster_id() -> str:
    """A new cluster's id: as Kafka makes them, without a dash that begins it, which its tools
    would take for an option."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made


class Kafka(Part):
    """The broker; its data directory is formatted at the first start."""

    name = "kafka"

    def command(self, stop: threading.Event) -> list[str]:
        config = settings()
        class_path = jars.class_path("kafka", self.say, stop)
        port, controller_port = self.reserve_ports(CONTROLLER_PORT)
        logging = self.write("log4j2.properties", LOG4J)
        temporary = self.directory("tmp", is_emptied=True)
        program = java(self.say)
        start = [
            str(program),
            *([] if self.is_lasting else [LIGHT_COMPILER]),
            *shared_classes(program),
            f"-Djava.io.tmpdir={temporary}",
            f"-Dlog4j2.configurationFile={logging.as_uri()}",
            "-Djava.awt.headless=true",
            "-XX:-UsePerfData",
            "-cp",
            os.pathsep.join(str(jar) for jar in class_path),
        ]
        data = self.home / "data"
        if not data.exists():
            self._format(start, port, controller_port, data)
        server = self.write("server.properties", properties(port, controller_port, data))
        heap = [f"-Xmx{config.kafka_heap}", "-XX:+ExitOnOutOfMemoryError"]
        pauses = [
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:InitiatingHeapOccupancyPercent=35",
        ]
        return [start[0], *heap, *pauses, *start[1:], "kafka.Kafka", str(server)]

    def _format(self, start: list[str], port: int, controller_port: int, data: Path) -> None:
        """Format a new data directory, under its name only once that is complete."""
        draft = self.directory("formatting", is_emptied=True)
        config = self.write("format.properties", properties(port, controller_port, draft))
        tool = ["kafka.tools.StorageTool", "format", "--standalone"]
        result = subprocess.run(
            [
                start[0],
                "-XX:+UseSerialGC",
                *start[1:],
                *tool,
                "--cluster-id",
                cluster_id(),
                "--config",
                str(config),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        if result.returncode:
            output = (result.stdout + result.stderr)[-4000:]
            raise StackError("kafka: formatting the data directory failed", output)
        draft.replace(data)

    def probe(self) -> str | None:
        if not is_listening(self.port):
            return None
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        try:
            brokers = admin.list_topics(timeout=2).brokers
        except KafkaException:
            return None
        return jars.version("kafka") if brokers else None
