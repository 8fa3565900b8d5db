"""The connectors together: settings, files with keys, and who gets what."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from py_vapid import Vapid02
from pydantic import ValidationError

from connectors.push.address import WEBHOOK, Address
from connectors.push.connector import DELIVERED, Connector, Outcome, RetryLaterError
from connectors.push.gateway import Gateway, open_gateway
from connectors.push.key_files import KeyFileError, read_apns_key, read_service_account
from connectors.push.notice import Notice
from connectors.settings import Settings
from headrace.commands.config import config
from tests.push.crypto import b64
from tests.push.parts import notice
from tests.unit.test_push_address import APNS, FCM, webpush

WEBHOOK_SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
VAPID_KEY = b64(bytes(range(32)))
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account(**changed: Any) -> bytes:
    fields = {
        "type": "service_account",
        "project_id": "a-project",
        "private_key_id": "key-1",
        "private_key": pem(RSA_KEY),
        "client_email": "headrace@a-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return msgspec.json.encode(fields | changed)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Everything configured."""
    (tmp_path / "account.json").write_bytes(account())
    (tmp_path / "apns.p8").write_text(pem(EC_KEY))
    found = {
        "HEADRACE_WEBHOOK_URL": "http://127.0.0.1:9/hook",
        "HEADRACE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "HEADRACE_VAPID_KEY": VAPID_KEY,
        "HEADRACE_VAPID_SUBJECT": "mailto:operator@example.org",
        "HEADRACE_FCM_CREDENTIALS": str(tmp_path / "account.json"),
        "HEADRACE_APNS_KEY_FILE": str(tmp_path / "apns.p8"),
        "HEADRACE_APNS_KEY_ID": "KEY0000001",
        "HEADRACE_APNS_TEAM_ID": "TEAM000001",
        "HEADRACE_APNS_TOPIC": "org.example.app",
    }
    for variable, value in found.items():
        monkeypatch.setenv(variable, value)
    return found


class Fake(Connector):
    """Fails so often, then delivers."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked: list[tuple[Address, Notice]] = []
        self.is_open = True

    async def deliver(self, address: Address, notice: Notice) -> Outcome:
        self.asked.append((address, notice))
        if len(self.asked) <= self.failures:
            raise RetryLaterError("503")
        return DELIVERED

    async def aclose(self) -> None:
        self.is_open = False


async def no_pause(_: float) -> None:
    """Stands in for sleep."""


def opened(settings: Settings) -> tuple[str, ...]:
    async def go() -> tuple[str, ...]:
        async with open_gateway(settings) as gateway:
            return gateway.services

    return asyncio.run(go())


def test_nothing_is_configured_by_default() -> None:
    assert opened(Settings()) == ()


@pytest.mark.usefixtures("environment")
def test_what_is_configured_is_there() -> None:
    assert opened(Settings()) == ("webhook", "webpush", "fcm", "apns")


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ("HEADRACE_WEBHOOK_URL", "HEADRACE_WEBHOOK_SECRET"),
        ("HEADRACE_WEBHOOK_SECRET", "HEADRACE_WEBHOOK_URL"),
        ("HEADRACE_VAPID_KEY", "HEADRACE_VAPID_SUBJECT"),
        ("HEADRACE_VAPID_SUBJECT", "HEADRACE_VAPID_KEY"),
        ("HEADRACE_APNS_KEY_FILE", "HEADRACE_APNS_TOPIC"),
        ("HEADRACE_APNS_TOPIC", "HEADRACE_APNS_KEY_ID, HEADRACE_APNS_TEAM_ID"),
    ],
)
def test_half_of_a_connector_is_refused(
    given: str, lacking: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in environment:
        if variable != given:
            monkeypatch.delenv(variable)
    with pytest.raises(ValidationError, match=f"needs .*{lacking}"):
        Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADRACE_WEBHOOK_URL", "ftp://example.org/Pa55"),
        ("HEADRACE_WEBHOOK_SECRET", "Pa55"),
        ("HEADRACE_WEBHOOK_SECRET", "whsec_Pa55"),
        ("HEADRACE_WEBHOOK_SECRET", "whsec_" + "Pa55" * 32),
        ("HEADRACE_WEBHOOK_SECRET", WEBHOOK_SECRET.removeprefix("whsec_")),
        ("HEADRACE_VAPID_KEY", "Pa55"),
        ("HEADRACE_VAPID_KEY", "Pa55" * 16),
        ("HEADRACE_VAPID_KEY", b64(bytes(32))),
        ("HEADRACE_VAPID_SUBJECT", "Pa55@example.org"),
        ("HEADRACE_VAPID_SUBJECT", "mailto:Pa55"),
        ("HEADRACE_FCM_URL", "Pa55"),
        ("HEADRACE_APNS_KEY_ID", "Pa55"),
        ("HEADRACE_APNS_TEAM_ID", "Pa55"),
        ("HEADRACE_APNS_TOPIC", "Pa55\n"),
        ("HEADRACE_APNS_URL", "http://api.push.apple.com/Pa55"),
        ("HEADRACE_PUSH_TTL_SECONDS", "0"),
        ("HEADRACE_JWT_SECRET", "Pa55"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_a_wrong_setting_is_named_and_not_quoted(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=variable) as error:
        Settings()
    assert "Pa55" not in str(error.value)


@pytest.mark.parametrize(
    "subject",
    ["mailto:operator@example.org", "https://example.org", "mailto:a.b+c@mail.example.co.uk"],
)
def test_every_subject_that_is_taken_can_be_signed(subject: str) -> None:
    """py_vapid has an opinion of its own."""
    settings = Settings(vapid_key=VAPID_KEY, vapid_subject=subject)
    key = settings.vapid_key.get_secret_value()
    signed = Vapid02.from_raw(key.encode()).sign(
        {"aud": "https://push.example.net:8443", "exp": 1, "sub": settings.vapid_subject}
    )
    assert signed["Authorization"].startswith("vapid t=")


def test_secrets_are_masked(environment: dict[str, str]) -> None:
    shown = CliRunner().invoke(config, env={"COLUMNS": "400"}).output
    assert environment["HEADRACE_APNS_TOPIC"] in shown
    for variable in ("HEADRACE_WEBHOOK_SECRET", "HEADRACE_VAPID_KEY"):
        assert variable in shown
        assert environment[variable] not in shown


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        pytest.param("HEADRACE_FCM_CREDENTIALS", None, id="no file for fcm"),
        pytest.param("HEADRACE_FCM_CREDENTIALS", b"Pa55", id="no JSON"),
        pytest.param("HEADRACE_FCM_CREDENTIALS", b"\xff\xfe", id="no text"),
        pytest.param("HEADRACE_FCM_CREDENTIALS", b'{"type": "Pa55"}', id="fields missing"),
        pytest.param("HEADRACE_FCM_CREDENTIALS", account(private_key="Pa55"), id="no key"),
        pytest.param("HEADRACE_FCM_CREDENTIALS", account(private_key=pem(EC_KEY)), id="an EC key"),
        pytest.param("HEADRACE_APNS_KEY_FILE", None, id="no file for apns"),
        pytest.param("HEADRACE_APNS_KEY_FILE", b"Pa55", id="no key for apns"),
        pytest.param("HEADRACE_APNS_KEY_FILE", pem(RSA_KEY).encode(), id="an RSA key"),
        pytest.param(
            "HEADRACE_APNS_KEY_FILE",
            pem(ec.generate_private_key(ec.SECP384R1())).encode(),
            id="another curve",
        ),
    ],
)
def test_a_wrong_file_is_named_and_not_quoted(
    variable: str, content: bytes | None, environment: dict[str, str]
) -> None:
    path = Path(environment[variable])
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    read: Any = read_apns_key if "APNS" in variable else read_service_account
    with pytest.raises(KeyFileError, match=variable) as error:
        read(str(path))
    assert str(path) in str(error.value)
    assert "Pa55" not in str(error.value)


def test_a_user_s_notices_go_to_each_device_and_the_operator() -> None:
    gateway = Gateway({"webhook": Fake(), "fcm": Fake(), "webpush": Fake()})
    tokens = [FCM, "nonsense", APNS, webpush(), FCM, "webhook:"]
    assert [WEBHOOK.token, FCM, tokens[3]] == [
        address.token for address in gateway.addresses(tokens)
    ]
    assert gateway.addresses([]) == [WEBHOOK]
    assert Gateway({"fcm": Fake()}).addresses([APNS]) == []


def test_a_notice_goes_to_its_connector_and_is_tried_again() -> None:
    fcm, apns = Fake(failures=3), Fake()

    async def go() -> Outcome:
        async with Gateway({"fcm": fcm, "apns": apns}, sleep=no_pause) as gateway:
            [address] = gateway.addresses([FCM])
            return await gateway.deliver(address, notice())

    assert asyncio.run(go()) == DELIVERED
    assert fcm.asked == [(Address("fcm", FCM[4:]), notice())] * 4
    assert not apns.asked
    assert not fcm.is_open
    assert not apns.is_open


def test_who_fails_for_long_is_given_up() -> None:
    fcm = Fake(failures=99)

    async def go() -> None:
        gateway = Gateway({"fcm": fcm}, sleep=no_pause)
        await gateway.deliver(Address("fcm", FCM[4:]), notice())

    with pytest.raises(RetryLaterError):
        asyncio.run(go())
    assert len(fcm.asked) == 4
