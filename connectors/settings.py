"""Every setting of Headrace, in one typed place, read from the environment."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from connectors.part_settings import PartSettings
from connectors.push.keys import vapid_key, webhook_key
from connectors.secret_files import SecretFiles
from schemas.generation import LAST, VARIABLE

_ORIGIN = r"https?://[a-z0-9.-]+(:[0-9]{1,5})?"


def _xdg(variable: str, fallback: str) -> Path:
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "headrace"


class Settings(PartSettings):
    """The settings; each field's alias is the environment variable that sets it. A secret may be in
    a file, which the variable with `_FILE` behind its name says."""

    model_config = SettingsConfigDict(
        populate_by_name=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    schema_registry_url: SecretStr = Field(
        SecretStr(""),
        alias="SCHEMA_REGISTRY_URL",
        description="http(s)://user:password@host:port, a registry that gives the ids in events "
        "of producers; without it they are those of schemas/lock.json",
    )

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
    generation: int = Field(
        1, alias=VARIABLE, ge=1, le=LAST, description="see `headrace migrate partitions`"
    )
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

    otlp_endpoint: str = Field(
        "",
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=r"^(https?://[^@\s]+)?$",
        description="where traces are sent by OTLP/HTTP, http://host:4318; none are made if empty",
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
    ranking: str = Field(
        "",
        alias="HEADRACE_RANKING",
        description="a TOML file with weights of the ranked feed, for those not as below",
    )

    jwks: str = Field(
        "",
        alias="HEADRACE_JWKS",
        pattern=r"^(https://[!-~]+|http://(localhost|127\.0\.0\.1|\[::1\])[:/][!-~]*|/.+)?$",
        description="the key set (JWKS) of who issues tokens by RS256 or ES256: https://... or a "
        "file; tokens by HS256 are then taken only if HEADRACE_JWT_SECRET is set",
    )
    jwt_audience: str = Field(
        "", alias="HEADRACE_JWT_AUDIENCE", description="`aud` of tokens, which is then required"
    )
    jwt_issuer: str = Field(
        "", alias="HEADRACE_JWT_ISSUER", description="`iss` of tokens, which is then required"
    )
    jwt_leeway_seconds: int = Field(
        5,
        alias="HEADRACE_JWT_LEEWAY_SECONDS",
        ge=0,
        le=300,
        description="by how much clocks may differ when a token's times are judged",
    )

    trying_out: bool = Field(
        False,
        alias="HEADRACE_TRYING_OUT",
        description="whether the page at / gets tokens for any user; only on the loopback "
        "interface",
    )
    monitors: str = Field(
        "",
        alias="HEADRACE_MONITORS",
        pattern=r"^(https?://[^\s,]+(,https?://[^\s,]+)*)?$",
        description="addresses of the workers' monitors, for links on the page: http://host:port,...",
    )

    cors_origins: str = Field(
        "",
        alias="HEADRACE_CORS_ORIGINS",
        pattern=rf"^(\*|{_ORIGIN}(,{_ORIGIN})*)?$",
        description="whose pages may use the API in a browser: https://app.example.com,... or *; "
        "none if empty",
    )

    posts_per_minute: int = Field(
        5,
        alias="HEADRACE_POSTS_PER_MINUTE",
        ge=0,
        le=60_000_000,
        description="how many posts the API takes of a user, at once and a minute; 0 is no limit",
    )
    engagements_per_minute: int = Field(
        120, alias="HEADRACE_ENGAGEMENTS_PER_MINUTE", ge=0, le=60_000_000
    )
    follows_per_minute: int = Field(
        60,
        alias="HEADRACE_FOLLOWS_PER_MINUTE",
        ge=0,
        le=60_000_000,
        description="and unfollows",
    )
    batches_per_minute: int = Field(
        600,
        alias="HEADRACE_BATCHES_PER_MINUTE",
        ge=0,
        le=60_000_000,
        description="of up to 1,000 events, of a producer",
    )
    writes_per_minute: int = Field(
        60,
        alias="HEADRACE_WRITES_PER_MINUTE",
        ge=0,
        le=60_000_000,
        description="of all other kinds together",
    )

    spam_rules: Path | None = Field(
        None,
        alias="HEADRACE_SPAM_RULES",
        description="a JSON file that says which texts the API refuses as spam",
    )
    media_hosts: str = Field(
        "",
        alias="HEADRACE_MEDIA_HOSTS",
        pattern=r"^(\*\.)?[a-z0-9.-]+(,(\*\.)?[a-z0-9.-]+)*$|^$",
        description="from which hosts the API takes media: cdn.example.com,*.example.org; from any "
        "if there are none",
    )

    streams: int = Field(
        10_000,
        alias="HEADRACE_STREAMS",
        ge=0,
        description="streams of changes (/api/v1/stream) that a process of the API serves",
    )
    streams_per_user: int = Field(
        5, alias="HEADRACE_STREAMS_PER_USER", ge=1, description="of these, of one user"
    )
    stream_seconds: float = Field(
        3600.0,
        alias="HEADRACE_STREAM_SECONDS",
        gt=0,
        description="a stream ends after so long; its client comes back, and misses nothing",
    )
    stream_idle_seconds: float = Field(
        60.0,
        alias="HEADRACE_STREAM_IDLE_SECONDS",
        gt=0,
        description="a stream whose client takes nothing for so long is dropped",
    )
    stream_heartbeat_seconds: float = Field(
        15.0,
        alias="HEADRACE_STREAM_HEARTBEAT_SECONDS",
        gt=0,
        description="how often a stream says that it goes on",
    )
    stream_replay_records: int = Field(
        20_000,
        alias="HEADRACE_STREAM_REPLAY_RECORDS",
        ge=0,
        description="a client that comes back gets what it has missed if it is in so many of the "
        "newest records of each log, else it is told to read the feed",
    )

    webhook_url: str = Field(
        "",
        alias="HEADRACE_WEBHOOK_URL",
        pattern=r"^(https?://[!-~]+)?$",
        description="where every notification is posted, in the form of Standard Webhooks",
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        alias="HEADRACE_WEBHOOK_SECRET",
        description="signs them: whsec_ and the base64 of 24 to 64 bytes",
    )
    vapid_key: SecretStr = Field(
        SecretStr(""),
        alias="HEADRACE_VAPID_KEY",
        description="private key for Web Push, 32 bytes in base64url; browsers subscribe with its "
        "public key",
    )
    vapid_subject: str = Field(
        "",
        alias="HEADRACE_VAPID_SUBJECT",
        pattern=r"^((mailto:[^@\s]+@|https://)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?$",
        description="whom a push service may turn to: mailto:... or https://...",
    )
    fcm_credentials: str = Field(
        "",
        alias="HEADRACE_FCM_CREDENTIALS",
        description="the JSON file of a service account of the Firebase project",
    )
    fcm_url: str = Field(
        "https://fcm.googleapis.com", alias="HEADRACE_FCM_URL", pattern=r"^https?://[^/]+$"
    )
    apns_key_file: str = Field(
        "", alias="HEADRACE_APNS_KEY_FILE", description="the .p8 file that signs for Apple"
    )
    apns_key_id: str = Field("", alias="HEADRACE_APNS_KEY_ID", pattern="^([A-Z0-9]{10})?$")
    apns_team_id: str = Field("", alias="HEADRACE_APNS_TEAM_ID", pattern="^([A-Z0-9]{10})?$")
    apns_topic: str = Field(
        "",
        alias="HEADRACE_APNS_TOPIC",
        pattern=r"^[A-Za-z0-9.-]*$",
        description="the app's bundle id",
    )
    apns_url: str = Field(
        "https://api.push.apple.com",
        alias="HEADRACE_APNS_URL",
        pattern=r"^https://[^/]+$",
        description="https://api.sandbox.push.apple.com for apps in development",
    )
    push_ttl_seconds: int = Field(
        86_400,
        alias="HEADRACE_PUSH_TTL_SECONDS",
        ge=60,
        le=28 * 86_400,
        description="a notification that is older is not delivered to devices any more",
    )
    push_loopback: bool = Field(
        False,
        alias="HEADRACE_PUSH_LOOPBACK",
        description="whether subscriptions for Web Push may name this machine, as in tests",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, files of secrets, the environment (where a secret may be set to nothing)."""
        return init_settings, SecretFiles(settings_cls), env_settings

    @property
    def registry_address(self) -> str:
        """What `schema_registry_url` hides."""
        return self.schema_registry_url.get_secret_value()

    @property
    def cors_origin_names(self) -> tuple[str, ...]:
        """The origins in `cors_origins`."""
        return tuple(filter(None, self.cors_origins.split(",")))

    @property
    def monitor_addresses(self) -> list[str]:
        """The addresses in `monitors`."""
        return list(filter(None, self.monitors.split(",")))

    @property
    def media_host_names(self) -> tuple[str, ...]:
        """The hosts in `media_hosts`."""
        return tuple(filter(None, self.media_hosts.split(",")))

    @field_validator("schema_registry_url")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not re.fullmatch(r"https?://([!-~]+@)?[^\s/?#@]+(/[^\s?#@]*)?", url):
            raise ValueError("SCHEMA_REGISTRY_URL must be http(s)://user:password@host:port")
        return value

    @field_validator("webhook_secret", "vapid_key")
    @classmethod
    def _is_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        assert info.field_name is not None
        check = {"webhook_secret": webhook_key, "vapid_key": vapid_key}[info.field_name]
        if value.get_secret_value():
            try:
                check(value.get_secret_value())
            except ValueError as error:
                raise ValueError(f"{_variable(info.field_name)} {error}") from None
        return value

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        for together in (
            ("webhook_url", "webhook_secret"),
            ("vapid_key", "vapid_subject"),
            ("apns_key_file", "apns_key_id", "apns_team_id", "apns_topic"),
        ):
            given = [name for name in together if getattr(self, name) not in ("", SecretStr(""))]
            lacking = [_variable(name) for name in together if name not in given]
            if given and lacking:
                raise ValueError(f"{_variable(given[0])} needs {', '.join(lacking)} too")
        return self

    @model_validator(mode="after")
    def _can_give_tokens(self) -> Self:
        if self.trying_out and self.jwks and not self.jwt_secret.get_secret_value():
            raise ValueError("HEADRACE_TRYING_OUT beside HEADRACE_JWKS needs HEADRACE_JWT_SECRET")
        return self

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value().encode()) < 32:
            raise ValueError("HEADRACE_JWT_SECRET must be at least 32 bytes")
        return value


def _variable(name: str) -> str:
    return str(Settings.model_fields[name].alias)


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
