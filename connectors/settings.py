"""Every setting of Headrace, in one typed place, read from the environment."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _xdg(variable: str, fallback: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "headrace"


class Settings(BaseSettings):
    """The settings; each field's alias is the environment variable that sets it.

    Addresses left empty mean: use the local stack that is running, or start one.
    """

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    kafka_brokers: str = Field("", alias="KAFKA_BROKERS", description="host:port,host:port")
    redis_url: str = Field(
        "", alias="REDIS_URL", description="redis://host:port/0, any server of a cluster"
    )
    cassandra_hosts: str = Field(
        "", alias="CASSANDRA_HOSTS", description="host:port,host:port (port 9042 if left out)"
    )
    cassandra_keyspace: str = Field("headrace", alias="CASSANDRA_KEYSPACE")

    data_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share"),
        alias="HEADRACE_DATA_DIR",
        description="data and logs of the local stack",
    )
    cache_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache"),
        alias="HEADRACE_CACHE_DIR",
        description="jars of the local stack",
    )
    kafka_port: int = Field(9092, alias="HEADRACE_KAFKA_PORT")
    redis_port: int = Field(6379, alias="HEADRACE_REDIS_PORT")
    cassandra_port: int = Field(9042, alias="HEADRACE_CASSANDRA_PORT")
    kafka_heap: str = Field("1g", alias="HEADRACE_KAFKA_HEAP")
    cassandra_heap: str = Field("2g", alias="HEADRACE_CASSANDRA_HEAP")

    partitions: int = Field(8, alias="HEADRACE_PARTITIONS", ge=1, le=4096)
    replication: int = Field(1, alias="HEADRACE_REPLICATION", ge=1, le=7)

    heavy_followers: int = Field(
        10_000,
        alias="HEADRACE_HEAVY_FOLLOWERS",
        ge=1,
        description="a source with so many followers is heavy: its activities are not pushed onto "
        "timelines but pulled by readers, until it has less than nine tenths of them",
    )

    reports_to_hide: int = Field(
        10,
        alias="HEADRACE_REPORTS_TO_HIDE",
        ge=1,
        description="a post that so many users have reported since a moderator last judged it is "
        "hidden until one does",
    )

    state: Literal["memory", "rocksdb"] = Field(
        "memory",
        alias="HEADRACE_STATE",
        description="where workers keep their rows: in memory, or on disk (in "
        "HEADRACE_DATA_DIR/state), from which a restart goes on",
    )
    standbys: int = Field(
        1,
        alias="HEADRACE_STANDBYS",
        ge=0,
        description="how many other workers keep a copy of each partition's rows, and need not "
        "restore them when they take it over; each copy costs what the rows cost",
    )
    worker_id: str = Field(
        "",
        alias="HEADRACE_WORKER_ID",
        description="a lasting name of this worker: after a restart it gets its partitions back "
        "at once (static group membership)",
    )

    stall_seconds: float = Field(
        120.0,
        alias="HEADRACE_STALL_SECONDS",
        ge=1,
        description="a worker with records waiting of which none moved for so long ends itself; "
        "so does one that opens partitions of which none moved (90 s at least)",
    )

    api_host: str = Field("127.0.0.1", alias="HEADRACE_API_HOST")
    api_port: int = Field(8080, alias="HEADRACE_API_PORT")
    monitor_host: str = Field("127.0.0.1", alias="HEADRACE_MONITOR_HOST")
    monitor_port: int = Field(6066, alias="HEADRACE_MONITOR_PORT")
    jwt_secret: SecretStr = Field(
        SecretStr(""), alias="HEADRACE_JWT_SECRET", description="HS256 key, 32 bytes or more"
    )

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value().encode()) < 32:
            raise ValueError("HEADRACE_JWT_SECRET must be at least 32 bytes")
        return value


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
