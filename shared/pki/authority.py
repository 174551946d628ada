"""The site's certificate authority: one folder with its key, every certificate that it issued, and its revocation list.

```
ca.pem  ca.key  crl.pem          the authority; ca.key is the one file that must never leave this machine
certs/<serial>.pem               every certificate that was issued
<role>/<name>/                   what its holder needs: ca.pem crl.pem cert.pem key.pem
```
Only Ed25519 keys (RFC 8410). Nothing else is stored: a certificate is revoked when `crl.pem` lists its serial number.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.errors import BadInputError
from shared.pki import files
from shared.pki.identity import Identity
from shared.pki.keys import load_key, write_key
from shared.topics import check_name

DNS_NAME = re.compile(r"(\*\.)?[\w-]{1,63}(\.[\w-]{1,63})*", re.ASCII)
CA_DAYS = 3650
LEAF_DAYS = 365
MAX_LEAF_DAYS = 825
CRL_DAYS = 365  # renewed by every issue and revoke; brokers refuse everybody once it has passed
BACKDATE = timedelta(days=1)  # a gateway whose clock is hours behind must not distrust a worker of today

State = Literal["valid", "expired", "revoked", "not yet valid"]


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate of the authority's records."""

    identity: Identity
    serial: int
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None

    def state(self, now: datetime) -> State:
        """What it is worth at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        if now < self.not_before:
            return "not yet valid"
        return "valid" if now <= self.not_after else "expired"


class Authority:
    """The authority in a folder."""

    def __init__(self, folder: Path) -> None:
        """Open an authority that `create` made. Raises BadInputError."""
        if not (folder / files.CA_KEY).exists():
            raise BadInputError(f"{folder}: no certificate authority here: crustwatch pki init --dir {folder}")
        self.folder = folder
        self.certificate = files.read_certificate(folder / files.CA_CERTIFICATE)
        self._key = load_key(folder / files.CA_KEY)
        if self.certificate.public_key() != self._key.public_key():
            raise BadInputError(f"{folder}: {files.CA_KEY} is not the key of {files.CA_CERTIFICATE}")

    @classmethod
    def create(cls, folder: Path, site: str, now: datetime, days: int = CA_DAYS) -> Self:
        """Make an authority in a new folder. Raises BadInputError when there is one already."""
        check_name(site, "site")
        if (folder / files.CA_KEY).exists():
            raise BadInputError(f"{folder}: holds an authority already; a new one would lock everybody out")
        key = Ed25519PrivateKey.generate()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise BadInputError(f"{folder}: cannot be written: {error.strerror}") from None
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"crustwatch {site}"[:64])])
        usage = _key_usage(signs_certificates=True)
        builder = (
            _builder(name, name, key.public_key(), now, now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
        )
        certificate = builder.sign(key, None)
        staged = folder / f".{files.CA_KEY}.staged"
        staged.unlink(missing_ok=True)  # of a creation that was cut short
        write_key(staged, key)
        files.replace_file(folder / files.CA_CERTIFICATE, _pem(certificate))
        staged.replace(folder / files.CA_KEY)  # last: where it is, there is a whole authority
        authority = cls(folder)
        authority.renew_crl(now)
        return authority

    def issue(
        self,
        identity: Identity,
        now: datetime,
        days: float = LEAF_DAYS,
        hosts: Sequence[str] = (),
        public_key: Ed25519PublicKey | None = None,
    ) -> Path:
        """A certificate for `identity`, and its key unless the holder keeps that of `public_key`; returns its folder.

        Certificates that the identity holds already stay valid, so that its machines can change over one by one.
        `hosts` are the DNS names and addresses of a broker. Raises BadInputError.
        """
        if not 0 < days <= MAX_LEAF_DAYS:
            raise BadInputError(f"a certificate is valid for more than 0 and at most {MAX_LEAF_DAYS} days, not {days}")
        if bool(hosts) != (identity.role == "broker"):
            raise BadInputError("--host names the machine of a broker: at least one for a broker, none for others")
        key = Ed25519PrivateKey.generate() if public_key is None else None
        held = public_key if key is None else key.public_key()
        assert held is not None  # noqa: S101 - one of the two is there
        certificate = self._certify(identity, held, now, days, hosts)
        holder = self.folder / identity.role / identity.name
        with self._locked():
            files.replace_file(self.folder / "certs" / f"{certificate.serial_number:040x}.pem", _pem(certificate))
            if key is None:
                (holder / files.KEY).unlink(missing_ok=True)  # of an earlier certificate
            else:
                staged = holder / f".{files.KEY}.staged"
                staged.unlink(missing_ok=True)
                write_key(staged, key)
                # A program that reloads between the two finds a key that does not fit, and keeps what it has.
                staged.replace(holder / files.KEY)
            files.replace_file(holder / files.CERTIFICATE, _pem(certificate))
            files.replace_file(holder / files.CA_CERTIFICATE, _pem(self.certificate))
            self._write_crl(self._revoked(), now)
        return holder

    def certify(
        self, identity: Identity, now: datetime, days: float, hosts: Sequence[str] = ()
    ) -> tuple[Ed25519PrivateKey, x509.Certificate]:
        """A new key and its certificate, neither written nor recorded anywhere. Raises BadInputError."""
        key = Ed25519PrivateKey.generate()
        return key, self._certify(identity, key.public_key(), now, days, hosts)

    def _certify(
        self, identity: Identity, key: Ed25519PublicKey, now: datetime, days: float, hosts: Sequence[str]
    ) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(identity))])
        serves = identity.role == "broker"
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
        public = self._key.public_key()
        ends = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        if ends <= now:
            raise BadInputError(f"{self.folder}: the authority's own certificate ends: make a new one")
        builder = (
            _builder(name, self.certificate.subject, key, now, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        )
        if serves:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
            )
        return builder.sign(self._key, None)

    def revoke(self, now: datetime, identity: Identity | None = None, serial: int | None = None) -> list[Issued]:
        """Revoke what `identity` holds, or the one certificate `serial`. Raises BadInputError when there is none."""
        with self._locked():
            revoked = self._revoked()
            found = [
                issued
                for issued in self.issued()
                if issued.serial == serial or (serial is None and issued.identity == identity)
            ]
            if not found:
                raise BadInputError(f"no certificate of {identity or f'serial {serial:040x}'} was issued here")
            fresh = [issued for issued in found if issued.serial not in revoked]
            self._write_crl(revoked | {issued.serial: now for issued in fresh}, now)
        return fresh

    def issued(self) -> list[Issued]:
        """Every certificate, by identity and age. Raises BadInputError when a record cannot be read."""
        revoked = self._revoked()
        found = []
        for path in (self.folder / "certs").glob("*.pem"):
            certificate = files.read_certificate(path)
            serial = certificate.serial_number
            found.append(
                Issued(
                    identity_of(certificate),
                    serial,
                    certificate.not_valid_before_utc,
                    certificate.not_valid_after_utc,
                    revoked.get(serial),
                )
            )
        return sorted(found, key=lambda issued: (issued.identity, issued.not_before, issued.serial))

    def renew_crl(self, now: datetime) -> datetime:
        """Write the revocation list anew; returns until when it counts."""
        with self._locked():
            return self._write_crl(self._revoked(), now)

    def _revoked(self) -> dict[int, datetime]:
        path = self.folder / files.CRL
        if not path.exists():
            return {}
        return {entry.serial_number: entry.revocation_date_utc for entry in files.read_crl(path)}

    def _write_crl(self, revoked: dict[int, datetime], now: datetime) -> datetime:
        until = now + timedelta(days=CRL_DAYS)
        path = self.folder / files.CRL
        number = 1
        if path.exists():
            number += files.read_crl(path).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - BACKDATE)
            .next_update(until)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for serial, when in sorted(revoked.items()):
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
            )
        text = builder.sign(self._key, None).public_bytes(serialization.Encoding.PEM)
        files.replace_file(path, text)
        for holder in self.folder.glob(f"*/**/{files.CERTIFICATE}"):
            files.replace_file(holder.with_name(files.CRL), text)
        return until

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time."""
        handle = os.open(self.folder / files.CA_KEY, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def identity_of(certificate: x509.Certificate) -> Identity:
    """Whom a certificate names. Raises BadInputError."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise BadInputError("a certificate without exactly one common name")
    return Identity.parse(str(names[0].value))


def utc_now() -> datetime:
    """The system's wall clock, for programs; logic gets the time as an argument."""
    return datetime.now(UTC).replace(microsecond=0)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not DNS_NAME.fullmatch(host):
        raise BadInputError(f"--host takes a DNS name in ASCII or an IP address, not {host[:80]!r}")
    return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
