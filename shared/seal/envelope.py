"""The bytes that a seal signs, and the form in which it travels: the MQTT 5 user property `seal`. Knows no sockets.

```
seal         base64 of: u8 version | i64 sent_us | i64 until_us | 64-byte Ed25519 signature | certificate (DER)
signed       "crustwatch seal 1\\n", then topic, correlation, response topic, content type, sha256 of the payload,
             sent_us and until_us (i64), the number of other user properties (u32) and each of them by key, then value.
             Texts and byte strings stand behind their length (u32); absent ones are empty. Little-endian.
```
Everything that a reader acts on is signed, and no two messages have the same bytes. What a broker may change by itself
is not: MessageExpiry, which it counts down, DUP and RETAIN. `until_us` is the sender's own word on expiry; 0 is never.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass

from shared.errors import BadInputError
from shared.mqtt.message import Properties
from shared.pki.trust import MAX_CERTIFICATE_BYTES

PROPERTY = "seal"
VERSION = 1
SIGNATURE_BYTES = 64  # RFC 8032
_DOMAIN = b"crustwatch seal 1\n"  # no TLS 1.3 signature begins so (RFC 8446, 4.4.3: 64 spaces)
_HEAD = struct.Struct("<Bqq64s")
_MAX_TEXT = 4 * (_HEAD.size + MAX_CERTIFICATE_BYTES + 2) // 3


@dataclass(frozen=True, slots=True)
class Envelope:
    """A seal as it travels."""

    sent_us: int  # since the Unix epoch, by the sender's clock
    until_us: int
    signature: bytes
    certificate: bytes  # DER

    def text(self) -> str:
        """The property's value."""
        head = _HEAD.pack(VERSION, self.sent_us, self.until_us, self.signature)
        return base64.b64encode(head + self.certificate).decode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a checked seal says."""

    signer: str  # the common name in its certificate: gateway/<site>/<gateway>, worker/<name>
    sent_us: int
    until_us: int


def read_envelope(text: str) -> Envelope:
    """Take a seal apart. Raises BadInputError for anything that `Envelope.text` cannot have written."""
    if len(text) > _MAX_TEXT:
        raise BadInputError(f"a seal has at most {_MAX_TEXT} characters, not {len(text)}")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadInputError("the seal is not base64") from None
    if len(data) <= _HEAD.size or data[0] != VERSION:
        raise BadInputError(f"not a seal of version {VERSION}")
    _, sent_us, until_us, signature = _HEAD.unpack_from(data)
    return Envelope(sent_us, until_us, signature, data[_HEAD.size :])


def signed_bytes(topic: str, payload_sha256: bytes, properties: Properties, sent_us: int, until_us: int) -> bytes:
    """The canonical form of a message; a property `seal` among the user properties is left out."""
    others = sorted((key, value) for key, value in properties.user.items() if key != PROPERTY)
    parts = [_DOMAIN]
    for field in (
        topic.encode(),
        properties.correlation or b"",
        (properties.response_topic or "").encode(),
        (properties.content_type or "").encode(),
        payload_sha256,
    ):
        parts += (struct.pack("<I", len(field)), field)
    parts.append(struct.pack("<qqI", sent_us, until_us, len(others)))
    for key, value in others:
        for text in (key.encode(), value.encode()):
            parts += (struct.pack("<I", len(text)), text)
    return b"".join(parts)
