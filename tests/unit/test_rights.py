"""The rights of `deploy/rights`: enough for what the apps say that they need, and for no more users
or topics than there are; and what is said when some are missing."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclBinding, AclOperation, ResourcePatternType, ResourceType

import topology
from connectors import rights as checked
from connectors.cassandra_tables import TABLES
from connectors.redis_keys import Keys
from connectors.rights import READ, WRITE, MissingRightsError, check_rights
from schemas.topics import declared
from streams.engine.app import VIEWS_GROUP
from streams.engine.rights import groups_needed, topics_needed
from tests import rights

IMPLIED = {AclOperation.DESCRIBE: {AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE}}
DOCS = Path(__file__).parents[2] / "docs" / "operating.md"


@pytest.fixture(scope="module")
def acls(tmp_path_factory: pytest.TempPathFactory) -> list[AclBinding]:
    return rights.kafka_acls(tmp_path_factory.mktemp("rights"))


def may(acls: list[AclBinding], user: str, kind: ResourceType, name: str, what: Any) -> bool:
    """Whether a user has a right."""
    return any(
        acl.principal == f"User:{user}"
        and acl.restype == kind
        and acl.operation in IMPLIED.get(what, {what})
        and (
            acl.name == name
            if acl.resource_pattern_type == ResourcePatternType.LITERAL
            else name.startswith(acl.name)
        )
        for acl in acls
    )


@pytest.mark.parametrize("name", ["app", "views", "archive"])
def test_workers_have_what_they_need_in_kafka(acls: list[AclBinding], name: str) -> None:
    app = getattr(topology, name)
    topics = topics_needed(app.processors, app.stages)
    groups = groups_needed(app.conf.id, VIEWS_GROUP, app.stages)
    assert "dead-letters" in topics
    for kind, needed in ((ResourceType.TOPIC, topics), (ResourceType.GROUP, groups)):
        lacking = [
            (each, right)
            for each, wanted in needed.items()
            for right in wanted
            if not may(acls, f"headrace-{name}", kind, each, right)
        ]
        assert lacking == []


def test_all_topics_can_be_made(acls: list[AclBinding]) -> None:
    names = [spec.name for spec in declared()]
    for right in (AclOperation.CREATE, AclOperation.DESCRIBE):
        assert all(may(acls, "headrace-prepare", ResourceType.TOPIC, name, right) for name in names)


def test_rights_are_about_topics_that_there_are(acls: list[AclBinding]) -> None:
    names = [spec.name for spec in declared()]
    for acl in acls:
        if acl.restype == ResourceType.TOPIC:
            is_prefix = acl.resource_pattern_type == ResourcePatternType.PREFIXED
            assert any(n.startswith(acl.name) if is_prefix else n == acl.name for n in names), acl


def test_no_process_may_do_all(acls: list[AclBinding]) -> None:
    assert {acl.principal.removeprefix("User:headrace-") for acl in acls} == set(rights.IN_KAFKA)
    assert all(acl.operation != AclOperation.ALL for acl in acls)
    assert not any(acl.restype == ResourceType.BROKER for acl in acls)
    users = rights.redis_users()
    assert [each[2].removeprefix("headrace-") for each in users] == list(rights.IN_REDIS)
    assert all("-@all" in each and "nopass" not in each for each in users)
    assert not any(rule.startswith("+@") or rule in ("~*", "allkeys") for u in users for rule in u)


def test_every_kind_of_key_is_somebodys() -> None:
    keys, users = Keys(1), {each[2]: set(each[3:]) for each in rights.redis_users()}
    made = {
        name: str(getattr(keys, name)(*["x"] * count))
        for name, count in _takers(keys).items()
        if not name.startswith(("of_", "_"))
    }
    assert {"feed", "told", "limit"} <= set(made)
    for key in made.values():
        rule = f"~{key.partition(':')[0]}:*"
        assert any(rule in each for user, each in users.items() if user != "headrace-operator"), key


def _takers(keys: Keys) -> dict[str, int]:
    found = {}
    for name in vars(Keys):
        method = getattr(keys, name)
        if callable(method):
            code = getattr(method, "__code__", None) or method.__func__.__code__
            found[name] = code.co_argcount - ("self" in code.co_varnames[:1])
    return found


def test_statements_are_about_tables_and_roles_that_there_are() -> None:
    made = {each.split('"')[1] for each in rights.statements("cassandra-roles.cql")}
    assert made == {rights.user_of(process) for process in rights.IN_CASSANDRA}
    for statement in rights.statements("cassandra.cql"):
        words = statement.split()
        assert words[-1].strip('"') in made
        if "TABLE" in words:
            assert words[words.index("TABLE") + 1].removeprefix("headrace.") in TABLES


def test_the_table_of_the_docs_has_every_user() -> None:
    text = DOCS.read_text()
    for process in rights.IN_KAFKA:
        assert f"| `headrace-{process}` |" in text


def answer(*operations: AclOperation) -> Future[Any]:
    found: Future[Any] = Future()
    found.set_result(mock.Mock(authorized_operations=list(operations)))
    return found


def refusal(code: int) -> Future[Any]:
    found: Future[Any] = Future()
    found.set_exception(KafkaException(KafkaError(code)))
    return found


class Admin:
    """Stands in for a client of a Kafka that says what it lets others do."""

    def __init__(self, topics: dict[str, Future[Any]], groups: dict[str, Future[Any]]) -> None:
        self.topics = topics
        self.groups = groups

    def describe_topics(self, *_: Any, **__: Any) -> dict[str, Future[Any]]:
        return self.topics

    def describe_consumer_groups(self, *_: Any, **__: Any) -> dict[str, Future[Any]]:
        return self.groups


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has a Kafka answer, to whom is not anybody."""

    def ask(admin: Admin, protocol: str = "SASL_SSL") -> None:
        config = mock.Mock(kafka_security_protocol=protocol, kafka_user="ann")
        monkeypatch.setattr(checked, "settings", lambda: config)
        monkeypatch.setattr(checked, "metadata", lambda *_: None)
        monkeypatch.setattr(checked, "for_confluent", lambda _: {})
        monkeypatch.setattr(checked, "AdminClient", lambda _: admin)
        check_rights("k:1", {"in": {READ}, "out": {READ, WRITE}}, {"g": {READ}})

    return ask


def test_who_has_all_rights_may_begin(asked: Any) -> None:
    all_of = answer(*AclOperation)
    asked(Admin({"in": all_of, "out": all_of}, {"g": all_of}))


def test_what_is_missing_is_named(asked: Any) -> None:
    hidden = refusal(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    theirs = refusal(KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(MissingRightsError) as error:
        asked(Admin({"in": answer(WRITE), "out": hidden}, {"g": theirs}))
    assert str(error.value).startswith(
        "Kafka at k:1 does not let ann Read the topic in, Read and Write the topic out, "
        "Read the group g.\n"
    )


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError.GROUP_ID_NOT_FOUND])
def test_what_is_not_answered_is_not_missing(asked: Any, code: int) -> None:
    asked(Admin({"in": refusal(code), "out": answer(READ, WRITE)}, {"g": refusal(code)}))


def test_without_security_nobody_is_asked(asked: Any) -> None:
    asked(Admin({"in": answer()}, {}), "PLAINTEXT")
