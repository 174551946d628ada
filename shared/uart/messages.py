"""Generated from shared/uart/protocol.toml by shared/uart/generate.py; do not edit."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

import msgspec

from shared.uart.layout import Field

PROTOCOL_VERSION = 1
BAUD = 921600
PACKET_MAX = 526  # bytes before COBS: the longest body and its CRC-32
LABELS_MAX = 16  # labels: the most a model may have (NN_MAX_LABELS)
CHUNK_UNIT = 32  # bytes: grain of a frame's transfer: chunks begin at multiples of it
CHUNK_MAX = 512  # bytes: the most that one chunk carries
FRAME_MAX = 32768  # bytes: the largest frame that the protocol can name
BITMAP_MAX = 128  # bytes: frame_max / chunk_unit / 8
ERROR_KINDS = 11  # kinds: counters in statistics: one an error code, from code 1


class ErrorCode(IntEnum):
    """Why a packet was refused."""

    BAD_CRC = 1
    """The packet's CRC-32 does not match."""
    BAD_FRAMING = 2
    """Not COBS, or shorter than type, sequence and CRC."""
    TOO_LONG = 3
    """Longer than any message; detail = the limit in bytes."""
    UNKNOWN_TYPE = 4
    """No such message; detail = the type."""
    MALFORMED = 5
    """The fields do not fill the body exactly, or a count exceeds its limit."""
    OUT_OF_ORDER = 6
    """Chunk or end of a frame that was not begun; detail = the frame under way."""
    OUT_OF_RANGE = 7
    """Chunk not on the grain or past the frame's end; detail = the offset."""
    BUSY = 8
    """An inference is running; ask again after its result."""
    BAD_FRAME_CRC = 9
    """Every unit arrived but the frame's CRC-32 differs: all units are wanted again."""
    BAD_VALUE = 10
    """Frame size or thresholds that do not fit the model, detail = what would; no camera, detail = 0."""
    OVERRUN = 11
    """Bytes were lost because the receive buffer was full."""


class GateReason(IntEnum):
    """Why the gate let a label act alone or not."""

    SURE = 0
    """Probability reaches the label's threshold."""
    BELOW_THRESHOLD = 1
    """Probability is below the label's threshold."""
    NEVER_ALONE = 2
    """The label's threshold forbids acting alone."""


class Hello(msgspec.Struct, frozen=True):
    """Ask who is there.

    protocol: version that the host speaks.
    """

    protocol: int

    TYPE: ClassVar[int] = 0x01
    LAYOUT: ClassVar[tuple[Field, ...]] = (Field("protocol", "u8", None, False),)


class SetThresholds(msgspec.Struct, frozen=True):
    """Replace the gate's thresholds until the next reset. Answered by `thresholds`.

    tau_q15: one a label, Q15: 0 to 32768, or 65535 for never alone.
    """

    tau_q15: tuple[int, ...]

    TYPE: ClassVar[int] = 0x02
    LAYOUT: ClassVar[tuple[Field, ...]] = (Field("tau_q15", "u16", 16, True),)


class FrameBegin(msgspec.Struct, frozen=True):
    """Announce a frame. Answered by `frame_ready`.

    frame: number chosen by the host.
    length: bytes: height * width * channels of the model's input, uint8 [h][w][c].
    crc32: of the whole frame.
    """

    frame: int
    length: int
    crc32: int

    TYPE: ClassVar[int] = 0x03
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("frame", "u16", None, False),
        Field("length", "u32", None, False),
        Field("crc32", "u32", None, False),
    )


class FrameChunk(msgspec.Struct, frozen=True):
    """A part of the frame. No answer when it is good.

    frame: number of the frame.
    offset: bytes from the frame's start; a multiple of chunk_unit.
    data: whole units; only the frame's last may be shorter.
    """

    frame: int
    offset: int
    data: bytes

    TYPE: ClassVar[int] = 0x04
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("frame", "u16", None, False),
        Field("offset", "u32", None, False),
        Field("data", "u8", 512, True),
    )


class FrameEnd(msgspec.Struct, frozen=True):
    """Classify the frame. Answered by `result`, or by `missing`.

    frame: number of the frame.
    """

    frame: int

    TYPE: ClassVar[int] = 0x05
    LAYOUT: ClassVar[tuple[Field, ...]] = (Field("frame", "u16", None, False),)


class GetStatistics(msgspec.Struct, frozen=True):
    """Ask for the counters. Answered by `statistics`."""

    TYPE: ClassVar[int] = 0x06
    LAYOUT: ClassVar[tuple[Field, ...]] = ()


class Capture(msgspec.Struct, frozen=True):
    """Classify a frame of the board's own camera. Answered by `result`, or by `error` bad_value without a camera.

    frame: number chosen by the host; the last one again repeats its result.
    """

    frame: int

    TYPE: ClassVar[int] = 0x07
    LAYOUT: ClassVar[tuple[Field, ...]] = (Field("frame", "u16", None, False),)


class Board(msgspec.Struct, frozen=True):
    """Answer to `hello`.

    protocol: version that the board speaks.
    firmware: major, minor, patch.
    model_sha256: of the .tflite file that the firmware was built from.
    height: pixels of the model's input.
    width: pixels of the model's input.
    channels: of the model's input.
    labels: number of logits.
    clock_hz: of the processor.
    """

    protocol: int
    firmware: bytes
    model_sha256: bytes
    height: int
    width: int
    channels: int
    labels: int
    clock_hz: int

    TYPE: ClassVar[int] = 0x81
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("protocol", "u8", None, False),
        Field("firmware", "u8", 3, False),
        Field("model_sha256", "u8", 32, False),
        Field("height", "u16", None, False),
        Field("width", "u16", None, False),
        Field("channels", "u8", None, False),
        Field("labels", "u8", None, False),
        Field("clock_hz", "u32", None, False),
    )


class Thresholds(msgspec.Struct, frozen=True):
    """Answer to `set_thresholds`: those now in force.

    tau_q15: one a label, Q15.
    """

    tau_q15: tuple[int, ...]

    TYPE: ClassVar[int] = 0x82
    LAYOUT: ClassVar[tuple[Field, ...]] = (Field("tau_q15", "u16", 16, True),)


class FrameReady(msgspec.Struct, frozen=True):
    """Answer to `frame_begin`.

    frame: number of the frame.
    """

    frame: int

    TYPE: ClassVar[int] = 0x83
    LAYOUT: ClassVar[tuple[Field, ...]] = (Field("frame", "u16", None, False),)


class Result(msgspec.Struct, frozen=True):
    """The classification of a frame.

    frame: number of the frame.
    logits: the model's output.
    label: index of the largest logit, the lowest of equals.
    probability_q15: of the label; 32768 is 1.
    tau_q15: the label's threshold that the gate used: shows the host a board that was reset.
    sure: 1: the label may act alone.
    reason: enum gate_reason.
    cycles: processor cycles of the inference, from input in memory to logits.
    inference_us: the same by the microsecond timer.
    """

    frame: int
    logits: tuple[int, ...]
    label: int
    probability_q15: int
    tau_q15: int
    sure: int
    reason: int
    cycles: int
    inference_us: int

    TYPE: ClassVar[int] = 0x85
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("frame", "u16", None, False),
        Field("logits", "i8", 16, True),
        Field("label", "u8", None, False),
        Field("probability_q15", "u16", None, False),
        Field("tau_q15", "u16", None, False),
        Field("sure", "u8", None, False),
        Field("reason", "u8", None, False),
        Field("cycles", "u64", None, False),
        Field("inference_us", "u32", None, False),
    )


class Missing(msgspec.Struct, frozen=True):
    """Answer to `frame_end` when units did not arrive.

    frame: number of the frame.
    bitmap: bit i % 8 of byte i / 8 is set when unit i is wanted.
    """

    frame: int
    bitmap: bytes

    TYPE: ClassVar[int] = 0x86
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("frame", "u16", None, False),
        Field("bitmap", "u8", 128, True),
    )


class Statistics(msgspec.Struct, frozen=True):
    """Answer to `get_statistics`: counters since reset.

    uptime_us: microseconds since reset.
    frames: classified.
    escalated: of these not sure.
    packets: good packets received.
    errors: by error_code, from code 1.
    stack_bytes: most of the stack ever used.
    """

    uptime_us: int
    frames: int
    escalated: int
    packets: int
    errors: tuple[int, ...]
    stack_bytes: int

    TYPE: ClassVar[int] = 0x87
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("uptime_us", "u64", None, False),
        Field("frames", "u32", None, False),
        Field("escalated", "u32", None, False),
        Field("packets", "u32", None, False),
        Field("errors", "u32", 11, False),
        Field("stack_bytes", "u32", None, False),
    )


class Error(msgspec.Struct, frozen=True):
    """A packet was refused. The next good one is served as if nothing had happened.

    code: enum error_code.
    request: type of the refused message, 0 when it could not be read.
    detail: depends on the code, else 0.
    """

    code: int
    request: int
    detail: int

    TYPE: ClassVar[int] = 0xFF
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("code", "u8", None, False),
        Field("request", "u8", None, False),
        Field("detail", "u32", None, False),
    )


Message = (
    Hello
    | SetThresholds
    | FrameBegin
    | FrameChunk
    | FrameEnd
    | GetStatistics
    | Capture
    | Board
    | Thresholds
    | FrameReady
    | Result
    | Missing
    | Statistics
    | Error
)

MESSAGES: dict[int, type[Message]] = {
    Hello.TYPE: Hello,
    SetThresholds.TYPE: SetThresholds,
    FrameBegin.TYPE: FrameBegin,
    FrameChunk.TYPE: FrameChunk,
    FrameEnd.TYPE: FrameEnd,
    GetStatistics.TYPE: GetStatistics,
    Capture.TYPE: Capture,
    Board.TYPE: Board,
    Thresholds.TYPE: Thresholds,
    FrameReady.TYPE: FrameReady,
    Result.TYPE: Result,
    Missing.TYPE: Missing,
    Statistics.TYPE: Statistics,
    Error.TYPE: Error,
}
