"""A worker's answer on the wire: JSON as payload, what it answers as MQTT 5 properties. Knows no sockets.

| property        | value                                                     |
| --------------- | --------------------------------------------------------- |
| CorrelationData | the 16-byte id of the bake                                |
| ContentType     | `application/json`                                        |
| user `schema`   | `1.<minor>`                                               |
| user `worker`   | its name, as in its status topic                          |
| user `attempt`  | of the request                                            |
| user `request`  | sha256 of the clip that was judged, 64 hex digits         |
| user `seal`     | the worker's signature over all of this (`shared/seal`)   |
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import BadInputError
from shared.escalation import Sender
from shared.messages import SCHEMA, Response, decode
from shared.mqtt.message import Incoming, Properties

if TYPE_CHECKING:
    from shared.seal.seal import Seal

CONTENT_TYPE = "application/json"


def answer_properties(
    sender: Sender, worker: str, request_sha256: str, payload: bytes, seal: Seal | None
) -> Properties:
    """The properties of an answer to `sender`; without a seal it is unsigned."""
    user = {"schema": SCHEMA, "worker": worker, "attempt": str(sender.attempt), "request": request_sha256}
    properties = Properties(correlation=sender.id, content_type=CONTENT_TYPE, user=user)
    if seal is None:
        return properties
    return seal.sign(sender.line.response, hashlib.sha256(payload).digest(), properties)


class Answer(NamedTuple):
    """A worker's answer, and the sha256 of the clip that it judged; empty when it does not say."""

    response: Response
    clip_sha256: str


def read_answer(message: Incoming, seal: Seal | None) -> Answer:
    """The answer in a message. With a seal it must be a worker's, under its own name and for the id it says.

    Raises SealError when nobody who may answer has sealed it, BadInputError when it is not an answer.
    """
    if seal is None:
        response = decode(message.payload, Response, message.topic)
        return Answer(response, message.properties.user.get("request", ""))
    sealed = seal.check(message.topic, hashlib.sha256(message.payload).digest(), message.properties, "worker")
    response = decode(message.payload, Response, message.topic)
    properties = message.properties
    if (properties.correlation or b"").hex() != response.id or sealed.signer != f"worker/{response.worker}":
        raise BadInputError(f"{message.topic}: {sealed.signer} contradicts itself about whose answer this is")
    return Answer(response, properties.user.get("request", ""))
