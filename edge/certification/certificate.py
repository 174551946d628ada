"""The certificate: what was promised, on which evidence, for which model, until when. Signed JSON."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge.gate.gate_file import GateFile
from edge.gate.integer import check_thresholds
from shared.errors import BadInputError
from shared.json_text import NOT_JSON

MAX_BYTES = 65_536
SCHEMA = 1


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the items of one critical label, the share that the edge passes as something else is at most `alpha`."""

    label: str
    alpha: float
    items: int  # of this label in the certification sample
    misses: int  # of them passed as something else
    bound: float  # the miss rate that is not exceeded with the certificate's confidence


class EscalationRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Share of the certification sample that is escalated, with its 95 % Wilson interval."""

    share: float
    low: float
    high: float
    n: int


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data behind the promise. `sha256` is over the classifier's frames and labels, in order."""

    data: str  # "rendered seed 2000", or the folder or table of photographs
    tuning_items: int
    certification_items: int
    sha256: str


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is signed. Thresholds are the device's integers: Q15 by label, 65535 for never alone.

    What is at its default is left out, so that certificates from before `assumes` keep their signature.
    """

    schema: int
    task: str
    labels: tuple[str, ...]
    model_sha256: str
    gate_table_sha256: str  # of the exponential table that turns logits into probabilities
    tau_q15: tuple[int, ...]
    delta: float  # all promises hold together with confidence 1 - delta over the draw of the sample
    promises: tuple[Promise, ...]
    escalation: EscalationRate
    sample: Sample
    issued: date
    expires: date
    ends_when: tuple[str, ...]
    assumes: tuple[str, ...] = ()  # what the proof takes for granted


class SignedCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: certificate, raw Ed25519 public key and signature in base64."""

    certificate: Certificate
    public_key: str
    signature: str


def signed_bytes(certificate: Certificate) -> bytes:
    """What the signature covers: the certificate as JSON with sorted keys and no white space."""
    return msgspec.json.encode(certificate, order="sorted")


def sign(certificate: Certificate, key: Ed25519PrivateKey) -> SignedCertificate:
    """The certificate with its signature (RFC 8032)."""
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    return SignedCertificate(certificate, public, base64.b64encode(key.sign(signed_bytes(certificate))).decode())


def save_certificate(signed: SignedCertificate, path: Path) -> None:
    """Write the file, indented for people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(signed), indent=1) + b"\n")


def load_certificate(path: Path, public_key: str | None = None) -> SignedCertificate:
    """Read a certificate. Raises as `parse_certificate`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_certificate(text, str(path), public_key)


def parse_certificate(text: bytes, path: str, public_key: str | None = None) -> SignedCertificate:
    """The certificate in the bytes of a file; checks its signature, and with `public_key` (base64) whose it is.

    Raises BadInputError with `path`. Expiry is the reader's business: `Certificate.expires`.
    """
    if len(text) > MAX_BYTES:
        raise BadInputError(f"{path}: {len(text)} bytes; a certificate has at most {MAX_BYTES}")
    try:
        signed = msgspec.json.decode(text, type=SignedCertificate)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signed.public_key, validate=True))
        signature = base64.b64decode(signed.signature, validate=True)
    except (*NOT_JSON, binascii.Error, ValueError) as error:
        raise BadInputError(f"{path}: not a certificate: {error}") from None
    if public_key is not None and signed.public_key != public_key:
        raise BadInputError(f"{path}: signed by {signed.public_key}, not by {public_key}")
    try:
        key.verify(signature, signed_bytes(signed.certificate))
    except InvalidSignature:
        raise BadInputError(f"{path}: the signature does not fit: the certificate was changed") from None
    certificate = signed.certificate
    if certificate.schema != SCHEMA or len(certificate.tau_q15) != len(certificate.labels):
        raise BadInputError(f"{path}: schema {certificate.schema} with {len(certificate.tau_q15)} thresholds")
    check_thresholds(certificate.tau_q15)
    return signed


def table_digest(gate: GateFile) -> str:
    """SHA-256 of the 256 little-endian uint16 of the exponential table."""
    return hashlib.sha256(np.array(gate.lut, "<u2").tobytes()).hexdigest()
