"""Names of the files of an authority and of an identity, and writing them so that a reader never sees half of one."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm

from shared import atomic_file
from shared.errors import BadInputError

CA_CERTIFICATE = "ca.pem"
CA_KEY = "ca.key"
CRL = "crl.pem"
CERTIFICATE = "cert.pem"
KEY = "key.pem"
REQUEST = "request.pem"
MALFORMED = (  # what the library raises at damage: some of it when a file is read, some when a field is asked for
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InternalError,  # OpenSSL's word for a key of the wrong length; found by fuzzing
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
MAX_PEM_BYTES = 4 * 1024 * 1024  # a revocation list of 50,000 entries


def read_file(path: Path) -> bytes:
    """The bytes of a small file. Raises BadInputError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > MAX_PEM_BYTES:
        raise BadInputError(f"{path}: more than {MAX_PEM_BYTES} bytes, so neither certificate nor revocation list")
    return text


def read_certificate(path: Path) -> x509.Certificate:
    """One certificate in PEM. Raises BadInputError."""
    try:
        certificate = x509.load_pem_x509_certificate(read_file(path))
        _ = certificate.subject, certificate.issuer, certificate.public_key(), certificate.extensions
    except MALFORMED as error:
        raise BadInputError(f"{path}: not a certificate in PEM: {str(error)[:120]}") from None
    return certificate


def read_crl(path: Path) -> x509.CertificateRevocationList:
    """A revocation list in PEM. Raises BadInputError."""
    try:
        crl = x509.load_pem_x509_crl(read_file(path))
        _ = crl.issuer, crl.extensions
    except MALFORMED as error:
        raise BadInputError(f"{path}: not a revocation list in PEM: {str(error)[:120]}") from None
    return crl


def replace_file(path: Path, text: bytes, mode: int = 0o644) -> None:
    """Write `path` whole or not at all. Raises BadInputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.replace_file(path, text, mode)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be written: {error.strerror}") from None
