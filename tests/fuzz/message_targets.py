"""Messages of gateways and workers, their seals, and what a language model wrote."""

from __future__ import annotations

import base64
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from wire_targets import how_and_rest

from cloud.answer import Answer, parse_answer
from cloud.dashboard.lines import Overview
from shared import messages
from shared.answer import read_answer
from shared.errors import BadInputError
from shared.escalation import Request, read_request, sender_of
from shared.mqtt import Incoming, Properties
from shared.pki.authority import Authority
from shared.pki.identity import Identity
from shared.pki.trust import Trust
from shared.seal import Checker, Seal, Signer
from shared.seal.envelope import Envelope
from shared.task import load_task
from shared.topics import Line

KINDS = (
    messages.Response,
    messages.LineVerdict,
    messages.GatewayStats,
    messages.GatewayStatus,
    messages.WorkerStatus,
    messages.BakeVerdict,
)


def message(data: bytes) -> None:
    """The JSON messages."""
    how, rest = how_and_rest(data)
    messages.decode(rest, KINDS[how % len(KINDS)], "fuzz")


def message_seeds() -> list[bytes]:
    said = messages.BakeVerdict(
        "dark",
        0.5,
        False,
        "why",
        0.1,
        messages.CharLocation("rim", 3),
        0.5,
        messages.Relief(1.0, 2.0),
        messages.Provenance("m", "0" * 64, "0" * 64, (0, 1), True, "sdpa", "cpu", 0.5),
    )
    edge = messages.Classification("dark", (1, -2), 0.5, False, "unsure", 1.0, "emulated", 9)
    line = messages.LineVerdict("0" * 32, "b", "dark", 0.5, "edge", "final", "sure", 1.0, 2.0, True, edge, said, True)
    stats = messages.GatewayStats(1, 1, 1, 0, 0, 0, 0.5, True, 0.1)
    examples = (
        messages.Response("0" * 32, 1, "w", said),
        line,
        stats,
        messages.GatewayStatus("online", "1", "d"),
        messages.WorkerStatus("online", "1", "m", 3, "pizza"),
        said,
    )
    return [bytes((number,)) + messages.encode(example) for number, example in enumerate(examples)]


def request(data: bytes) -> None:
    """Topic, properties and payload of a request, NUL between them."""
    how, rest = how_and_rest(data)
    parts = rest.split(b"\0", 8)
    texts = [part.decode("utf-8", "replace") for part in parts] + [""] * 9
    user = dict(zip(("schema", "model", "sha256", "attempt"), texts[3:7], strict=True))
    payload = parts[8] if len(parts) > 8 else b""
    if how & 1:
        user["sha256"] = _sha256(payload)
    if how & 2:
        user.update(zip(texts[4:8], texts[3:7], strict=True))
    incoming = Incoming(
        topic=texts[0],
        payload=payload,
        retain=False,
        properties=Properties(texts[1] or None, parts[2] if len(parts) > 2 else None, how, texts[7] or None, user),
    )
    sender_of(incoming)
    read_request(incoming)


def _sha256(payload: bytes) -> str:
    import hashlib

    return hashlib.sha256(payload).hexdigest()


def request_seeds() -> list[bytes]:
    asked = Request(b"x" * 16, 1, "pizza", "high", Line.of("a", "b"), b"clip", "model", 30)
    p = asked.properties()
    fields = (asked.topic, p.response_topic, "x" * 16, *p.user.values(), p.content_type, "clip")
    return [bytes((how,)) + b"\0".join(str(field).encode() for field in fields) for how in (0, 1, 2, 3)]


@cache
def site() -> tuple[Authority, Trust, Seal]:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    authority = Authority.create(Path(tempfile.mkdtemp(prefix="crustwatch-fuzz-")) / "pki", "plant", now)
    trust = Trust(authority.certificate)
    signer = Signer(*authority.certify(Identity.of("gateway", "plant/oven-1"), now, 30))
    return authority, trust, Seal(signer, Checker(trust), lambda: int(now.timestamp() * 1e6))


def seal(data: bytes) -> None:
    """Seals on a message: as text, as bytes behind base64, and with a certificate of the fuzzer's making."""
    how, rest = how_and_rest(data)
    text = rest.decode("utf-8", "replace") if how & 1 else base64.b64encode(rest).decode()
    if how & 2:
        text = Envelope(1, 2, bytes(64), rest).text()
    site()[2].check("cw/1/rsp/plant/oven-1", bytes(32), Properties(user={"seal": text}), "gateway")


def seal_seeds() -> list[bytes]:
    text = site()[2].sign("cw/1/rsp/plant/oven-1", bytes(32), Properties()).user["seal"]
    certificate = site()[0].certificate.public_bytes(Encoding.DER)
    return [b"\x01" + text.encode(), b"\x00" + base64.b64decode(text), b"\x02" + certificate]


def answer(data: bytes) -> None:
    """Answers to a gateway: one message that the seal is not asked about, and one that it is."""
    how, rest = how_and_rest(data)
    head, _, payload = rest.partition(b"\0")
    user = {"request": head.decode("utf-8", "replace"), "seal": head.decode("utf-8", "replace")}
    message = Incoming("cw/1/rsp/plant/oven-1", payload, False, Properties(correlation=head[:16], user=user))
    read_answer(message, site()[2] if how & 1 else None)


def answer_seeds() -> list[bytes]:
    return [b"\0" + b"0" * 64 + b"\0" + text[1:] for text in message_seeds()[:1]]


def dashboard(data: bytes) -> None:
    """What a dashboard is sent: a topic of its filters, then a payload."""
    topic, _, payload = data.partition(b"\0")
    overview = Overview()
    overview.note(Incoming(topic.decode("utf-8", "replace"), payload, False, Properties()))
    if overview.refused:
        raise BadInputError("refused")


def dashboard_seeds() -> list[bytes]:
    _, verdict, stats, gateway, worker, _ = (seed[1:] for seed in message_seeds())
    line = b"cw/1/plant/oven-1/"
    said = ((line + b"belt/verdict", verdict), (line + b"stats", stats), (line + b"status", gateway))
    return [topic + b"\0" + payload for topic, payload in (*said, (b"cw/1/worker/w-1/status", worker))]


def words(data: bytes) -> None:
    """What a language model wrote."""
    parse_answer(data.decode("utf-8", "replace"), load_task("pizza"))


def word_seeds() -> list[bytes]:
    plain = Answer("dark", 7, "rim", 3, 85, 22, 4).text().encode()
    return [plain, b"```json\n" + plain + b"\n```"]
