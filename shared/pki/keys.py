"""Ed25519 private keys (RFC 8032) in PEM files that only their owner can read."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.errors import BadInputError
from shared.pki.files import MALFORMED


def load_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`. Raises BadInputError when the file cannot be read or holds no such key."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except MALFORMED:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInputError(f"{path}: not an Ed25519 private key in PEM without a password")
    return key


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`; made on first use, mode 0600. Raises BadInputError when the file holds no such key."""
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        write_key(path, key)
        return key
    return load_key(path)


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a key into a new file, mode 0600. Raises BadInputError when it cannot be written or is there already."""
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BadInputError(f"{path}: the private key cannot be written: {error.strerror}") from None
