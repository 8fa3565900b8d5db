"""How a part is reached: by TLS or not, whom clients trust, and who they are."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from msgspec import Struct
from pydantic import SecretStr


class RefusedError(Exception):
    """A server is not whom the settings trust, or does not take who they say we are. Waiting does
    not help; the message names the settings to look at."""


class Security(Struct, frozen=True):
    """What the settings say of a part. `name` is how its variables begin, as in `KAFKA_CA_FILE`;
    without a CA file those count that the system trusts."""

    name: str
    is_tls: bool
    ca_file: str
    certificate_file: str
    key_file: str
    user: str
    password: SecretStr

    def variable(self, of: str) -> str:
        """The variable of what a field says, as `ca_file`."""
        return f"{self.name}_{of.upper()}"

    def context(self) -> ssl.SSLContext:
        """For clients in Python.

        Raises:
            ValueError: a file cannot be used; says which.
        """
        try:
            made = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            raise ValueError(
                f"{self.variable('ca_file')}: {self.ca_file} is not a file of certificates (PEM): "
                f"{error}"
            ) from error
        if self.certificate_file:
            try:
                made.load_cert_chain(self.certificate_file, self.key_file, lambda: "")
            except OSError as error:
                raise ValueError(
                    f"{self.variable('certificate_file')} {self.certificate_file} with "
                    f"{self.variable('key_file')} {self.key_file} is not a certificate with its "
                    f"key (PEM, not encrypted): {error}"
                ) from error
        return made

    def untrusted(self, address: str, why: object) -> RefusedError:
        """There is no TLS with a server."""
        return RefusedError(
            f"no TLS with {address}: {_said(why)}.\n"
            f"hint: {self.variable('ca_file')} has who signed its certificate, "
            f"{self.variable('certificate_file')} and {self.variable('key_file')} are ours, if it "
            "asks for one"
        )

    def unknown(self, address: str, why: object) -> RefusedError:
        """A server does not take the password."""
        user, password = self.variable("user"), self.variable("password")
        return RefusedError(
            f"{address} refuses who we are: {_said(why)}.\nhint: are {user} and {password} right?"
        )


def _said(why: object) -> str:
    return str(why).rstrip(".")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, the latest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def is_untrusting(error: BaseException) -> bool:
    """Whether TLS was refused by either side; a connection that broke off says nothing of that."""
    is_cut = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return isinstance(error, ssl.SSLError) and not is_cut
