"""TLS and passwords: which settings go together, what shows, and that every client gets them."""

from __future__ import annotations

import ast
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import KafkaError
from pydantic import ValidationError
from redis import exceptions as redis_errors
from structlog.testing import capture_logs

from connectors import cassandra, kafka, redis
from connectors.security import RefusedError
from connectors.settings import Settings, settings
from headrace.cli import main
from tests.certificates import Certificates

ROOT = Path(__file__).parents[2]
OUR_OWN = {Path("connectors/stack"), Path("headrace/chaos")}
"""Where clients of parts are made that were started here, which have neither TLS nor passwords."""

WORDS = ("bootstrap.servers", "AIOKafka", "from_url", "Redis(", "RedisCluster(", "Cluster(")
KAFKA = {"KAFKA_BROKERS": "kafka.example:9093", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
ANN = {"KAFKA_USER": "ann", "KAFKA_PASSWORD": "lake-and-river"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are read anew, and those of the machine do not count."""
    for name in os.environ:
        if name.startswith(("KAFKA_", "REDIS_", "CASSANDRA_")):
            monkeypatch.delenv(name)
    settings.cache_clear()
    yield
    settings.cache_clear()


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {**KAFKA, **ANN},
        {**KAFKA, **ANN, "KAFKA_SASL_MECHANISM": "PLAIN"},
        {"KAFKA_BROKERS": "kafka.example:9093", "KAFKA_SECURITY_PROTOCOL": "SSL"},
        {
            "KAFKA_BROKERS": "127.0.0.1:9092, localhost:9093,[::1]:9094",
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            **ANN,
        },
        {"REDIS_URL": "rediss://redis.example:6379/0", "REDIS_PASSWORD": "lake-and-river"},
        {"REDIS_URL": "redis://127.0.0.1/0", "REDIS_USER": "ann", "REDIS_PASSWORD": "lake"},
        {"REDIS_URL": "unix:///run/redis.sock", "REDIS_PASSWORD": "lake-and-river"},
        {
            "CASSANDRA_HOSTS": "cassandra.example",
            "CASSANDRA_TLS": "true",
            "CASSANDRA_USER": "ann",
            "CASSANDRA_PASSWORD": "lake-and-river",
        },
    ],
)
def test_what_goes_together(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    given(monkeypatch, values)
    Settings()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (KAFKA, "KAFKA_SECURITY_PROTOCOL needs KAFKA_USER, KAFKA_PASSWORD"),
        ({**KAFKA, "KAFKA_USER": "ann"}, "KAFKA_SECURITY_PROTOCOL needs KAFKA_PASSWORD"),
        ({**KAFKA, **ANN, "KAFKA_BROKERS": ""}, "KAFKA_SECURITY_PROTOCOL needs KAFKA_BROKERS"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SECURITY_PROTOCOL needs KAFKA_BROKERS"),
        (
            {**KAFKA, **ANN, "KAFKA_SECURITY_PROTOCOL": "SSL"},
            "KAFKA_USER and KAFKA_PASSWORD need KAFKA_SECURITY_PROTOCOL SASL_SSL",
        ),
        (
            {**KAFKA, **ANN, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
            "KAFKA_PASSWORD for kafka.example needs a KAFKA_SECURITY_PROTOCOL with SSL",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
        ({"KAFKA_CA_FILE": "ca.pem"}, "KAFKA_CA_FILE needs "),
        ({"REDIS_URL": "rediss://ann:lake-and-river@redis.example"}, "set REDIS_PASSWORD"),
        ({"REDIS_URL": "rediss://redis.example?password=lake-and-river"}, "set REDIS_PASSWORD"),
        ({"REDIS_PASSWORD": "lake-and-river"}, "REDIS_PASSWORD needs REDIS_URL"),
        (
            {"REDIS_URL": "rediss://redis.example", "REDIS_USER": "ann"},
            "REDIS_USER needs REDIS_PASSWORD",
        ),
        (
            {"REDIS_URL": "redis://redis.example", "REDIS_PASSWORD": "lake-and-river"},
            "REDIS_PASSWORD for redis.example needs a REDIS_URL with rediss://",
        ),
        (
            {"REDIS_URL": "redis://127.0.0.1", "REDIS_CA_FILE": "ca.pem"},
            "REDIS_CA_FILE needs a REDIS_URL with rediss://",
        ),
        ({"CASSANDRA_TLS": "true"}, "CASSANDRA_TLS needs CASSANDRA_HOSTS"),
        (
            {"CASSANDRA_HOSTS": "127.0.0.1", "CASSANDRA_PASSWORD": "lake-and-river"},
            "CASSANDRA_PASSWORD needs CASSANDRA_USER",
        ),
        (
            {
                "CASSANDRA_HOSTS": "127.0.0.1:9042,cassandra.example:9042",
                "CASSANDRA_USER": "ann",
                "CASSANDRA_PASSWORD": "lake-and-river",
            },
            "CASSANDRA_PASSWORD for cassandra.example needs CASSANDRA_TLS",
        ),
        (
            {"CASSANDRA_HOSTS": "127.0.0.1", "CASSANDRA_KEY_FILE": "key.pem"},
            "CASSANDRA_KEY_FILE needs CASSANDRA_TLS",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], why: str
) -> None:
    given(monkeypatch, values)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert why in str(refused.value)
    assert "lake-and-river" not in str(refused.value)


@pytest.mark.parametrize("part", ["KAFKA", "REDIS", "CASSANDRA"])
@pytest.mark.parametrize(
    ("name", "file", "why"),
    [
        ("CA_FILE", "nowhere.pem", "CA_FILE: "),
        ("CA_FILE", "key.pem", "CA_FILE: "),
        ("KEY_FILE", "ca.pem", "KEY_FILE"),
        ("KEY_FILE", "locked.pem", "not encrypted"),
        ("KEY_FILE", "", "need each other"),
    ],
)
def test_files_are_looked_into_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    part: str,
    name: str,
    file: str,
    why: str,
) -> None:
    given(monkeypatch, by_tls(part, "parts.example:9093", certificates))
    Settings()

    path = str(certificates.ca.parent / file) if file else ""
    given(monkeypatch, {f"{part}_{name}": path})
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert f"{part}_{name}" in str(refused.value)
    assert why in str(refused.value)


def test_the_example_of_the_documentation_works(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    section = (ROOT / "docs/operating.md").read_text().partition("## TLS and passwords\n")[2]
    example = section.partition("```sh\n")[2].partition("```")[0]
    values = dict(re.findall(r"^export (\w+)=(\S+)", example, re.MULTILINE))
    assert len(values) == 15
    here = str(certificates.ca.parent)
    given(monkeypatch, {n: v.replace("/etc/headrace", here) for n, v in values.items()})
    found = Settings()
    parts = (found.kafka_security, found.redis_security, found.cassandra_security)
    assert all(part.is_tls and part.user == "headrace" for part in parts)


def test_no_password_shows(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    given(
        monkeypatch,
        {
            **KAFKA,
            **ANN,
            **certificates.settings("KAFKA"),
            "REDIS_URL": "rediss://redis.example",
            "REDIS_PASSWORD": "lake-and-river",
            "CASSANDRA_HOSTS": "127.0.0.1",
            "CASSANDRA_USER": "ann",
            "CASSANDRA_PASSWORD": "lake-and-river",
        },
    )
    shown = CliRunner().invoke(main, ["config"], env={"COLUMNS": "400"}).output
    assert "KAFKA_PASSWORD" in shown
    config = Settings()
    everything = (shown, str(config), repr(config), repr(config.kafka_security))
    assert not [text for text in everything if "lake-and-river" in text]


def test_clients_of_kafka_are_plain_unless_it_is_said_otherwise() -> None:
    assert kafka.for_confluent("127.0.0.1:9092") == {"bootstrap.servers": "127.0.0.1:9092"}
    assert kafka.for_aiokafka() == {"security_protocol": "PLAINTEXT"}
    assert redis.security_options() == {}


def test_clients_of_kafka_get_what_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    given(monkeypatch, {**KAFKA, **ANN, **certificates.settings("KAFKA")})
    made = kafka.for_confluent("kafka.example:9093")
    assert callable(made.pop("error_cb"))
    assert made == {
        "bootstrap.servers": "kafka.example:9093",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(certificates.ca),
        "ssl.certificate.location": str(certificates.certificate),
        "ssl.key.location": str(certificates.key),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ann",
        "sasl.password": "lake-and-river",
    }
    made = kafka.for_aiokafka()
    context = made.pop("ssl_context")
    assert context.check_hostname
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "CA"),),)]
    assert made == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "lake-and-river",
    }


def test_a_refusal_of_kafka_names_the_settings() -> None:
    untrusted = kafka.refusal(KafkaError(KafkaError._SSL, "unknown CA"), "b:1")
    assert "no TLS with Kafka at b:1: unknown CA" in str(untrusted)
    assert "KAFKA_CA_FILE" in str(untrusted)
    unknown = kafka.refusal(KafkaError(KafkaError._AUTHENTICATION, "invalid credentials"), "b:1")
    assert "KAFKA_PASSWORD" in str(unknown)
    alert = "Receive failed: SSL routines::tls alert certificate unknown: SSL alert number 46"
    ours = kafka.refusal(KafkaError(KafkaError._TRANSPORT, alert), "b:1")
    assert "KAFKA_CERTIFICATE_FILE" in str(ours)
    assert kafka.refusal(KafkaError(KafkaError._TRANSPORT, "broken"), "b:1") is None


def test_a_refusal_of_kafka_is_logged_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, {**KAFKA, **ANN})
    tell = kafka.for_confluent("b:1")["error_cb"]
    with capture_logs() as logs:
        tell(KafkaError(KafkaError._TRANSPORT, "broken"))
        for _ in range(3):
            tell(KafkaError(KafkaError._AUTHENTICATION, "invalid credentials"))
    assert [each["event"] for each in logs] == ["kafka refuses"]
    assert "KAFKA_PASSWORD" in logs[0]["detail"]


def _raised_from(cause: Exception) -> Exception:
    error = redis_errors.ConnectionError("no connection")
    error.__context__ = cause
    return error


def test_a_refusal_of_redis_names_the_settings() -> None:
    untrusted = redis.refusal(_raised_from(ssl.SSLCertVerificationError(1, "unknown CA")), "r")
    assert "REDIS_CA_FILE" in str(untrusted)
    unknown = redis.refusal(redis_errors.AuthenticationError("invalid password"), "r")
    assert "REDIS_PASSWORD" in str(unknown)
    for passing in (ConnectionResetError("gone"), ssl.SSLEOFError(8, "gone")):
        assert redis.refusal(_raised_from(passing), "r") is None
    assert not redis.is_passing(RefusedError("no"))


@pytest.fixture(scope="module")
def misnamed(certificates: Certificates) -> Iterator[str]:
    """Where a server is whose certificate names other addresses; it ends each connection."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with socket.create_server(("127.0.0.2", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:  # it is shut
                    return
                with suppress(OSError):
                    context.wrap_socket(accepted, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.2:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def by_tls(part: str, address: str, certificates: Certificates) -> dict[str, str]:
    """The settings by which a part is at an address."""
    where = {
        "KAFKA": {"KAFKA_BROKERS": address, "KAFKA_SECURITY_PROTOCOL": "SSL"},
        "REDIS": {"REDIS_URL": f"rediss://{address}"},
        "CASSANDRA": {"CASSANDRA_HOSTS": address, "CASSANDRA_TLS": "true"},
    }
    return {**where[part], **certificates.settings(part)}


@pytest.mark.parametrize(
    ("part", "connect"),
    [
        ("KAFKA", kafka.metadata),
        ("REDIS", lambda address: redis.connect(f"rediss://{address}")),
        ("CASSANDRA", cassandra.connect),
    ],
)
def test_a_certificate_must_name_the_address(
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    misnamed: str,
    part: str,
    connect: Callable[[str], object],
) -> None:
    given(monkeypatch, by_tls(part, misnamed, certificates))
    with pytest.raises(RefusedError, match="certificate verify failed"):
        connect(misnamed)


def test_that_check_may_be_left_out_for_cassandra(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, misnamed: str
) -> None:
    given(monkeypatch, by_tls("CASSANDRA", misnamed, certificates))
    given(monkeypatch, {"CASSANDRA_CHECK_HOSTNAME": "false"})
    greet(misnamed)
    given(monkeypatch, {"CASSANDRA_CA_FILE": ""})
    settings.cache_clear()
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(misnamed)


def greet(address: str) -> None:
    """Begin TLS as a client of Cassandra does."""
    host, _, port = address.partition(":")
    context = cassandra.security_options()["ssl_context"]
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=host),
    ):
        pass


def product_files() -> list[tuple[Path, ast.Module]]:
    found = []
    for top in ("api", "connectors", "headrace", "schemas", "streams"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = path.relative_to(ROOT)
            if not OUR_OWN & set(name.parents):
                text = path.read_text()
                if any(word in text for word in WORDS):
                    found.append((name, ast.parse(text)))
    return found


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """The calls of a module, by the last part of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name, node


def test_every_client_gets_its_security_from_the_settings() -> None:
    """Those of confluent-kafka need an address, which only `for_confluent` writes."""
    addresses, aiokafka, redises, cassandras = [], [], [], []
    for path, tree in product_files():
        constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        addresses += [path for value in constants if value == "bootstrap.servers"]
        for name, call in calls(tree):
            spread = {ast.unparse(each.value) for each in call.keywords if each.arg is None}
            if name.startswith("AIOKafka"):
                aiokafka.append(path)
                assert "for_aiokafka()" in spread, path
            elif name == "from_url":
                redises.append(path)
                assert "options" in spread, path
            elif name == "Cluster":
                cassandras.append(path)
                assert "security_options()" in spread, path
            assert name not in {"Redis", "StrictRedis", "RedisCluster"}, path
    assert addresses == [Path("connectors/kafka.py")]
    assert aiokafka == [Path("connectors/consumer_thread.py"), Path("headrace/deliver.py")]
    assert redises == [Path("api/redis_calls.py")] * 2 + [Path("connectors/redis.py")] * 2
    assert cassandras == [Path("connectors/cassandra.py")]
