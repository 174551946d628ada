"""Whose certificates count: issued by the site's authority, valid now, not revoked. Knows no sockets.

Checked certificates are remembered by their bytes, so that a message costs one signature check and not two.
"""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID
from nacl.signing import VerifyKey

from shared.errors import BadInputError
from shared.pki import files
from shared.pki.authority import identity_of
from shared.pki.identity import Identity

log = logging.getLogger(__name__)

MAX_CERTIFICATE_BYTES = 2048  # DER; ours have about 450
REMEMBERED = 4096  # checked certificates, about 3 KB each
RELOAD_S = 5.0  # how often the revocation list's file is looked at


class DistrustError(BadInputError):
    """A certificate that does not count: unknown authority, expired, revoked, or for another purpose."""


class _Known(NamedTuple):
    identity: Identity
    key: VerifyKey
    serial: int
    not_before_us: int
    not_after_us: int


class Trust:
    """The authority's certificate and its newest revocation list."""

    def __init__(self, ca: x509.Certificate, crl_path: Path | None = None, *, in_hindsight: bool = False) -> None:
        """`crl_path` is read again when it changes. `in_hindsight` a certificate counts until it was revoked.

        Raises BadInputError when the file is not the authority's list.
        """
        public = ca.public_key()
        if not isinstance(public, Ed25519PublicKey):
            raise BadInputError("the authority's certificate has no Ed25519 key: crustwatch pki init makes one")
        self._ca = ca
        self._public = public
        self._crl_path = crl_path
        self._crl_mtime_ns = -1
        self._looked_s = float("-inf")
        self._in_hindsight = in_hindsight
        self._revoked: dict[int, int] = {}  # serial -> when, microseconds since the Unix epoch
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        if crl_path is not None:
            self._read_crl(crl_path)

    @classmethod
    def load(cls, ca_path: Path, *, in_hindsight: bool = False) -> Trust:
        """From `ca.pem`, and `crl.pem` beside it when there is one. Raises BadInputError."""
        crl_path = ca_path.with_name(files.CRL)
        if not crl_path.exists():
            log.warning("%s is missing: revoked certificates are not noticed", crl_path)
        return cls(files.read_certificate(ca_path), crl_path if crl_path.exists() else None, in_hindsight=in_hindsight)

    def look_again(self, monotonic_s: float) -> None:
        """Read a changed revocation list; a broken one is reported and the last good one kept."""
        if self._crl_path is None or monotonic_s - self._looked_s < RELOAD_S:
            return
        self._looked_s = monotonic_s
        try:
            if self._crl_path.stat().st_mtime_ns != self._crl_mtime_ns:
                self._read_crl(self._crl_path)
        except (OSError, BadInputError) as error:
            log.warning("the last good revocation list stays in force: %s", error)

    def _read_crl(self, path: Path) -> None:
        mtime_ns = path.stat().st_mtime_ns
        crl = files.read_crl(path)
        try:
            genuine = crl.issuer == self._ca.subject and crl.is_signature_valid(self._public)
        except files.MALFORMED:
            genuine = False
        if not genuine:
            raise BadInputError(f"{path}: not signed by the authority of {files.CA_CERTIFICATE}")
        self._revoked = {entry.serial_number: int(entry.revocation_date_utc.timestamp() * 1e6) for entry in crl}
        self._crl_mtime_ns = mtime_ns

    def check(self, der: bytes, now_us: int) -> tuple[Identity, VerifyKey]:
        """Whom a certificate speaks for, and its key. Raises DistrustError. `now_us`: since the Unix epoch."""
        known = self._known.get(der)
        if known is None:
            known = self._verify(der)
            self._known[der] = known
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        revoked_us = self._revoked.get(known.serial)
        if revoked_us is not None and not (self._in_hindsight and now_us < revoked_us):
            raise DistrustError(f"the certificate of {known.identity} is revoked")
        if not known.not_before_us <= now_us <= known.not_after_us:
            ends = datetime.fromtimestamp(known.not_after_us // 1_000_000, UTC).date()
            raise DistrustError(f"the certificate of {known.identity} is not valid now; it ends on {ends}")
        return known.identity, known.key

    def _verify(self, der: bytes) -> _Known:
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise DistrustError(f"a certificate has at most {MAX_CERTIFICATE_BYTES} bytes, not {len(der)}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the library's advice about strangers' certificates
                certificate = x509.load_der_x509_certificate(der)
            if certificate.issuer != self._ca.subject:
                raise DistrustError("the certificate is of another authority")
            certificate.verify_directly_issued_by(self._ca)
            uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
            key = certificate.public_key()
        except InvalidSignature:
            raise DistrustError("the certificate is not signed by this site's authority") from None
        except DistrustError:
            raise
        except (*files.MALFORMED, x509.ExtensionNotFound) as error:
            raise DistrustError(f"not a certificate: {str(error)[:120]}") from None
        if basic.ca or ExtendedKeyUsageOID.CLIENT_AUTH not in uses or not isinstance(key, Ed25519PublicKey):
            raise DistrustError("the certificate is for another purpose")
        return _Known(
            identity_of(certificate),
            VerifyKey(key.public_bytes_raw()),
            certificate.serial_number,
            int(certificate.not_valid_before_utc.timestamp() * 1e6),
            int(certificate.not_valid_after_utc.timestamp() * 1e6),
        )
