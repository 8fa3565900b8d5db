"""Signatures and encryption as the receivers see them, by the RFCs and apart from the product."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def unb64(text: str) -> bytes:
    """The bytes of `b64`."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key, uncompressed."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def read_jwt(
    token: str, key: ec.EllipticCurvePublicKey | RSAPublicKey
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims of a JWT (RFC 7519, 7518) that this key signed; None for any other."""
    try:
        head, claims, signature = token.split(".")
        header = msgspec.json.decode(unb64(head))
        signed, raw = f"{head}.{claims}".encode(), unb64(signature)
        if isinstance(key, RSAPublicKey):
            assert header["alg"] == "RS256"
            key.verify(raw, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            assert header["alg"] == "ES256"
            assert len(raw) == 64
            r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        return header, msgspec.json.decode(unb64(claims))
    except (ValueError, KeyError, AssertionError, InvalidSignature, msgspec.DecodeError):
        return None


def decrypt(body: bytes, key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """The plain text of an `aes128gcm` body of one record (RFC 8188, 8291)."""
    salt, record_size, length = body[:16], int.from_bytes(body[16:20]), body[20]
    sender, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(sealed) <= record_size
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
    shared = key.exchange(ec.ECDH(), public)
    info = b"WebPush: info\0" + point(key.public_key()) + sender
    secret = _expand(_extract(auth, shared), info, 32)
    base = _extract(salt, secret)
    content_key = _expand(base, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _expand(base, b"Content-Encoding: nonce\0", 12)
    plain, mark, padded = AESGCM(content_key).decrypt(nonce, sealed, None).rpartition(b"\x02")
    assert mark == b"\x02"
    assert not padded.strip(b"\0")
    return plain


def _extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, sha256)


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    return hmac.digest(key, info + b"\x01", sha256)[:length]
