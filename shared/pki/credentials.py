"""What one program proves itself with: the files that `crustwatch pki issue` wrote for its identity."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.errors import BadInputError
from shared.pki import files
from shared.pki.authority import identity_of
from shared.pki.identity import Identity
from shared.pki.keys import load_key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths of the authority's certificate, one's own certificate and its key."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, folder: Path | None, ca: Path | None, certificate: Path | None, key: Path | None) -> Self | None:
        """From a folder, from single files, or a folder with single files elsewhere; None when nothing is named.

        Raises BadInputError when a file is missing.
        """
        if folder is None and ca is None and certificate is None and key is None:
            return None
        found = []
        for path, name, option in (
            (ca, files.CA_CERTIFICATE, "--ca"),
            (certificate, files.CERTIFICATE, "--cert"),
            (key, files.KEY, "--key"),
        ):
            chosen = path or (folder / name if folder is not None else None)
            if chosen is None:
                raise BadInputError(f"{option} is missing: name --ca, --cert and --key, or --identity for all three")
            if not chosen.is_file():
                raise BadInputError(f"{chosen}: no such file; crustwatch pki issue writes the folder for --identity")
            found.append(chosen)
        return cls(*found)

    def identity(self) -> Identity:
        """Who this is. Raises BadInputError."""
        return identity_of(files.read_certificate(self.certificate))

    def check(self) -> None:
        """Raise BadInputError when the key is not the certificate's: OpenSSL's own words would not say which file."""
        if files.read_certificate(self.certificate).public_key() != load_key(self.key).public_key():
            raise BadInputError(f"{self.key}: not the key of {self.certificate}")
        if self.key.stat().st_mode & 0o077:
            log.warning("%s can be read by others: chmod 600 %s", self.key, self.key)

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 to a broker of this authority, with this certificate. Raises BadInputError."""
        self.check()
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            raise BadInputError(f"{self.certificate}: cannot be used for TLS: {error}") from None
        return context
