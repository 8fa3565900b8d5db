"""What a process may do in Kafka, asked for before it begins: who lacks a right to read is told
nothing by Kafka's clients, and waits for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from connectors.kafka import for_confluent, metadata
from connectors.settings import settings

ANSWER_SECONDS = 10.0
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE

Needed = Mapping[str, set[AclOperation]]
"""By the name of a topic, or of a group."""

_REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


class MissingRightsError(Exception):
    """Kafka does not let this process do what it needs to."""

    def __init__(self, brokers: str, missing: list[str]) -> None:
        super().__init__(
            f"Kafka at {brokers} does not let {settings().kafka_user or 'this process'} "
            f"{', '.join(missing)}.\nhint: deploy/rights/kafka.sh gives each process what it needs"
        )


def check_rights(brokers: str, topics: Needed, groups: Needed) -> None:
    """See whether this process has the rights that it needs; without security it is not asked.

    What Kafka does not answer in time is left to who needs it.

    Raises:
        MissingRightsError: it lacks some; says which.
        RefusedError: a broker is not trusted, or refuses the password.
    """
    if settings().kafka_security_protocol == "PLAINTEXT":
        return
    try:
        metadata(brokers, ANSWER_SECONDS)
    except KafkaException:
        return
    admin = AdminClient({**for_confluent(brokers), "log_level": 2})
    asked: dict[str, Any] = {
        "include_authorized_operations": True,
        "request_timeout": ANSWER_SECONDS,
    }
    missing = [
        *_missing("topic", topics, admin.describe_topics(TopicCollection([*topics]), **asked)),
        *_missing("group", groups, admin.describe_consumer_groups([*groups], **asked)),
    ]
    if missing:
        raise MissingRightsError(brokers, missing)


def _missing(kind: str, needed: Needed, answers: Mapping[str, Future[Any]]) -> Iterator[str]:
    for name, answer in answers.items():
        try:
            operations = answer.result().authorized_operations
        except KafkaException as error:
            if error.args[0].code() not in _REFUSED:
                continue
            operations = []
        if operations is not None:
            lacking = sorted(each.name.capitalize() for each in needed[name] - set(operations))
            if lacking:
                yield f"{' and '.join(lacking)} the {kind} {name}"
