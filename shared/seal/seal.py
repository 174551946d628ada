"""Both sides of sealing for one program: what it signs with and whom it believes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from shared.clock import NowUs, system_now_us
from shared.mqtt.message import Properties
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.pki.trust import Trust
from shared.seal.checker import Checker
from shared.seal.envelope import Sealed
from shared.seal.signer import Signer


class Seal:
    """One identity's signer and checker, on the clocks it is given."""

    def __init__(
        self,
        signer: Signer,
        checker: Checker,
        now_us: NowUs = system_now_us,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signer = signer
        self._checker = checker
        self.now_us = now_us
        self._monotonic_s = monotonic_s

    @classmethod
    def load(cls, credentials: Credentials, now_us: NowUs = system_now_us) -> Self:
        """From the files that `crustwatch pki issue` wrote. Raises BadInputError."""
        return cls(Signer.load(credentials), Checker(Trust.load(credentials.ca)), now_us)

    @property
    def identity(self) -> Identity:
        """Who signs."""
        return self._signer.identity

    def sign(self, topic: str, payload_sha256: bytes, properties: Properties, until_us: int = 0) -> Properties:
        """`properties` with this identity's seal."""
        self._signer.look_again(self._monotonic_s())
        return self._signer.seal(topic, payload_sha256, properties, self.now_us(), until_us)

    def check(self, topic: str, payload_sha256: bytes, properties: Properties, signer: str) -> Sealed:
        """The seal of a received message that `signer` must have sent. Raises SealError."""
        self._checker.look_again(self._monotonic_s())
        return self._checker.check(topic, payload_sha256, properties, self.now_us(), signer)


def load_seal(folder: Path, now_us: NowUs = system_now_us) -> Seal:
    """The seal of an identity's folder. Raises BadInputError."""
    credentials = Credentials.of(folder, None, None, None)
    assert credentials is not None  # noqa: S101 - a folder was named
    return Seal.load(credentials, now_us)
