"""Every parser of bytes that come from outside, as a function that must return or raise BadInputError, and its seeds.

`tests/unit/test_fuzz_parsers.py` runs them under hypothesis, `campaign.py` under atheris (`make fuzz`). A target reads
its input in a form that lets mutations get past checksums: the first byte says how the rest is wrapped.
"""

from __future__ import annotations

import base64
import contextlib
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import paho.mqtt.client as paho
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt import _packet
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from edge.certification.certificate import parse_certificate
from edge.gate.gate_file import parse_gate
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.rp2040.gdb_packets import PacketReader
from firmware_sim.rp2040.image import UF2_BLOCK, load_image
from firmware_sim.rp2040.symbols import Symbols
from shared import messages
from shared.clip import ClipFrame, decode_clip, encode_clip
from shared.errors import BadInputError
from shared.escalation import Request, read_request, sender_of
from shared.images import decode_jpeg, encode_jpeg
from shared.mqtt import Incoming, Properties, parse_address
from shared.mqtt.guarded import GuardedClient, head_length
from shared.pki.authority import Authority
from shared.pki.identity import Identity
from shared.pki.trust import Trust
from shared.seal import Checker, Seal, Signer
from shared.seal.envelope import Envelope
from shared.task import parse_task
from shared.topics import Line
from shared.uart.codec import decode_body
from shared.uart.framing import PacketDecoder, encode_packet
from shared.uart.messages import MESSAGES

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "edge" / "models" / "pizza"
FIRMWARE = ROOT / "firmware_sim" / "firmware" / "prebuilt"
KINDS = (
    messages.Response,
    messages.LineVerdict,
    messages.GatewayStats,
    messages.GatewayStatus,
    messages.WorkerStatus,
    messages.BakeVerdict,
)


@dataclass(frozen=True)
class Target:
    """One parser. `share` is its part of a campaign's executions; slow parsers get less."""

    name: str
    parse: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    share: float
    max_bytes: int = 4096


def _head(data: bytes) -> tuple[int, bytes]:
    return (data[0], data[1:]) if data else (0, b"")


def uart(data: bytes) -> None:
    """Packets of the serial line: raw bytes, or a body behind a right checksum, in two pieces."""
    how, rest = _head(data)
    if how & 1:
        with contextlib.suppress(BadInputError):
            rest = encode_packet(rest)
    decoder, cut = PacketDecoder(), len(rest) * (how >> 1) // 127
    for part in (rest[:cut], rest[cut:]):
        for packet in decoder.feed(part):
            if packet.body is not None:
                with contextlib.suppress(BadInputError):
                    decode_body(packet.body)


def _uart_seeds() -> list[bytes]:
    bodies = [bytes((kind, 7)) + bytes(size) for kind in MESSAGES for size in (0, 4, 16, 64)]
    return [b"\x01" + body for body in bodies] + [b"\x40" + encode_packet(body) for body in bodies]


def clip(data: bytes) -> None:
    """The clip container: as it is, or with a checksum that fits."""
    how, rest = _head(data)
    if how & 1 and len(rest) >= 12:
        rest = rest[:-8] + struct.pack("<I", zlib.crc32(rest[:-8])) + b"CWCL"
    for frame in decode_clip(rest):
        assert frame.jpeg.startswith(b"\xff\xd8")


def _clip_seeds() -> list[bytes]:
    jpeg = b"\xff\xd8\xff\xd9"
    clips = [encode_clip([ClipFrame(jpeg * (1 + number), number) for number in range(n)]) for n in (1, 2, 8, 64)]
    return [bytes((how,)) + packed for how in (0, 1) for packed in clips]


def message(data: bytes) -> None:
    """The JSON messages."""
    how, rest = _head(data)
    messages.decode(rest, KINDS[how % len(KINDS)], "fuzz")


def _message_seeds() -> list[bytes]:
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
    how, rest = _head(data)
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


def _request_seeds() -> list[bytes]:
    asked = Request(b"x" * 16, 1, "pizza", "high", Line.of("a", "b"), b"clip", "model", 30)
    p = asked.properties()
    fields = (asked.topic, p.response_topic, "x" * 16, *p.user.values(), p.content_type, "clip")
    return [bytes((how,)) + b"\0".join(str(field).encode() for field in fields) for how in (0, 1, 2, 3)]


class _Wire:
    """A socket that has received `data` and then hears nothing more."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        if not self._data:
            raise BlockingIOError
        part, self._data = self._data[:size], self._data[size:]
        return part

    def send(self, data: bytes) -> int:
        return len(data)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def packet(data: bytes) -> None:
    """What a broker sends: MQTT 5 packets, read until one is refused."""
    client = GuardedClient(CallbackAPIVersion.VERSION2, client_id="fuzz", protocol=paho.MQTTv5, manual_ack=True)
    client.on_message = lambda c, d, message: Properties.from_paho(message.properties)
    client._sock = _Wire(data)  # type: ignore[assignment]
    for _ in range(64):
        if client._sock is None or client._packet_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return


def _packet_seeds() -> list[bytes]:
    p = Request(b"x" * 16, 1, "pizza", "high", Line.of("a", "b"), b"clip", "model", 30).properties().pack()
    topic = b"\x00\x03a/b"
    publish = topic + b"\x00\x01" + p + b"payload"
    bare = topic + b"\x00\x00\x00\x00"
    return [
        b"\x32" + _remaining(publish),
        b"\x30" + _remaining(topic + p + b"x") * 2,
        b"\x32" + _remaining(bare),
        b"\x40\x02\x00\x01\x40\x03\x00\x02\x10\x40\x04\x00\x03\x00\x00",
        b"\x90\x04\x00\x01\x00\x01\x90\x05\x00\x01\x00\x01\x87",
        b"\x20\x03\x00\x00\x00\x20\x06\x00\x00\x03\x21\x00\x14",
        b"\xe0\x00\xe0\x02\x8e\x00\xd0\x00",
    ]


def _remaining(body: bytes) -> bytes:
    assert len(body) < 128 * 128
    return (bytes((len(body) % 128 | 128, len(body) // 128)) if len(body) > 127 else bytes((len(body),))) + body


def task(data: bytes) -> None:
    """Task files."""
    parse_task(data.decode("utf-8", "replace"), "fuzz.toml")


def _task_seeds() -> list[bytes]:
    return [entry.read_bytes() for entry in resources.files("shared.tasks").iterdir() if entry.name.endswith(".toml")]


def gate(data: bytes) -> None:
    """Gate files."""
    parse_gate(data, "gate.json", 5)


def _gate_seeds() -> list[bytes]:
    return [(MODEL / "gate.json").read_bytes()]


def certificate(data: bytes) -> None:
    """Certificates of the gate's promise."""
    parse_certificate(data, "certificate.json")


def _certificate_seeds() -> list[bytes]:
    from datetime import date

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge.certification.certificate import Certificate, EscalationRate, Promise, Sample, sign

    plain = Certificate(
        1,
        "pizza",
        ("raw", "burnt"),
        "0" * 64,
        "0" * 64,
        (65535, 30000),
        0.05,
        (Promise("burnt", 0.05, 100, 1, 0.04),),
        EscalationRate(0.1, 0.05, 0.2, 100),
        Sample("rendered seed 1", 10, 100, "0" * 64),
        date(2026, 1, 1),
        date(2027, 1, 1),
        ("drift",),
    )
    return [msgspec.json.encode(sign(plain, Ed25519PrivateKey.from_private_bytes(bytes(32))))]


def tflite(data: bytes) -> None:
    """`.tflite` files."""
    read_graph(data, "fuzz.tflite")


def _tflite_seeds() -> list[bytes]:
    return [(MODEL / "model.tflite").read_bytes()]


def image(data: bytes) -> None:
    """ELF and UF2 files, with what the emulator asks of an ELF's symbols; UF2 blocks get their magic numbers."""
    how, rest = _head(data)
    if how & 1:
        blocks = [rest[at : at + 512].ljust(512, b"\0") for at in range(0, len(rest), 512)]
        rest = b"".join(b"UF2\nWQ]\x9e" + block[8:508] + b"\x30\x6f\xb1\x0a" for block in blocks)
    loaded = load_image(rest)
    symbols = Symbols(loaded.elf)
    _ = symbols.functions, symbols.objects, symbols.mapping, symbols.build_id
    if how & 2:
        _ = symbols.lines


def _image_seeds() -> list[bytes]:
    elf, uf2 = (FIRMWARE / "firmware.elf").read_bytes(), (FIRMWARE / "firmware.uf2").read_bytes()
    first = bytearray(uf2[: UF2_BLOCK.size])
    first[24:28] = (1).to_bytes(4, "little")
    two = bytearray(first + uf2[512:1024])
    two[24:28] = two[536:540] = (2).to_bytes(4, "little")
    small = elf[:52] + elf[52 : 52 + 32 * 8]
    return [b"\x00" + bytes(first), b"\x01" + bytes(two), b"\x00" + small, _small_elf()]


def _small_elf() -> bytes:
    """One segment of 16 bytes, a symbol table with one function."""
    code, names = bytes(16), b"\0main\0.text\0.symtab\0.strtab\0"
    symbols = bytes(16) + struct.pack("<IIIBBH", 1, 0x20000001, 16, 0x12, 0, 1)
    at_code, at_symbols = 84, 84 + len(code)
    at_names = at_symbols + len(symbols)
    at_sections = at_names + len(names)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    header = struct.pack("<16sHHIIIIIHHHHHH", ident, 2, 40, 1, 0x20000001, 52, at_sections, 0, 52, 32, 1, 40, 4, 3)
    program = struct.pack("<8I", 1, at_code, 0x20000000, 0x20000000, len(code), len(code), 5, 4)
    sections = (
        bytes(40)
        + struct.pack("<10I", 6, 1, 6, 0x20000000, at_code, len(code), 0, 0, 4, 0)
        + struct.pack("<10I", 12, 2, 0, 0, at_symbols, len(symbols), 3, 1, 4, 16)
        + struct.pack("<10I", 20, 3, 0, 0, at_names, len(names), 0, 0, 1, 0)
    )
    return b"\x00" + header + program + code + symbols + names + sections


def jpeg(data: bytes) -> None:
    """JPEG frames under the pixel cap."""
    decode_jpeg(data, max_pixels=65_536)


def _jpeg_seeds() -> list[bytes]:
    ramp = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)  # [H, W, 3]
    return [encode_jpeg(ramp), encode_jpeg(ramp, 30), encode_jpeg(ramp[:3, :5])]


def address(data: bytes) -> None:
    """Broker addresses."""
    str(parse_address(data.decode("utf-8", "replace")))


def debugger(data: bytes) -> None:
    """Packets of the GDB remote protocol, in pieces."""
    how, rest = _head(data)
    reader, cut = PacketReader(), len(rest) * how // 255
    reader.feed(rest[:cut])
    reader.feed(rest[cut:])


@cache
def _site() -> tuple[Authority, Trust, Seal]:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    authority = Authority.create(Path(tempfile.mkdtemp(prefix="crustwatch-fuzz-")) / "pki", "plant", now)
    trust = Trust(authority.certificate)
    signer = Signer(*authority.certify(Identity.of("gateway", "plant/oven-1"), now, 30))
    return authority, trust, Seal(signer, Checker(trust), lambda: int(now.timestamp() * 1e6))


def seal(data: bytes) -> None:
    """Seals on a message: as text, as bytes behind base64, and with a certificate of the fuzzer's making."""
    how, rest = _head(data)
    text = rest.decode("utf-8", "replace") if how & 1 else base64.b64encode(rest).decode()
    if how & 2:
        text = Envelope(1, 2, bytes(64), rest).text()
    _site()[2].check("cw/1/rsp/plant/oven-1", bytes(32), Properties(user={"seal": text}), "gateway")


def _seal_seeds() -> list[bytes]:
    text = _site()[2].sign("cw/1/rsp/plant/oven-1", bytes(32), Properties()).user["seal"]
    certificate = _site()[0].certificate.public_bytes(Encoding.DER)
    return [b"\x01" + text.encode(), b"\x00" + base64.b64decode(text), b"\x02" + certificate]


def publish(data: bytes) -> None:
    """Heads of PUBLISH packets, with the library's parser behind ours."""
    how, rest = _head(data)
    qos = how & 1
    try:
        at, _ = head_length(rest, qos)
        _packet.decode_publish(0x30 | qos << 1, rest[:at], MQTTProtocolVersion.MQTTv5)
    except MalformedPacket as error:
        raise BadInputError(str(error)) from None


def _publish_seeds() -> list[bytes]:
    packed = Properties("cw/1/rsp/a/b", bytes(16), 30, "x/y", {"schema": "1.0"}).pack()
    return [b"\x00\x00\x06cw/1/x" + packed + b"y", b"\x01\x00\x06cw/1/x\x00\x07" + packed]


TARGETS = (
    Target("message", message, _message_seeds, 0.20),
    Target("clip", clip, _clip_seeds, 0.14),
    Target("uart", uart, _uart_seeds, 0.12),
    Target("request", request, _request_seeds, 0.12),
    Target("gate", gate, _gate_seeds, 0.09, 8192),
    Target("certificate", certificate, _certificate_seeds, 0.08),
    Target("seal", seal, _seal_seeds, 0.04),
    Target("publish", publish, _publish_seeds, 0.04),
    Target("packet", packet, _packet_seeds, 0.03),
    Target("address", address, lambda: [b"mqtt://u:p@[::1]:1884", b"mqtts://h"], 0.05, 256),
    Target("debugger", debugger, lambda: [b"\x80+$qSupported:a#37$m0,4#fd\x03", b"\x00$X0,1:}\x03#aa"], 0.03, 1024),
    Target("jpeg", jpeg, _jpeg_seeds, 0.03),
    Target("task", task, _task_seeds, 0.02, 8192),
    Target("image", image, _image_seeds, 0.007, 1 << 12),
    Target("tflite", tflite, _tflite_seeds, 0.003, 1 << 17),
)
BY_NAME = {target.name: target for target in TARGETS}


def try_one(target: Target, data: bytes) -> None:
    """Parse `data`; BadInputError is the one error that a parser may raise."""
    with contextlib.suppress(BadInputError):
        target.parse(data)
