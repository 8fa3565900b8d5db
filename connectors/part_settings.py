"""The settings that say where Kafka, Redis and Cassandra are, and how they are reached."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from connectors.loopback import is_loopback
from connectors.security import Security

_FILES = ("ca_file", "certificate_file", "key_file")
_IDENTITY = ("user", "password")


class PartSettings(BaseSettings):
    """The settings of the parts.

    Addresses left empty mean: use the local stack that is running, or start one. That has no TLS
    and no passwords, and listens on the loopback interface alone.
    """

    kafka_brokers: str = Field("", alias="KAFKA_BROKERS", description="host:port,host:port")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        alias="KAFKA_SECURITY_PROTOCOL",
        description="SSL and SASL_SSL are by TLS; SASL_... with KAFKA_USER and KAFKA_PASSWORD",
    )
    kafka_ca_file: str = Field(
        "",
        alias="KAFKA_CA_FILE",
        description="certificates (PEM) of who signs those of the brokers; else those that the "
        "system trusts",
    )
    kafka_certificate_file: str = Field(
        "", alias="KAFKA_CERTIFICATE_FILE", description="ours (PEM), if brokers ask for one"
    )
    kafka_key_file: str = Field(
        "", alias="KAFKA_KEY_FILE", description="the key of that certificate, not encrypted"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", alias="KAFKA_SASL_MECHANISM"
    )
    kafka_user: str = Field("", alias="KAFKA_USER")
    kafka_password: SecretStr = Field(SecretStr(""), alias="KAFKA_PASSWORD")

    redis_url: str = Field(
        "",
        alias="REDIS_URL",
        description="redis://host:port/0, any server of a cluster; rediss:// is by TLS",
    )
    redis_ca_file: str = Field(
        "", alias="REDIS_CA_FILE", description="as KAFKA_CA_FILE, beside what the system trusts"
    )
    redis_certificate_file: str = Field("", alias="REDIS_CERTIFICATE_FILE")
    redis_key_file: str = Field("", alias="REDIS_KEY_FILE")
    redis_user: str = Field(
        "", alias="REDIS_USER", description="the ACL user, `default` if left out"
    )
    redis_password: SecretStr = Field(SecretStr(""), alias="REDIS_PASSWORD")

    cassandra_hosts: str = Field(
        "", alias="CASSANDRA_HOSTS", description="host:port,host:port (port 9042 if left out)"
    )
    cassandra_keyspace: str = Field("headrace", alias="CASSANDRA_KEYSPACE")
    cassandra_tls: bool = Field(False, alias="CASSANDRA_TLS", description="whether it is by TLS")
    cassandra_ca_file: str = Field("", alias="CASSANDRA_CA_FILE", description="as KAFKA_CA_FILE")
    cassandra_certificate_file: str = Field("", alias="CASSANDRA_CERTIFICATE_FILE")
    cassandra_key_file: str = Field("", alias="CASSANDRA_KEY_FILE")
    cassandra_check_hostname: bool = Field(
        True,
        alias="CASSANDRA_CHECK_HOSTNAME",
        description="whether a certificate must name the address by which its server is reached: "
        "of those that the cluster tells of, the IP address",
    )
    cassandra_user: str = Field("", alias="CASSANDRA_USER")
    cassandra_password: SecretStr = Field(SecretStr(""), alias="CASSANDRA_PASSWORD")

    @property
    def kafka_security(self) -> Security:
        """How Kafka is reached."""
        return self._security("kafka", is_tls=self.kafka_security_protocol.endswith("SSL"))

    @property
    def redis_security(self) -> Security:
        """How Redis is reached."""
        return self._security("redis", is_tls=self.redis_url.startswith("rediss://"))

    @property
    def cassandra_security(self) -> Security:
        """How Cassandra is reached."""
        return self._security("cassandra", is_tls=self.cassandra_tls)

    def _security(self, part: str, *, is_tls: bool) -> Security:
        values = {name: getattr(self, f"{part}_{name}") for name in (*_FILES, *_IDENTITY)}
        return Security(part.upper(), is_tls, **values)

    @model_validator(mode="after")
    def _are_sound(self) -> Self:
        url = urlsplit(self.redis_url)
        if url.password is not None or "password" in parse_qs(url.query):
            raise ValueError(
                "REDIS_URL must not have a password, which would show: set REDIS_PASSWORD, and "
                "REDIS_USER if it is not the default user's"
            )
        is_sasl = self.kafka_security_protocol.startswith("SASL_")
        if is_sasl:
            _need("KAFKA_SECURITY_PROTOCOL", self, "kafka_user", "kafka_password")
        elif self.kafka_user or self.kafka_password.get_secret_value():
            raise ValueError("KAFKA_USER and KAFKA_PASSWORD need KAFKA_SECURITY_PROTOCOL SASL_SSL")
        if self.kafka_security_protocol != "PLAINTEXT":
            _need("KAFKA_SECURITY_PROTOCOL", self, "kafka_brokers")
        if self.cassandra_tls:
            _need("CASSANDRA_TLS", self, "cassandra_hosts")
        for name in ("cassandra_user", "cassandra_password"):
            if getattr(self, name) not in ("", SecretStr("")):
                _need(_variable(name), self, "cassandra_user", "cassandra_password")
        if self.redis_user:
            _need("REDIS_USER", self, "redis_password")
        by_tls = "a KAFKA_SECURITY_PROTOCOL with SSL"
        _check(self.kafka_security, self.kafka_brokers, "KAFKA_BROKERS", by_tls)
        redis = "localhost" if url.scheme == "unix" else url.netloc
        _check(self.redis_security, redis, "REDIS_URL", "a REDIS_URL with rediss://")
        _check(self.cassandra_security, self.cassandra_hosts, "CASSANDRA_HOSTS", "CASSANDRA_TLS")
        return self


def _check(security: Security, hosts: str, where: str, tls: str) -> None:
    """See that what is said of a part goes together, and that its files can be used.

    Raises:
        ValueError: it does not; names the settings.
    """
    files = [name for name in _FILES if getattr(security, name)]
    has_password = bool(security.password.get_secret_value())
    if has_password and not hosts:
        raise ValueError(f"{security.variable('password')} needs {where}")
    if files and not security.is_tls:
        raise ValueError(f"{security.variable(files[0])} needs {tls}")
    if bool(security.certificate_file) != bool(security.key_file):
        both = [security.variable(name) for name in ("certificate_file", "key_file")]
        raise ValueError(f"{' and '.join(both)} need each other")
    if has_password and not security.is_tls:
        for host in map(_host, hosts.split(",")):
            if not is_loopback(host):
                raise ValueError(
                    f"{security.variable('password')} for {host} needs {tls}: without TLS a "
                    "password is for servers on the loopback interface alone"
                )
    if security.is_tls:
        security.context()


def _host(address: str) -> str:
    return urlsplit(f"//{address.strip()}").hostname or ""


def _need(variable: str, settings: PartSettings, *names: str) -> None:
    lacking = [name for name in names if getattr(settings, name) in ("", SecretStr(""))]
    if lacking:
        raise ValueError(f"{variable} needs {', '.join(map(_variable, lacking))}")


def _variable(name: str) -> str:
    return str(PartSettings.model_fields[name].alias)
