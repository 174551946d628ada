"""The host's side of the serial protocol: requests that survive a lossy line, one frame at a time."""

from __future__ import annotations

import zlib
from collections import deque
from typing import TypeVar

from firmware_sim.board.line import Line
from shared.errors import BadInputError, DeviceError
from shared.uart.codec import Envelope, decode_body, encode
from shared.uart.framing import PacketDecoder
from shared.uart.messages import (
    BAUD,
    CHUNK_MAX,
    CHUNK_UNIT,
    PROTOCOL_VERSION,
    Board,
    Capture,
    Error,
    ErrorCode,
    FrameBegin,
    FrameChunk,
    FrameEnd,
    FrameReady,
    GetStatistics,
    Hello,
    Message,
    Missing,
    Result,
    SetThresholds,
    Statistics,
    Thresholds,
)

PATIENCE_S = 0.05
"""How long an answer may take to begin before the request is sent again; USB adapters alone hold bytes for 16 ms."""

SILENCE_S = 2.0
"""A board that answered nothing for so long is gone."""

CAPTURE_S = 0.6
"""How long a camera may take to give a frame, before the request is sent again."""

RESULT_S = 20.0
"""The longest wait for one result, with the board answering `busy` in between."""

MAX_ROUNDS = 200
"""Transfers of one frame's missing parts. With 1 % of the bytes corrupted about 20 are needed."""

_BITS_A_BYTE = 10  # start, 8 data, stop


Reply = TypeVar("Reply", bound=Message)


class BoardClient:
    """Requests to one board over `line`. Not thread-safe; a failed request leaves it usable.

    Attributes: `resent_bytes` of frames and `damaged_packets` from the board, both since the start.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._decoder = PacketDecoder()
        self._inbox: deque[Envelope] = deque()
        self._sequence = 0
        self._frame = 0
        self._chunk_bytes = CHUNK_MAX
        self._sent_until_s = 0.0  # when the last byte written will have left
        self._inference_s = 0.2  # of the last frame; a guess before the first
        self._gone = False
        self.resent_bytes = 0
        self.damaged_packets = 0

    def hello(self) -> Board:
        """Who is there. Raises DeviceError when nobody answers or it speaks another protocol."""
        board = self._request(Hello(PROTOCOL_VERSION), Board)
        if board.protocol != PROTOCOL_VERSION:
            raise DeviceError(
                f"{self._line.name}: the board speaks protocol {board.protocol}, not {PROTOCOL_VERSION}: "
                "flash the firmware of this version (crustwatch firmware build)"
            )
        return board

    def set_thresholds(self, tau_q15: tuple[int, ...]) -> None:
        """Set the gate's thresholds until the board's next reset. Raises BadInputError when the board refuses them."""
        now = self._request(SetThresholds(tau_q15), Thresholds)
        if now.tau_q15 != tau_q15:
            raise DeviceError(f"{self._line.name}: thresholds {tau_q15} were set to {now.tau_q15}")

    def statistics(self) -> Statistics:
        """The board's counters."""
        return self._request(GetStatistics(), Statistics)

    def classify(self, frame: bytes) -> Result:
        """Send `frame`, uint8 [h][w][c] of the model's input, and wait for its result.

        Raises BadInputError for a frame of the wrong size, DeviceError when the board falls silent.
        """
        self._frame = (self._frame + 1) % 65_536
        begin = FrameBegin(self._frame, len(frame), zlib.crc32(frame))
        self._request(begin, FrameReady)
        wanted = [True] * -(-len(frame) // CHUNK_UNIT)
        for round_number in range(MAX_ROUNDS):
            sent = self._send_units(frame, wanted)
            self.resent_bytes += sent if round_number else 0
            # A first transfer is expected to succeed: the answer to its end comes only after the inference.
            patience_s = PATIENCE_S if round_number else PATIENCE_S + 1.5 * self._inference_s
            answer = self._exchange(FrameEnd(self._frame), patience_s, RESULT_S)
            if isinstance(answer, Result):
                self._adapt(lost=0.0 if round_number == 0 else 0.1)
                self._inference_s = answer.inference_us / 1e6
                return answer
            if isinstance(answer, Missing):
                before = sum(wanted)
                wanted = [bool(answer.bitmap[unit // 8] >> unit % 8 & 1) for unit in range(len(wanted))]
                self._adapt(lost=sum(wanted) / before)
            elif isinstance(answer, Error) and answer.code in (ErrorCode.BAD_FRAME_CRC, ErrorCode.OUT_OF_ORDER):
                self._request(begin, FrameReady)  # damage that a CRC-32 let through, or a board that was reset
                wanted = [True] * len(wanted)
            else:
                raise self._unexpected(FrameEnd.__name__, answer)
        raise DeviceError(f"{self._line.name}: a frame did not get through in {MAX_ROUNDS} rounds: is the line broken?")

    def capture(self) -> Result:
        """Have the board classify a frame of its own camera.

        Raises BadInputError when it has none or no frame comes, DeviceError when the board falls silent.
        """
        self._frame = (self._frame + 1) % 65_536
        answer = self._exchange(Capture(self._frame), CAPTURE_S + 1.5 * self._inference_s, RESULT_S)
        if not isinstance(answer, Result):
            raise self._unexpected(Capture.__name__, answer)
        self._inference_s = answer.inference_us / 1e6
        return answer

    def close(self) -> None:
        """Give the line back."""
        self._line.close()

    def _send_units(self, frame: bytes, wanted: list[bool]) -> int:
        """Send the wanted units in runs of at most the present chunk size. Returns the bytes of the frame sent."""
        out, sent, unit = bytearray(), 0, 0
        while unit < len(wanted):
            if not wanted[unit]:
                unit += 1
                continue
            end = unit + 1
            while end < len(wanted) and wanted[end] and (end - unit) * CHUNK_UNIT < self._chunk_bytes:
                end += 1
            data = frame[unit * CHUNK_UNIT : end * CHUNK_UNIT]
            out += encode(FrameChunk(self._frame, unit * CHUNK_UNIT, data), self._next_sequence())
            sent += len(data)
            unit = end
        self._write(bytes(out))
        return sent

    def _adapt(self, lost: float) -> None:
        """Short chunks for a bad line, long ones for a good one: a chunk is lost with any of its bytes."""
        if lost > 0.2:
            self._chunk_bytes = max(CHUNK_UNIT, self._chunk_bytes // 2)
        elif lost == 0.0:
            self._chunk_bytes = min(CHUNK_MAX, self._chunk_bytes * 2)

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % 255 + 1  # 1..255: 0 is the board's, for what it could not read
        return self._sequence

    def _request(self, message: Message, kind: type[Reply]) -> Reply:
        answer = self._exchange(message, PATIENCE_S, RESULT_S)
        if not isinstance(answer, kind):
            raise self._unexpected(type(message).__name__, answer)
        return answer

    def _unexpected(self, request: str, answer: Message) -> BadInputError | DeviceError:
        if not isinstance(answer, Error):
            return DeviceError(f"{self._line.name}: {request} was answered by {type(answer).__name__}")
        known = answer.code in ErrorCode.__members__.values()
        code = ErrorCode(answer.code).name.lower() if known else f"code {answer.code}"
        text = f"{self._line.name}: the board refused {request}: {code}, {answer.detail}"
        return BadInputError(text) if answer.code == ErrorCode.BAD_VALUE else DeviceError(text)

    def _exchange(self, message: Message, patience_s: float, wait_s: float) -> Message:
        """Send a request until something answers it. Raises DeviceError after SILENCE_S without an answer."""
        if self._gone:
            self._line.reopen()
            self._gone = False
            self._decoder.reset()
            self._inbox.clear()
        sequence = self._next_sequence()
        packet = encode(message, sequence)
        start_s = self._line.now_s()
        silent_since_s = start_s
        while True:
            self._write(packet)
            answer = self._await(sequence, max(self._line.now_s(), self._sent_until_s) + patience_s)
            if isinstance(answer, Error) and answer.code == ErrorCode.BUSY:
                silent_since_s = self._line.now_s()
                # It is at work and will answer by itself; asked again it could only say the same.
                answer = self._await(sequence, silent_since_s + max(4 * PATIENCE_S, 2 * self._inference_s))
            if answer is not None and not (isinstance(answer, Error) and answer.code == ErrorCode.BUSY):
                return answer
            now_s = self._line.now_s()
            if now_s - silent_since_s > SILENCE_S + patience_s or now_s - start_s > wait_s:
                raise DeviceError(
                    f"{self._line.name}: no answer to {type(message).__name__} for {now_s - start_s:.1f} s: "
                    "is the board on, with this firmware, at the right port?"
                )

    def _await(self, sequence: int, until_s: float) -> Message | None:
        """The answer with this sequence number; None at `until_s`, or as soon as a damaged packet came instead."""
        while True:
            while self._inbox:
                envelope = self._inbox.popleft()
                if envelope.sequence == sequence:
                    return envelope.message
            damaged = self.damaged_packets
            data = self._read(until_s)
            if not data:
                return None
            self._take(data)
            if self.damaged_packets > damaged and not self._inbox:
                return None

    def _take(self, data: bytes) -> None:
        for packet in self._decoder.feed(data):
            try:
                if packet.body is not None:
                    self._inbox.append(decode_body(packet.body))
                    continue
            except BadInputError:
                pass  # counted below, like the other damage
            self.damaged_packets += 1

    def _write(self, data: bytes) -> None:
        try:
            self._line.write(data)
        except DeviceError:
            self._gone = True
            raise
        self._sent_until_s = max(self._line.now_s(), self._sent_until_s) + len(data) * _BITS_A_BYTE / BAUD

    def _read(self, until_s: float) -> bytes:
        try:
            return self._line.read(until_s)
        except DeviceError:
            self._gone = True
            raise
