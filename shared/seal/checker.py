"""Checks seals: the signature, the certificate behind it, and that it speaks for the topic it is used on."""

from __future__ import annotations

from nacl.exceptions import BadSignatureError

from shared.errors import BadInputError
from shared.mqtt.message import Properties
from shared.pki.trust import Trust
from shared.seal.envelope import PROPERTY, Sealed, read_envelope, signed_bytes

MAX_CLOCK_ERROR_US = 86_400 * 1_000_000
"""How far two clocks of a site may differ before a message counts as expired: clocks jump by hours (decision 0102)."""


class SealError(BadInputError):
    """A message without a seal that counts: nothing in it is to be believed, not even whom to answer."""


class Checker:
    """Reads seals by the site's trust."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def look_again(self, monotonic_s: float) -> None:
        """Take up a changed revocation list."""
        self._trust.look_again(monotonic_s)

    def check(self, topic: str, payload_sha256: bytes, properties: Properties, now_us: int, signer: str) -> Sealed:
        """The seal of a message that only `signer` (a common name, or a role for anybody of it) may have sent.

        Raises SealError: no seal, changed on the way, untrusted, or somebody else's.
        """
        text = properties.user.get(PROPERTY)
        if text is None:
            raise SealError(f"{topic}: not sealed, and this end takes sealed messages only")
        try:
            envelope = read_envelope(text)
            identity, key = self._trust.check(envelope.certificate, now_us)
        except BadInputError as error:
            raise SealError(f"{topic}: {error}") from None
        if signer not in (str(identity), identity.role):
            raise SealError(f"{topic}: sealed by {identity}, which does not speak for {signer}")
        message = signed_bytes(topic, payload_sha256, properties, envelope.sent_us, envelope.until_us)
        try:
            key.verify(message, envelope.signature)
        except BadSignatureError:
            raise SealError(f"{topic}: changed after {identity} sealed it") from None
        return Sealed(str(identity), envelope.sent_us, envelope.until_us)


def is_stale(sealed: Sealed, now_us: int) -> bool:
    """Whether a message's time has passed by so much that no wrong clock explains it."""
    return bool(sealed.until_us) and now_us > sealed.until_us + MAX_CLOCK_ERROR_US
