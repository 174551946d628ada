"""Seals what one identity sends, with the key of its certificate, by libsodium (decision 0113)."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.signing import SigningKey

from shared.errors import BadInputError
from shared.mqtt.message import Properties
from shared.pki import files
from shared.pki.authority import identity_of
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.pki.keys import load_key
from shared.seal.envelope import PROPERTY, Envelope, signed_bytes

log = logging.getLogger(__name__)

RELOAD_S = 5.0  # how often the certificate's file is looked at


class Signer:
    """One identity's key. With `credentials`, a renewed certificate is taken up without a restart."""

    def __init__(
        self, key: Ed25519PrivateKey, certificate: x509.Certificate, credentials: Credentials | None = None
    ) -> None:
        """Raises BadInputError when the key is not the certificate's or the certificate names nobody."""
        self._credentials = credentials
        self._looked_s = float("-inf")
        self._mtime_ns = -1
        self._take(key, certificate)

    @classmethod
    def load(cls, credentials: Credentials) -> Signer:
        """From the files that `crustwatch pki issue` wrote. Raises BadInputError."""
        mtime_ns = _mtime_ns(credentials.certificate)  # first: what is renewed while it is read is seen later
        signer = cls(load_key(credentials.key), files.read_certificate(credentials.certificate), credentials)
        signer._mtime_ns = mtime_ns
        return signer

    def _take(self, key: Ed25519PrivateKey, certificate: x509.Certificate) -> None:
        if certificate.public_key() != key.public_key():
            raise BadInputError("the key is not the certificate's")
        self.identity: Identity = identity_of(certificate)
        self._key = SigningKey(key.private_bytes_raw())
        self._der = certificate.public_bytes(serialization.Encoding.DER)

    def look_again(self, monotonic_s: float) -> None:
        """Take up a renewed certificate; while its files do not fit each other, the present one stays in use."""
        if self._credentials is None or monotonic_s - self._looked_s < RELOAD_S:
            return
        self._looked_s = monotonic_s
        mtime_ns = _mtime_ns(self._credentials.certificate)
        if mtime_ns == self._mtime_ns:
            return
        try:
            certificate = files.read_certificate(self._credentials.certificate)
            if identity_of(certificate) != self.identity:
                raise BadInputError(f"{self._credentials.certificate}: not for {self.identity}")
            self._take(load_key(self._credentials.key), certificate)
        except BadInputError as error:
            log.warning("the present certificate stays in use: %s", error)
        else:
            self._mtime_ns = mtime_ns
            log.info("%s signs with a renewed certificate", self.identity)

    def seal(
        self, topic: str, payload_sha256: bytes, properties: Properties, now_us: int, until_us: int = 0
    ) -> Properties:
        """`properties` with the seal of a message; `until_us` 0 never expires."""
        signature = self._key.sign(signed_bytes(topic, payload_sha256, properties, now_us, until_us)).signature
        seal = Envelope(now_us, until_us, signature, self._der).text()
        return dataclasses.replace(properties, user={**properties.user, PROPERTY: seal})


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1
