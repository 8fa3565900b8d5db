"""Certificates of who signs and of a machine, in a directory, for TLS on the loopback interface."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


class Certificates:
    """The files (PEM) of a CA, and of a certificate for `127.0.0.1` and `localhost` that it signed,
    which servers and clients may both use."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = directory / "ca.pem"
        self.certificate = directory / "certificate.pem"
        self.key = directory / "key.pem"
        self.locked_key = directory / "locked.pem"
        self.both = directory / "both.pem"
        signing, own = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
        ca = _builder("CA", "CA", signing)
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        server = _builder("server", "CA", own)
        server = server.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self.ca.write_bytes(ca.sign(signing, hashes.SHA256()).public_bytes(Encoding.PEM))
        certificate = server.sign(signing, hashes.SHA256()).public_bytes(Encoding.PEM)
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(_pem(own, NoEncryption()))
        self.locked_key.write_bytes(_pem(own, BestAvailableEncryption(b"locked")))
        self.both.write_bytes(self.key.read_bytes() + certificate)

    def for_server(self) -> ssl.SSLContext:
        """For a server that takes clients with a certificate of this CA alone."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def settings(self, part: str) -> dict[str, str]:
        """The settings by which a client of a part uses them."""
        return {
            f"{part}_CA_FILE": str(self.ca),
            f"{part}_CERTIFICATE_FILE": str(self.certificate),
            f"{part}_KEY_FILE": str(self.key),
        }


def _builder(subject: str, issuer: str, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(key: EllipticCurvePrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
