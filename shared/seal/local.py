"""Seals for a single machine that nobody set up: an authority of this user, made on first use."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from shared.clock import NowUs, system_now_us
from shared.errors import BadInputError
from shared.pki import files
from shared.pki.authority import MAX_LEAF_DAYS, Authority, utc_now
from shared.pki.identity import Identity
from shared.pki.trust import Trust
from shared.seal.checker import Checker
from shared.seal.seal import Seal
from shared.seal.signer import Signer

LOCAL_DAYS = MAX_LEAF_DAYS  # of a key that lives and dies with its process


def default_folder() -> Path:
    """Where the authority of this user is kept (XDG base directories)."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path("~/.config").expanduser()) / "crustwatch" / "local-pki"


def local_seal(identity: Identity, folder: Path | None = None, now_us: NowUs = system_now_us) -> Seal:
    """A seal with a key that only this process has, certified by this user's authority. Raises BadInputError."""
    authority = _open_or_create(folder or default_folder())
    signer = Signer(*authority.certify(identity, utc_now(), LOCAL_DAYS))
    return Seal(signer, Checker(Trust(authority.certificate)), now_us)


def _open_or_create(folder: Path) -> Authority:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        words = f"{folder}: no place for this user's keys: {error.strerror}; set XDG_CONFIG_HOME, or use --unsigned"
        raise BadInputError(words) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # gateway and worker may both be the first
        if not (folder / files.CA_KEY).exists():
            Authority.create(folder, "local", utc_now())
        return Authority(folder)
    finally:
        os.close(handle)
