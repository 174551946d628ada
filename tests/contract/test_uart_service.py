"""The firmware's service, built for this machine: every message, every refusal, and the next good packet after it."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.firmware.host import HostFirmware, build_host_library, build_host_program
from shared.uart.codec import Envelope, decode_body, encode
from shared.uart.framing import PacketDecoder, cobs_encode, encode_packet
from shared.uart.messages import (
    CHUNK_MAX,
    CHUNK_UNIT,
    PACKET_MAX,
    PROTOCOL_VERSION,
    Board,
    Error,
    ErrorCode,
    FrameBegin,
    FrameChunk,
    FrameEnd,
    FrameReady,
    GateReason,
    GetStatistics,
    Hello,
    Message,
    Missing,
    Result,
    SetThresholds,
    Statistics,
    Thresholds,
)

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: apt install gcc"
)

MODEL_C = (Path(__file__).parent / "uart_tiny_model.c").read_text()
FRAME_BYTES = 16 * 16 * 3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> HostFirmware:
    folder = tmp_path_factory.mktemp("host")
    return build_host_library(MODEL_C, folder, height=16, width=16, channels=3, labels=4)


@pytest.fixture
def board(library: HostFirmware) -> HostFirmware:
    library.reset()
    return library


def replies(data: bytes) -> list[Envelope]:
    packets = PacketDecoder().feed(data)
    assert all(packet.body is not None for packet in packets)
    return [decode_body(packet.body or b"") for packet in packets]


def ask(board: HostFirmware, message: Message, sequence: int = 1, *, work: bool = True) -> Message:
    (envelope,) = replies(board.exchange(encode(message, sequence), work=work))
    assert envelope.sequence == sequence
    return envelope.message


def frame_of(red: int, green: int, blue: int) -> bytes:
    return np.full((16, 16, 3), (red, green, blue), np.uint8).tobytes()


def begin(board: HostFirmware, frame: bytes, number: int = 5) -> None:
    assert ask(board, FrameBegin(number, len(frame), zlib.crc32(frame))) == FrameReady(number)


def send_chunks(board: HostFirmware, frame: bytes, number: int = 5, size: int = 64) -> None:
    for offset in range(0, len(frame), size):
        assert board.exchange(encode(FrameChunk(number, offset, frame[offset : offset + size]), 2)) == b""


def classify(board: HostFirmware, frame: bytes, number: int = 5) -> Result:
    begin(board, frame, number)
    send_chunks(board, frame, number)
    result = ask(board, FrameEnd(number), 3)
    assert isinstance(result, Result)
    return result


def test_hello_says_who_it_is(board: HostFirmware) -> None:
    found = ask(board, Hello(PROTOCOL_VERSION))
    sha256 = bytes([0xC0, 0xFF, 0xEE]).ljust(32, b"\0")
    assert found == Board(PROTOCOL_VERSION, b"\0\1\0", sha256, 16, 16, 3, 4, 1_000_000)


def test_a_frame_is_classified_and_the_gate_decides(board: HostFirmware) -> None:
    result = classify(board, frame_of(130, 129, 128))
    assert result.logits == (2, 1, 0, 0)
    assert (result.label, result.sure, result.reason) == (0, 1, GateReason.SURE)
    assert result.probability_q15 == (32768 << 15) // (32768 + 16384 + 8192 + 8192)
    assert result.tau_q15 == 16384
    never = classify(board, frame_of(100, 128, 140))
    assert (never.label, never.sure, never.reason) == (2, 0, GateReason.NEVER_ALONE)
    equal = classify(board, frame_of(128, 128, 128))  # four equal logits: the lowest index, a quarter
    assert (equal.label, equal.probability_q15, equal.sure) == (0, 8192, 0)
    assert equal.reason == GateReason.BELOW_THRESHOLD


def test_thresholds_can_be_set_and_wrong_ones_are_refused(board: HostFirmware) -> None:
    frame = frame_of(128, 128, 128)
    assert classify(board, frame).sure == 0
    assert ask(board, SetThresholds((8192, 0, 65535, 32768))) == Thresholds((8192, 0, 65535, 32768))
    assert isinstance(ask(board, FrameEnd(5)), Error)  # the old result was decided by the old thresholds
    assert classify(board, frame).sure == 1
    for wrong in [(1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 3, 32769), ()]:
        assert ask(board, SetThresholds(wrong)) == Error(ErrorCode.BAD_VALUE, SetThresholds.TYPE, 4)
    assert classify(board, frame).sure == 1


def test_a_repeated_end_gets_the_same_result_without_a_second_inference(board: HostFirmware) -> None:
    first = classify(board, frame_of(9, 8, 7))
    assert ask(board, FrameEnd(5), 4) == first
    statistics = ask(board, GetStatistics())
    assert isinstance(statistics, Statistics)
    assert (statistics.frames, statistics.escalated) == (1, 1 - first.sure)


def test_missing_units_are_named_and_only_they_are_needed(board: HostFirmware) -> None:
    frame = np.random.default_rng(0).integers(0, 256, FRAME_BYTES, np.uint8).tobytes()
    begin(board, frame)
    lost = {0, 7, 8, 23}
    for unit in set(range(24)) - lost:
        offset = unit * CHUNK_UNIT
        board.exchange(encode(FrameChunk(5, offset, frame[offset : offset + CHUNK_UNIT]), 1))
    missing = ask(board, FrameEnd(5))
    assert isinstance(missing, Missing)
    assert {unit for unit in range(24) if missing.bitmap[unit // 8] >> unit % 8 & 1} == lost
    begin(board, frame)  # repeated, as after a lost answer: what has arrived stays
    for unit in lost:
        offset = unit * CHUNK_UNIT
        board.exchange(encode(FrameChunk(5, offset, frame[offset : offset + CHUNK_UNIT]), 1))
    assert isinstance(ask(board, FrameEnd(5)), Result)


def test_a_frame_with_another_crc_is_wanted_again(board: HostFirmware) -> None:
    frame = frame_of(1, 2, 3)
    ask(board, FrameBegin(5, len(frame), zlib.crc32(frame) ^ 1))
    send_chunks(board, frame)
    assert ask(board, FrameEnd(5)) == Error(ErrorCode.BAD_FRAME_CRC, FrameEnd.TYPE, 0)
    assert isinstance(ask(board, FrameEnd(5)), Missing)
    assert isinstance(classify(board, frame), Result)


GOOD_CHUNK = FrameChunk(5, 0, bytes(64))
BAD_PACKETS = {
    "bad crc": (cobs_encode(b"\x01\x01\x01\xde\xad\xbe\xef") + b"\0", ErrorCode.BAD_CRC, 0, 0),
    "run past the end": (b"\x09\x01\x02\0", ErrorCode.BAD_FRAMING, 0, 0),
    "too short": (cobs_encode(b"\x01\x02\x03\x04\x05") + b"\0", ErrorCode.BAD_FRAMING, 0, 0),
    "too long": (cobs_encode(b"\x01" * (PACKET_MAX + 1)) + b"\0", ErrorCode.TOO_LONG, 0, PACKET_MAX),
    "endless": (b"\xff" * 100_000 + b"\0", ErrorCode.TOO_LONG, 0, PACKET_MAX),
    "unknown type": (encode_packet(b"\x70\x01abc"), ErrorCode.UNKNOWN_TYPE, 0x70, 0x70),
    "a reply as a request": (encode(FrameReady(1), 1), ErrorCode.UNKNOWN_TYPE, FrameReady.TYPE, FrameReady.TYPE),
    "cut fields": (encode_packet(b"\x03\x01\x05"), ErrorCode.MALFORMED, FrameBegin.TYPE, 0),
    "fields too many": (encode_packet(b"\x01\x01\x01\x01"), ErrorCode.MALFORMED, Hello.TYPE, 0),
    "hostile count": (encode_packet(b"\x02\x01\xff" + bytes(34)), ErrorCode.MALFORMED, SetThresholds.TYPE, 0),
    "chunk longer than its packet": (
        encode_packet(b"\x04\x01\x05\0\0\0\0\0\xff\x01" + bytes(32)),
        ErrorCode.MALFORMED,
        FrameChunk.TYPE,
        0,
    ),
    "wrong frame size": (encode(FrameBegin(6, 1 << 31, 0), 1), ErrorCode.BAD_VALUE, FrameBegin.TYPE, FRAME_BYTES),
    "chunk of another frame": (encode(FrameChunk(9, 0, bytes(32)), 1), ErrorCode.OUT_OF_ORDER, FrameChunk.TYPE, 5),
    "end of another frame": (encode(FrameEnd(9), 1), ErrorCode.OUT_OF_ORDER, FrameEnd.TYPE, 5),
    "chunk off the grain": (encode(FrameChunk(5, 16, bytes(32)), 1), ErrorCode.OUT_OF_RANGE, FrameChunk.TYPE, 16),
    "half a unit": (encode(FrameChunk(5, 32, bytes(16)), 1), ErrorCode.OUT_OF_RANGE, FrameChunk.TYPE, 32),
    "empty chunk": (encode(FrameChunk(5, 32, b""), 1), ErrorCode.OUT_OF_RANGE, FrameChunk.TYPE, 32),
    "past the end": (encode(FrameChunk(5, 736, bytes(64)), 1), ErrorCode.OUT_OF_RANGE, FrameChunk.TYPE, 736),
    "far past the end": (
        encode(FrameChunk(5, 0xFFFFFFE0, bytes(CHUNK_MAX)), 1),
        ErrorCode.OUT_OF_RANGE,
        FrameChunk.TYPE,
        0xFFFFFFE0,
    ),
}


@pytest.mark.parametrize("case", BAD_PACKETS)
def test_a_bad_packet_is_refused_and_the_frame_under_way_goes_on(board: HostFirmware, case: str) -> None:
    packet, code, request, detail = BAD_PACKETS[case]
    frame = frame_of(50, 60, 70)
    expected = classify(board, frame)
    begin(board, frame)
    board.exchange(encode(FrameChunk(5, 0, frame[:64]), 1))
    (refusal,) = replies(board.exchange(packet))
    assert refusal.message == Error(code, request, detail)
    assert refusal.sequence == (0 if request == 0 else 1)
    send_chunks(board, frame)
    result = ask(board, FrameEnd(5))
    assert isinstance(result, Result)
    assert result.logits == expected.logits
    statistics = ask(board, GetStatistics())
    assert isinstance(statistics, Statistics)
    assert statistics.errors[code - 1] == 1
    assert sum(statistics.errors) == 1


def test_nothing_before_a_frame_was_begun_is_out_of_order(board: HostFirmware) -> None:
    assert ask(board, GOOD_CHUNK) == Error(ErrorCode.OUT_OF_ORDER, FrameChunk.TYPE, 0)
    assert ask(board, FrameEnd(0)) == Error(ErrorCode.OUT_OF_ORDER, FrameEnd.TYPE, 0)


def test_while_it_works_everything_but_hello_and_statistics_is_busy(board: HostFirmware) -> None:
    frame = frame_of(3, 2, 1)
    begin(board, frame)
    send_chunks(board, frame)
    assert board.exchange(encode(FrameEnd(5), 3), work=False) == b""
    for message in (FrameBegin(6, FRAME_BYTES, 0), GOOD_CHUNK, FrameEnd(5), SetThresholds((0, 0, 0, 0))):
        assert ask(board, message, 9, work=False) == Error(ErrorCode.BUSY, message.TYPE, 5)
    assert isinstance(ask(board, Hello(1), work=False), Board)
    assert isinstance(ask(board, GetStatistics(), work=False), Statistics)
    (late,) = replies(board.exchange(b""))
    assert isinstance(late.message, Result)
    assert late.sequence == 3


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([case[0] for case in BAD_PACKETS.values()]))))
def test_after_any_garbage_a_good_frame_is_classified(library: HostFirmware, pieces: list[bytes]) -> None:
    library.reset()
    for piece in pieces:
        replies(library.exchange(piece))  # whatever it answers is well formed
    library.exchange(b"\0")
    assert classify(library, frame_of(1, 200, 3)).label == 1


def test_hostile_streams_under_the_sanitizers(tmp_path: Path) -> None:
    program = build_host_program(MODEL_C, tmp_path)
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, FRAME_BYTES, np.uint8).tobytes()
    good = [encode(FrameBegin(5, len(frame), zlib.crc32(frame)), 1)]
    good += [encode(FrameChunk(5, at, frame[at : at + 96]), 2) for at in range(0, len(frame), 96)]
    good += [encode(FrameEnd(5), 3), encode(GetStatistics(), 4), encode(SetThresholds((1, 2, 3, 4)), 5)]
    good += [case[0] for case in BAD_PACKETS.values()]
    stream = bytearray()
    for _ in range(3000):
        packet = bytearray(good[rng.integers(len(good))])
        if rng.random() < 0.5:
            packet[rng.integers(len(packet))] ^= 1 << rng.integers(8)
        stream += packet[: rng.integers(1, len(packet) + 1)] if rng.random() < 0.1 else packet
    stream += b"\0" + b"".join(good[: 1 + 8 + 1])
    done = subprocess.run([program], input=bytes(stream), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[:2000]
    assert isinstance(replies(done.stdout)[-1].message, Result)
