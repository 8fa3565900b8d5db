"""How clients of Kafka are made: where it is, and the security that the settings ask for."""

from __future__ import annotations

import time
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from connectors.security import RefusedError
from connectors.settings import settings

ANSWER_SECONDS = 30.0
EXPLAIN_SECONDS = 5.0
TELL_SECONDS = 10.0
FIRST_LOOK_SECONDS = 0.5

log = structlog.get_logger(__name__)


def for_confluent(brokers: str) -> dict[str, Any]:
    """The address and the security of a client of confluent-kafka.

    With security, what brokers refuse is logged, as such a client only tries again.
    """
    config = settings()
    found: dict[str, Any] = {"bootstrap.servers": brokers}
    if config.kafka_security_protocol == "PLAINTEXT":
        return found
    security = config.kafka_security
    found |= {"security.protocol": config.kafka_security_protocol, "error_cb": _Teller(brokers)}
    if security.is_tls:
        files = {
            "ssl.ca.location": security.ca_file,
            "ssl.certificate.location": security.certificate_file,
            "ssl.key.location": security.key_file,
        }
        found |= {name: file for name, file in files.items() if file}
    if config.kafka_user:
        found |= {
            "sasl.mechanism": config.kafka_sasl_mechanism,
            "sasl.username": config.kafka_user,
            "sasl.password": config.kafka_password.get_secret_value(),
        }
    return found


def for_aiokafka() -> dict[str, Any]:
    """The security of a client of aiokafka."""
    config = settings()
    found: dict[str, Any] = {"security_protocol": config.kafka_security_protocol}
    security = config.kafka_security
    if security.is_tls:
        found["ssl_context"] = security.context()
    if config.kafka_user:
        found |= {
            "sasl_mechanism": config.kafka_sasl_mechanism,
            "sasl_plain_username": config.kafka_user,
            "sasl_plain_password": config.kafka_password.get_secret_value(),
        }
    return found


def metadata(brokers: str, seconds: float = ANSWER_SECONDS) -> ClusterMetadata:
    """What a cluster says of itself.

    Raises:
        RefusedError: a broker is not trusted, or refuses the password.
        KafkaException: none answers in time.
    """
    errors: list[KafkaError] = []
    admin = AdminClient({**for_confluent(brokers), "error_cb": errors.append, "log_level": 2})
    deadline, look = time.monotonic() + seconds, FIRST_LOOK_SECONDS
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            return admin.list_topics(timeout=min(look, left))
        except KafkaException:
            admin.poll(0)
            for error in errors:
                if refused := refusal(error, brokers):
                    raise refused from None
            if not left:
                raise
            look *= 2


def refusal(error: KafkaError, brokers: str) -> RefusedError | None:
    """What an error means, if a broker is not trusted or refuses the password."""
    security, name, why = settings().kafka_security, f"Kafka at {brokers}", error.str()
    if error.code() == KafkaError._SSL or "SSL alert" in why:  # a refusal of ours may come later
        return security.untrusted(name, why)
    if error.code() == KafkaError._AUTHENTICATION:
        return security.unknown(name, why)
    return None


def explained(error: Exception, brokers: str) -> Exception:
    """An error of aiokafka, or the refusal that it came from, which such a client does not tell."""
    if settings().kafka_security_protocol != "PLAINTEXT":
        try:
            metadata(brokers, EXPLAIN_SECONDS)
        except RefusedError as refused:
            return refused
        except KafkaException:
            return error
    return error


class _Teller:
    """Logs why brokers refuse a client, now and then: it tries again up to 20 times a second."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._quiet_until = 0.0

    def __call__(self, error: KafkaError) -> None:
        refused = refusal(error, self._brokers)
        if refused is not None and time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + TELL_SECONDS
            log.error("kafka refuses", detail=str(refused))
