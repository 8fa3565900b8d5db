"""Apache Cassandra: one node."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from connectors.settings import settings
from connectors.stack import jars
from connectors.stack.java import LIGHT_COMPILER, java, shared_classes
from connectors.stack.parts import Part
from connectors.stack.ports import HOST, is_listening

STORAGE_PORT = 17_000  # or the next free one

# What Cassandra's own jvm17-server.options opens to it.
EXPORTS = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.unsupported/sun.misc",
)
OPENS = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
)

LOGBACK = """\
<configuration scan="false">
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>[%d] %level %msg \\(%logger{0}\\)%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""


def yaml(port: int, storage_port: int, data: Path) -> str:
    """The cassandra.yaml of the one node (JSON, which is YAML too)."""
    values: dict[str, Any] = {
        "cluster_name": "headrace",
        "num_tokens": 1,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": f"{HOST}:{storage_port}"}],
            }
        ],
        "listen_address": HOST,
        "rpc_address": HOST,
        "storage_port": storage_port,
        "native_transport_port": port,
        "data_file_directories": [str(data / "data")],
        "commitlog_directory": str(data / "commitlog"),
        "saved_caches_directory": str(data / "saved_caches"),
        "hints_directory": str(data / "hints"),
        "cdc_raw_directory": str(data / "cdc_raw"),
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "1000ms",
        "commitlog_segment_size": "32MiB",
        "commitlog_total_space": "512MiB",
        "disk_failure_policy": "die",
        "commit_failure_policy": "die",
        "auto_snapshot": False,
        "auto_bootstrap": False,
        "hinted_handoff_enabled": False,
        "concurrent_reads": 16,
        "concurrent_writes": 16,
        "concurrent_compactors": 1,
        "memtable_allocation_type": "offheap_objects",  # 16 % less CPU time a row
        "memtable_heap_space": "256MiB",
        "memtable_offheap_space": "256MiB",
        "key_cache_size": "16MiB",
        "row_cache_size": "0MiB",
        "counter_cache_size": "0MiB",
        "file_cache_size": "64MiB",
        "networking_cache_size": "32MiB",
        "prepared_statements_cache_size": "16MiB",
        "batch_size_warn_threshold": "64KiB",
        "batch_size_fail_threshold": "640KiB",
        "unlogged_batch_across_partitions_warn_threshold": 1000,
        # One busy machine: rather late than failed.
        "read_request_timeout": "10000ms",
        "range_request_timeout": "20000ms",
        "write_request_timeout": "10000ms",
        "request_timeout": "20000ms",
    }
    return json.dumps(values, indent=1)


class Cassandra(Part):
    """The views that outlive Redis."""

    name = "cassandra"
    ready_s = 180.0

    def command(self, stop: threading.Event) -> list[str]:
        class_path = jars.class_path("cassandra", self.say, stop)
        port, storage_port = self.reserve_ports(STORAGE_PORT)
        data = self.directory("data")
        config = self.write("cassandra.yaml", yaml(port, storage_port, data))
        logging = self.write("logback.xml", LOGBACK)
        meter = next(jar for jar in class_path if jar.name.startswith("jamm-"))
        program = java(self.say)
        return [
            str(program),
            *([] if self.is_lasting else [LIGHT_COMPILER]),
            *shared_classes(program),
            f"-Xmx{settings().cassandra_heap}",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=300",
            "-XX:+ParallelRefProcEnabled",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            f"-javaagent:{meter}",
            *(f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTS),
            *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENS),
            "-Djdk.attach.allowAttachSelf=true",
            "-Dio.netty.tryReflectionSetAccessible=true",
            "-Dio.netty.allocator.useCacheForAllThreads=true",
            "-Dio.netty.allocator.maxOrder=11",
            "-Djava.net.preferIPv4Stack=true",
            f"-Djava.io.tmpdir={self.directory('tmp', is_emptied=True)}",
            f"-Dlogback.configurationFile={logging}",
            f"-Dcassandra.config={config.as_uri()}",
            f"-Dcassandra.storagedir={data}",
            f"-Dcassandra.logdir={self.home}",
            "-Dcassandra-foreground=yes",  # or it closes its output
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=1",
            "-Dcassandra.shutdown_announce_in_ms=0",
            "-cp",
            os.pathsep.join(str(jar) for jar in class_path),
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def probe(self) -> str | None:
        if not is_listening(self.port):
            return None
        from cassandra.cluster import (
            EXEC_PROFILE_DEFAULT,
            Cluster,
            ExecutionProfile,
            NoHostAvailable,
        )
        from cassandra.policies import RoundRobinPolicy

        cluster = Cluster(
            [HOST],
            port=self.port,
            protocol_version=5,
            execution_profiles={
                EXEC_PROFILE_DEFAULT: ExecutionProfile(load_balancing_policy=RoundRobinPolicy())
            },
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
        )
        try:
            row = cluster.connect().execute("SELECT release_version FROM system.local").one()
        except NoHostAvailable:
            return None
        finally:
            cluster.shutdown()
        return str(row.release_version)
