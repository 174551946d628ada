"""Files: tasks, gates, certificates, records, models, firmware, keys."""

from __future__ import annotations

import base64
import struct
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec
from message_targets import site
from wire_targets import how_and_rest

from cloud.worker.archive import Decision, Sent, parse_decision
from edge.certification.certificate import parse_certificate
from edge.gate.gate_file import parse_gate
from edge.loop.registry import parse_registry
from firmware_sim.compiler.tflite_reader import read_graph
from firmware_sim.rp2040.image import UF2_BLOCK, load_image
from firmware_sim.rp2040.symbols import Symbols
from shared.mqtt import Properties
from shared.pki import files
from shared.pki.identity import Identity
from shared.pki.keys import load_key
from shared.pki.request import read_request as read_certificate_request
from shared.pki.request import write_request
from shared.pki.trust import Trust
from shared.task import parse_task

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "edge" / "models" / "pizza"
FIRMWARE = ROOT / "firmware_sim" / "firmware" / "prebuilt"


def task(data: bytes) -> None:
    """Task files."""
    parse_task(data.decode("utf-8", "replace"), "fuzz.toml")


def task_seeds() -> list[bytes]:
    return [entry.read_bytes() for entry in resources.files("shared.tasks").iterdir() if entry.name.endswith(".toml")]


def gate(data: bytes) -> None:
    """Gate files."""
    parse_gate(data, "gate.json", 5)


def gate_seeds() -> list[bytes]:
    return [(MODEL / "gate.json").read_bytes()]


def certificate(data: bytes) -> None:
    """Certificates of the gate's promise."""
    parse_certificate(data, "certificate.json")


def certificate_seeds() -> list[bytes]:
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


def tflite_seeds() -> list[bytes]:
    return [(MODEL / "model.tflite").read_bytes()]


def image(data: bytes) -> None:
    """ELF and UF2 files, with what the emulator asks of an ELF's symbols; UF2 blocks get their magic numbers."""
    how, rest = how_and_rest(data)
    if how & 1:
        blocks = [rest[at : at + 512].ljust(512, b"\0") for at in range(0, len(rest), 512)]
        rest = b"".join(b"UF2\nWQ]\x9e" + block[8:508] + b"\x30\x6f\xb1\x0a" for block in blocks)
    loaded = load_image(rest)
    symbols = Symbols(loaded.elf)
    _ = symbols.functions, symbols.objects, symbols.mapping, symbols.build_id
    if how & 2:
        _ = symbols.lines


def image_seeds() -> list[bytes]:
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


def decision(data: bytes) -> None:
    """Records of a worker's archive."""
    parse_decision(data, "decision.json")


def decision_seeds() -> list[bytes]:
    sent = Sent(
        "cw/1/rsp/a/b", Properties("t", bytes(16), 30, "x/y", {"schema": "1.0", "seal": "AA=="}), "0" * 64, "{}"
    )
    return [msgspec.json.encode(Decision(1, sent, sent))]


@cache
def _pem_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="crustwatch-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def pem(data: bytes) -> None:
    """Certificates, revocation lists, keys and certificate requests, in PEM; half of them get its frame."""
    how, rest = how_and_rest(data)
    label = (b"CERTIFICATE", b"X509 CRL", b"PRIVATE KEY", b"CERTIFICATE REQUEST")[how % 4]
    if how & 4:
        rest = b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (label, base64.b64encode(rest), label)
    path = _pem_folder() / "fuzz.pem"
    path.write_bytes(rest)
    match how % 4:
        case 0:
            str(Trust(files.read_certificate(path)))
        case 1:
            Trust(site()[0].certificate, path)
        case 2:
            load_key(path)
        case _:
            read_certificate_request(path, Identity.of("gateway", "plant/oven-1"))


def pem_seeds() -> list[bytes]:
    folder = site()[0].folder
    request = write_request(_pem_folder(), Identity.of("gateway", "plant/oven-1")).read_bytes()
    texts = [(folder / name).read_bytes() for name in (files.CA_CERTIFICATE, files.CRL, files.CA_KEY)] + [request]
    ders = [base64.b64decode(b"".join(text.splitlines()[1:-1])) for text in texts]
    return [bytes((n,)) + text for n, text in enumerate(texts)] + [bytes((4 + n,)) + der for n, der in enumerate(ders)]


def registry(data: bytes) -> None:
    """What a folder of champions and challengers says of itself."""
    parse_registry(data, "registry.json")


def registry_seeds() -> list[bytes]:
    return [
        b'{"schema":1,"task":"pizza","champion":"a","challenger":"b","previous":["a"],"models":{"a":{"sha256":"00","files":'
        b'{"model.tflite":"00"},"parent":null,"added":"2026-01-01T00:00:00Z"},"b":{"sha256":"01","files":{},"parent":"a",'
        b'"added":"2026-01-02T00:00:00Z","metrics":{"kept":0.5}}},"events":[{"at":"2026-01-01T00:00:00Z","what":"added",'
        b'"model":"a","why":"found"}]}'
    ]
