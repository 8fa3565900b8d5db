"""Keys in the files that Google and Apple give out."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from connectors.push.fcm import ServiceAccount


class KeyFileError(Exception):
    """A file with a key cannot be used; the message names the setting, and quotes nothing."""


class _AccountFile(Struct):
    """The fields that are used of the JSON file of a service account."""

    project_id: str
    client_email: str
    private_key: str
    private_key_id: str
    token_uri: str


def read_service_account(path: str) -> ServiceAccount:
    """The service account in the JSON file that Google gives out.

    Raises:
        KeyFileError: it is missing, or is something else.
    """
    variable = "HEADRACE_FCM_CREDENTIALS"
    try:
        found = msgspec.json.decode(_read(variable, path), type=_AccountFile)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeyFileError(f"{variable}: {path} is not the file of a service account") from None
    key = _load(found.private_key.encode())
    if not isinstance(key, RSAPrivateKey):
        raise KeyFileError(f"{variable}: {path} holds no private RSA key")
    return ServiceAccount(
        found.project_id, found.client_email, found.token_uri, key, found.private_key_id
    )


def read_apns_key(path: str) -> EllipticCurvePrivateKey:
    """The key in the .p8 file that Apple gives out.

    Raises:
        KeyFileError: it is missing, or is something else.
    """
    variable = "HEADRACE_APNS_KEY_FILE"
    key = _load(_read(variable, path))
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise KeyFileError(f"{variable}: {path} holds no private key of the curve P-256")
    return key


def _read(variable: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KeyFileError(f"{variable}: {path} cannot be read ({error.strerror})") from None


def _load(pem: bytes) -> PrivateKeyTypes | None:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
