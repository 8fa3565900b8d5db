"""Tokens of who has a key set (JWKS): their algorithms, keys, claims, and the keys' rotation."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from structlog.testing import capture_logs

from api import jwks
from api.auth import Authenticator, TokenError, TokenRules, authenticator
from api.errors import ProblemError
from api.jwks import FetchError, KeySet, key_set, keys_of
from connectors.settings import Settings, settings
from headrace.cli import main
from tests.unit.api_fakes import KEY, World, problem_of

RULES = TokenRules(audience="headrace", issuer="https://issuer", leeway_seconds=3)


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    del number
    return rsa.generate_private_key(65_537, bits)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    to_jwk = RSAAlgorithm.to_jwk if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm.to_jwk
    found = {**to_jwk(key.public_key(), as_dict=True), **more}
    return found if kid is None else {**found, "kid": kid}


def set_of(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


class Issuer:
    """Who has the keys; counts how often they are fetched."""

    def __init__(self) -> None:
        self.raw: bytes | None = set_of(jwk(rsa_key(1), "one"), jwk(ec_key(), "two"))
        self.fetched = 0
        self.now = 100.0
        self.keys = KeySet(self._fetch, lambda: self.now)

    async def _fetch(self) -> bytes:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.raw is None:
            raise FetchError("away")
        return self.raw

    def check(self, token: str, secret: str | None = None, rules: TokenRules = RULES) -> str:
        """The user whom a token speaks for."""
        return asyncio.run(Authenticator(secret, self.keys, rules).caller(token)).user_id


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    full = {"sub": "al", "exp": now + 60, "scope": "read", "aud": "headrace", **changed}
    return {k: v for k, v in {"iss": "https://issuer", **full}.items() if v is not None}


def signed(key: Any = None, kid: str | None = "one", alg: str = "RS256", **changed: Any) -> str:
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changed), key or rsa_key(1), alg, headers)


def test_both_algorithms_are_taken(issuer: Issuer) -> None:
    assert issuer.check(signed()) == "al"
    assert issuer.check(signed(ec_key(), "two", "ES256")) == "al"
    assert issuer.fetched == 1


def test_a_token_that_was_valid_is_so_until_it_ends_and_while_its_key_is_the_same(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(None, issuer.keys, TokenRules("headrace", "https://issuer", 0))
    decode = mock.Mock(wraps=jwt.decode)
    monkeypatch.setattr(jwt, "decode", decode)

    def check(token: str) -> str:
        return asyncio.run(authenticator.caller(token)).user_id

    token, brief = signed(), signed(exp=int(time.time()) + 2)
    assert [check(token), check(token), check(brief), check(brief)] == ["al"] * 4
    assert decode.call_count == 2
    time.sleep(2.1)
    with pytest.raises(TokenError, match="ExpiredSignature"):
        check(brief)
    issuer.raw = set_of(jwk(rsa_key(2), "one"))
    issuer.now += jwks.MAX_STALE_SECONDS + 1
    with pytest.raises(TokenError, match="InvalidSignature"):
        check(token)


def test_few_tokens_are_kept_and_none_that_is_long(issuer: Issuer) -> None:
    authenticator = Authenticator(None, issuer.keys, RULES)
    asyncio.run(authenticator.caller(signed(more="x" * 2_048)))
    assert not authenticator._checked
    with mock.patch("api.auth.MAX_KEPT", 3):
        for number in range(10):
            asyncio.run(authenticator.caller(signed(jti=str(number))))
            assert 1 <= len(authenticator._checked) <= 3


def part(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def saying(alg: str, kid: str, sign: Callable[[bytes], bytes]) -> str:
    """A token that says it is of an algorithm, signed in whatever way."""
    header = {"alg": alg, "typ": "JWT", "kid": kid}
    head = b".".join(part(json.dumps(each).encode()) for each in (header, claims()))
    return (head + b"." + part(sign(head))).decode()


def by_hand(alg: str, secret: bytes) -> str:
    """A token signed by HMAC with whatever key, which PyJWT would refuse to do."""
    return saying(alg, "one", lambda head: hmac.digest(secret, head, hashlib.sha256))


def by_another_algorithm() -> str:
    """A token signed by the key that it names, by another algorithm than it says."""
    ecdsa = ECAlgorithm(ECAlgorithm.SHA256)
    return saying("RS256", "two", lambda head: ecdsa.sign(head, ec_key()))


def public(encoding: Encoding) -> bytes:
    key = rsa_key(1).public_key()
    return key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


BAD_TOKENS = {
    "unsigned": lambda: jwt.encode(claims(), "", "none", {"kid": "one"}),
    "signed by another key": lambda: signed(rsa_key(2)),
    "another algorithm of the key": lambda: signed(alg="RS512"),
    "the algorithm of another kind of key": lambda: signed(ec_key(), "one", "ES256"),
    "the public key as the secret, PEM": lambda: by_hand("HS256", public(Encoding.PEM)),
    "the public key as the secret, DER": lambda: by_hand("HS256", public(Encoding.DER)),
    "the public key as the secret, stripped": lambda: by_hand(
        "HS256", public(Encoding.PEM).strip()
    ),
    "signed by HMAC and said to be RS256": lambda: by_hand("RS256", public(Encoding.PEM)),
    "signed by a secret": lambda: signed("s" * 40, alg="HS256"),
    "signed by ES256 and said to be RS256": by_another_algorithm,
    "no key named": lambda: signed(kid=None),
    "expired": lambda: signed(exp=int(time.time()) - 4),
    "no expiry": lambda: signed(exp=None),
    "not yet": lambda: signed(nbf=int(time.time()) + 10),
    "another audience": lambda: signed(aud="another"),
    "no audience": lambda: signed(aud=None),
    "another issuer": lambda: signed(iss="https://another"),
    "no issuer": lambda: signed(iss=None),
    "no subject": lambda: signed(sub=None),
    "a subject that is no id": lambda: signed(sub="a\0b"),
    "a scope that is no text": lambda: signed(scope=["read"]),
    "no token": lambda: "x.y.z",
    "nothing": lambda: "",
}


@pytest.mark.parametrize("why", BAD_TOKENS)
def test_a_bad_token_is_refused(issuer: Issuer, why: str) -> None:
    with pytest.raises(TokenError):
        issuer.check(BAD_TOKENS[why]())


def test_the_public_key_is_no_secret_beside_a_secret_either(issuer: Issuer) -> None:
    for why in (
        "the public key as the secret, PEM",
        "unsigned",
        "signed by HMAC and said to be RS256",
    ):
        with pytest.raises(TokenError):
            issuer.check(BAD_TOKENS[why](), secret=KEY)
    assert issuer.check(signed(KEY, alg="HS256"), secret=KEY) == "al"
    assert issuer.check(signed(), secret=KEY) == "al"


def test_clocks_may_differ_by_so_much(issuer: Issuer) -> None:
    now = int(time.time())
    for changed in ({"exp": now - 20}, {"nbf": now + 20}, {"iat": now + 20}):
        token = signed(**changed)
        rules = TokenRules("headrace", "https://issuer", 30)
        assert issuer.check(token, rules=rules) == "al"
        with pytest.raises(TokenError):
            issuer.check(token)


def test_a_token_for_somebody_else_is_refused_where_no_audience_is_set(issuer: Issuer) -> None:
    assert issuer.check(signed(aud=None), rules=TokenRules()) == "al"
    with pytest.raises(TokenError):
        issuer.check(signed(), rules=TokenRules())


def test_keys_are_rotated(issuer: Issuer) -> None:
    assert issuer.check(signed()) == "al"
    issuer.raw = set_of(jwk(rsa_key(2), "three"))
    issuer.now += jwks.LEAST_PAUSE_SECONDS
    assert issuer.check(signed(rsa_key(2), "three")) == "al"
    with pytest.raises(TokenError):  # its key is no longer there
        issuer.check(signed())


def test_unknown_keys_have_them_fetched_now_and_then_only(issuer: Issuer) -> None:
    issuer.check(signed())
    for number in range(50):
        with pytest.raises(TokenError):
            issuer.check(signed(kid=f"unknown {number}"))
    assert issuer.fetched == 1
    issuer.now += jwks.LEAST_PAUSE_SECONDS
    for number in range(50):
        with pytest.raises(TokenError):
            issuer.check(signed(kid=f"unknown {number}"))
    assert issuer.fetched == 2


def test_many_at_once_fetch_once(issuer: Issuer) -> None:
    async def run() -> list[str]:
        judge = Authenticator(None, issuer.keys, RULES)
        callers = await asyncio.gather(*(judge.caller(signed()) for _ in range(20)))
        return [caller.user_id for caller in callers]

    assert asyncio.run(run()) == ["al"] * 20
    assert issuer.fetched == 1


def test_old_keys_are_fetched_anew_and_used_while_that_fails(issuer: Issuer) -> None:
    issuer.check(signed())
    issuer.now += jwks.MAX_AGE_SECONDS + 1
    issuer.check(signed())
    assert issuer.fetched == 2
    issuer.raw = None
    issuer.now += jwks.MAX_STALE_SECONDS
    assert issuer.check(signed()) == "al"
    issuer.now += 1
    with pytest.raises(ProblemError) as refused:
        issuer.check(signed())
    assert refused.value.status == 503


def test_without_keys_nobody_is_judged(issuer: Issuer) -> None:
    issuer.raw = None
    with pytest.raises(ProblemError) as refused:
        issuer.check(signed())
    assert refused.value.status == 503


def test_only_keys_for_tokens_are_taken() -> None:
    secret = base64.urlsafe_b64encode(b"s" * 40).decode()
    found = keys_of(
        set_of(
            jwk(rsa_key(1), "good"),
            jwk(rsa_key(1), "said", alg="RS256", use="sig"),
            jwk(ec_key(), "ec"),
            jwk(rsa_key(1), None),
            jwk(rsa_key(1), "encrypts", use="enc"),
            jwk(rsa_key(1), "another", alg="RS512"),
            jwk(rsa_key(9, 1024), "weak"),
            jwk(ec.generate_private_key(ec.SECP384R1()), "another curve"),
            {"kty": "oct", "k": secret, "kid": "secret", "alg": "HS256"},
            {"kty": "oct", "k": secret, "kid": "lie", "alg": "RS256"},
            {"kty": "what", "kid": "odd"},
            {"kty": "RSA", "kid": "no number"},
        )
    )
    assert set(found) == {"good", "said", "ec"}


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"keys": 1}', b'{"keys": [1]}', b"\xff"])
def test_what_is_no_key_set_is_told(raw: bytes) -> None:
    with pytest.raises(FetchError):
        keys_of(raw)


@contextmanager
def serving(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.shutdown()
        thread.join()


def test_keys_come_from_an_address() -> None:
    with serving(200, set_of(jwk(rsa_key(1), "one"))) as url:
        key = asyncio.run(key_set(url).key("one"))
    assert key is not None
    assert key.algorithm_name == "RS256"


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (302, b""), (200, b"no"), (200, b" " * (300 * 1024))]
)
def test_an_address_that_does_not_do_is_told(status: int, body: bytes) -> None:
    with serving(status, body) as url, capture_logs() as logs, pytest.raises(ProblemError):
        asyncio.run(key_set(url).key("one"))
    assert [entry["event"] for entry in logs] == ["keys not fetched"]


def test_an_address_where_nobody_is_is_told() -> None:
    with serving(200, b"") as url:
        pass
    with pytest.raises(ProblemError):
        asyncio.run(key_set(url).key("one"))


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    with pytest.raises(ProblemError):
        asyncio.run(key_set(str(path)).key("one"))
    path.write_bytes(set_of(jwk(rsa_key(1), "one")))
    config = Settings(jwks=str(path), jwt_issuer="https://issuer", jwt_audience="headrace")
    judge = authenticator(config)
    assert asyncio.run(judge.caller(signed())).scopes == {"read"}
    with pytest.raises(TokenError):
        asyncio.run(judge.caller(signed(KEY, alg="HS256")))
    both = authenticator(
        config.model_copy(update={"jwt_secret": Settings(jwt_secret=KEY).jwt_secret})
    )
    assert asyncio.run(both.caller(signed(KEY, alg="HS256"))).user_id == "al"


@pytest.mark.parametrize("source", ["http://issuer/keys", "ftp://x", "keys.json", "https://"])
def test_a_source_of_keys_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="HEADRACE_JWKS"):
        Settings(HEADRACE_JWKS=source)


def test_the_api_asks_the_key_set(issuer: Issuer) -> None:
    world = World(is_shared=False)
    world.app.state.authenticator = Authenticator(None, issuer.keys, RULES)
    world.redis.post("p", "bob")

    def read(token: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return world.ask("GET", "/api/v1/posts/p", headers=headers)

    assert read(signed()).status_code == 200
    problem_of(read(signed(scope="write")), 403)
    problem_of(read(signed(rsa_key(2))), 401)
    issuer.raw = None
    issuer.now += jwks.MAX_STALE_SECONDS + 1
    problem_of(read(signed()), 503)


def test_refusals_are_audited_without_the_token(issuer: Issuer) -> None:
    world = World(is_shared=False)
    world.app.state.authenticator = Authenticator(None, issuer.keys, RULES)
    expired, reading = signed(exp=1), signed()
    with capture_logs() as logs:
        for token in (expired, reading):
            headers = {"Authorization": f"Bearer {token}"}
            world.ask("POST", "/api/v1/posts", headers=headers, json={"content": "x"})
    lines = [entry for entry in logs if entry["event"] == "audit"]
    assert [(entry["action"], entry.get("reason")) for entry in lines] == [
        ("token refused", "ExpiredSignatureError"),
        ("scope refused", None),
    ]
    assert (lines[1]["user_id"], lines[1]["scope"]) == ("al", "write")
    assert lines[0]["address"]
    for token in (expired, reading):
        assert not any(part in str(logs) for part in token.split("."))


def test_what_few_may_do_is_audited(issuer: Issuer) -> None:
    world = World(is_shared=False)
    world.app.state.authenticator = Authenticator(None, issuer.keys, RULES)
    world.redis.post("p", "bob", content="a diary")
    token = signed(scope="write moderate admin produce")
    follow = {"type": "follow", "action": "follow", "user_id": "bob", "target": "u:cy"}
    with capture_logs() as logs:
        for method, path, body in (
            ("PUT", "/api/v1/moderation/posts/p", {"verdict": "hidden"}),
            ("DELETE", "/api/v1/users/bob", None),
            ("POST", "/api/v1/events", {"events": [follow, {}]}),
        ):
            headers = {"Authorization": f"Bearer {token}"}
            assert world.ask(method, path, headers=headers, json=body).status_code == 202
    lines = [entry for entry in logs if entry["event"] == "audit"]
    assert [entry["action"] for entry in lines] == [
        "post judged",
        "account erased",
        "events published",
    ]
    assert {entry["user_id"] for entry in lines} == {"al"}
    assert (lines[0]["post_id"], lines[1]["account"], lines[2]["events"]) == ("p", "bob", 1)
    assert "diary" not in str(logs)


def test_tokens_of_the_command_need_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_JWKS", "https://issuer/keys")
    settings.cache_clear()
    try:
        refused = CliRunner().invoke(main, ["token", "al"])
        monkeypatch.setenv("HEADRACE_JWT_SECRET", KEY)
        settings.cache_clear()
        made = CliRunner().invoke(main, ["token", "al", "--scope", "admin"])
    finally:
        settings.cache_clear()
    assert refused.exit_code == 1
    assert "HEADRACE_JWT_SECRET" in refused.output
    assert made.exit_code == 0
