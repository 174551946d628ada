"""The firmware on the emulated chip: boot, clocks, line speed, and every kind of bad input with a good frame behind."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from edge.devices.model import DEFAULT_MODEL
from firmware_sim.board.client import BoardClient
from firmware_sim.board.emulated import EmulatedLine
from shared.uart.codec import decode_body, encode
from shared.uart.framing import PacketDecoder, cobs_encode, encode_packet
from shared.uart.messages import (
    BAUD,
    PACKET_MAX,
    Error,
    ErrorCode,
    FrameBegin,
    FrameChunk,
    FrameEnd,
    FrameReady,
    GetStatistics,
    Hello,
    Message,
    Result,
    SetThresholds,
    Statistics,
)

FRAME = np.random.default_rng(2).integers(0, 256, (48, 48, 3), np.uint8).tobytes()


@pytest.fixture(scope="module")
def line() -> EmulatedLine:
    return EmulatedLine()


@pytest.fixture
def fresh(line: EmulatedLine) -> Iterator[EmulatedLine]:
    line.reopen()
    yield line
    assert line.board.warnings == []


def answers(line: EmulatedLine, data: bytes, seconds: float = 0.06) -> list[Message]:
    """What the board says to `data` within emulated seconds, which include its start."""
    line.write(data)
    until_s = line.now_s() + seconds + len(data) * 10 / BAUD
    found = bytearray()
    while part := line.read(until_s):
        found += part
    return [decode_body(packet.body or b"").message for packet in PacketDecoder().feed(bytes(found))]


def test_it_boots_to_125_mhz_and_the_protocols_baud_rate(fresh: EmulatedLine) -> None:
    board = BoardClient(fresh).hello()
    assert board.clock_hz == fresh.board.clock_hz == 125_000_000
    assert fresh.board.uart0.baud == pytest.approx(BAUD, rel=0.002)
    assert (DEFAULT_MODEL / "model.tflite").exists()
    assert fresh.now_s() < 0.05


def test_an_inference_reports_its_cycles_and_the_stack_suffices(fresh: EmulatedLine) -> None:
    client = BoardClient(fresh)
    client.hello()
    first, second = client.classify(FRAME), client.classify(FRAME)
    assert first.logits == second.logits
    assert first.inference_us == pytest.approx(first.cycles / 125, abs=5)
    assert second.cycles == pytest.approx(first.cycles, rel=0.001)
    statistics = client.statistics()
    assert statistics.frames == 2
    assert 200 < statistics.stack_bytes < 2048
    assert statistics.uptime_us == pytest.approx(fresh.now_s() * 1e6, rel=0.05, abs=30_000)  # start-up runs slower


BAD = {
    "bad crc": (cobs_encode(b"\x01\x01\x01\xde\xad\xbe\xef") + b"\0", ErrorCode.BAD_CRC),
    "bad framing": (b"\x09\x01\x02\0", ErrorCode.BAD_FRAMING),
    "oversize": (b"\x33" * 3 * PACKET_MAX + b"\0", ErrorCode.TOO_LONG),
    "unknown type": (encode_packet(b"\x70\x01"), ErrorCode.UNKNOWN_TYPE),
    "malformed": (encode_packet(b"\x03\x01\x05"), ErrorCode.MALFORMED),
    "out of order": (encode(FrameChunk(99, 0, bytes(32)), 1), ErrorCode.OUT_OF_ORDER),
    "end out of order": (encode(FrameEnd(99), 1), ErrorCode.OUT_OF_ORDER),
    "wrong size": (encode(FrameBegin(1, 6911, 0), 1), ErrorCode.BAD_VALUE),
    "wrong thresholds": (encode(SetThresholds((1, 2)), 1), ErrorCode.BAD_VALUE),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_an_error_and_the_next_good_frame_works(fresh: EmulatedLine, case: str) -> None:
    packet, code = BAD[case]
    (refusal,) = answers(fresh, packet)
    assert isinstance(refusal, Error)
    assert refusal.code == code
    client = BoardClient(fresh)
    assert len(client.classify(FRAME).logits) == 5
    errors = client.statistics().errors
    assert errors[code - 1] == 1
    assert sum(errors) - errors[ErrorCode.BUSY - 1] == 1


def test_garbage_is_survived(fresh: EmulatedLine) -> None:
    garbage = np.random.default_rng(3).integers(0, 256, 20_000, np.uint8).tobytes()
    found = answers(fresh, garbage + b"\0")
    assert found
    assert all(isinstance(message, Error) for message in found)
    assert len(BoardClient(fresh).classify(FRAME).logits) == 5


def test_while_it_infers_it_answers_busy_and_a_flood_is_counted(fresh: EmulatedLine) -> None:
    chunks = [encode(FrameChunk(1, at, FRAME[at : at + 512]), 2) for at in range(0, len(FRAME), 512)]
    begin = encode(FrameBegin(1, len(FRAME), zlib.crc32(FRAME)), 1)
    assert answers(fresh, begin + b"".join(chunks)) == [FrameReady(1)]
    busy = answers(fresh, encode(FrameEnd(1), 3) + encode(FrameEnd(1), 4) + encode(Hello(1), 5), seconds=1.0)
    kinds = [type(message).__name__ for message in busy]
    assert kinds == ["Error", "Board", "Result"]
    assert busy[0] == Error(ErrorCode.BUSY, FrameEnd.TYPE, 1)

    assert answers(fresh, begin + b"".join(chunks)) == [FrameReady(1)]
    flood = encode(GetStatistics(), 9) * 1500  # 12 bytes each: more than the ring holds during a layer
    flooded = answers(fresh, encode(FrameEnd(1), 3) + flood, seconds=1.0)
    assert any(message == Error(ErrorCode.OVERRUN, 0, 0) for message in flooded)
    assert sum(isinstance(message, Result) for message in flooded) == 1
    last = answers(fresh, b"\0" + encode(GetStatistics(), 9))[-1]  # the zero ends what the flood left unfinished
    assert isinstance(last, Statistics)
    assert last.errors[ErrorCode.OVERRUN - 1] >= 1
    assert len(BoardClient(fresh).classify(FRAME).logits) == 5


def test_one_percent_of_corrupted_bytes_costs_time_and_nothing_else(fresh: EmulatedLine) -> None:
    rng = np.random.default_rng(4)

    def corrupt(data: bytes) -> bytes:
        out = np.frombuffer(data, np.uint8).copy()
        out[rng.random(len(out)) < 0.01] ^= np.uint8(1 << rng.integers(8))
        return out.tobytes()

    clean = BoardClient(fresh).classify(FRAME)
    write, read = fresh.write, fresh.read
    lossy = EmulatedLine()
    lossy.write = lambda data: write(corrupt(data))  # type: ignore[method-assign]
    lossy.read = lambda until_s: corrupt(read(until_s))  # type: ignore[method-assign]
    lossy.now_s = fresh.now_s  # type: ignore[method-assign]
    client = BoardClient(lossy)
    for _ in range(3):
        found = client.classify(FRAME)
        assert (found.logits, found.sure) == (clean.logits, clean.sure)
    assert client.resent_bytes > 0
    assert client.statistics().errors[ErrorCode.BAD_CRC - 1] > 0
