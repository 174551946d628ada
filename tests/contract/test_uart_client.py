"""The host's client against the firmware's service over lines that lose, change and cut bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.board.client import BoardClient
from firmware_sim.firmware.host import HostFirmware, build_host_library
from shared.errors import BadInputError, DeviceError
from shared.uart.codec import encode
from shared.uart.messages import BAUD, Board, Error

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: apt install gcc"
)

MODEL_C = (Path(__file__).parent / "uart_tiny_model.c").read_text()

Channel = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> HostFirmware:
    folder = tmp_path_factory.mktemp("host")
    return build_host_library(MODEL_C, folder, height=16, width=16, channels=3, labels=4)


def clean(data: bytes) -> bytes:
    return data


def lossy(seed: int, share: float) -> Channel:
    """A channel that changes each byte with the probability `share`; one in ten of these is lost instead."""
    rng = np.random.default_rng(seed)

    def pass_on(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            chance = rng.random()
            if chance >= share:
                out.append(byte)
            elif chance >= share / 10:
                out.append(int(rng.integers(256)))
        return bytes(out)

    return pass_on


class HostLine:
    """The service in this process behind a channel; its clock moves by the bytes sent and by waiting."""

    name = "host"

    def __init__(self, library: HostFirmware, channel: Channel = clean) -> None:
        self.library, self.channel = library, channel
        self.pending = b""
        self.time_s = 0.0
        self.written = 0
        self.unplugged = False
        self.reopened = 0
        library.reset()

    def now_s(self) -> float:
        return self.time_s

    def write(self, data: bytes) -> None:
        if self.unplugged:
            raise DeviceError("host: the serial port is gone (unplugged?)")
        self.written += len(data)
        self.pending += self.channel(self.library.exchange(self.channel(data)))

    def read(self, until_s: float) -> bytes:
        if not self.pending:
            self.time_s = max(self.time_s, until_s)
        data, self.pending = self.pending, b""
        self.time_s += len(data) * 10 / BAUD
        return data

    def reopen(self) -> None:
        if self.unplugged:
            raise DeviceError("host: the serial port cannot be opened")
        self.reopened += 1

    def close(self) -> None:
        self.unplugged = True


class NoisyLine(HostLine):
    """Sends broken packets for ever."""

    def read(self, until_s: float) -> bytes:
        self.time_s += 0.001
        return b"\x05\x01\x02\0" * 20


class AnsweringLine(HostLine):
    """Gives one answer to whatever it is asked."""

    def __init__(self, library: HostFirmware, answer: bytes) -> None:
        super().__init__(library)
        self.answer = answer

    def read(self, until_s: float) -> bytes:
        return self.answer


def random_frame(seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8).tobytes()


def test_a_clean_line_needs_no_repetition(library: HostFirmware) -> None:
    line = HostLine(library)
    client = BoardClient(line)
    assert client.hello().labels == 4
    client.set_thresholds((1, 2, 3, 4))
    results = [client.classify(random_frame(seed)) for seed in range(50)]
    assert [result.frame for result in results] == list(range(1, 51))
    assert client.resent_bytes == client.damaged_packets == 0
    assert line.written < 51 * 960  # 768 bytes of frame and three packets of overhead
    statistics = client.statistics()
    assert (statistics.frames, sum(statistics.errors)) == (50, 0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from([0.001, 0.01, 0.02]))
def test_a_lossy_line_gives_the_same_results(library: HostFirmware, seed: int, share: float) -> None:
    frames = [random_frame(seed + number) for number in range(5)]
    line = HostLine(library)
    expected = [BoardClient(line).classify(frame).logits for frame in frames]
    line = HostLine(library, lossy(seed, share))
    client = BoardClient(line)
    assert [client.classify(frame).logits for frame in frames] == expected
    assert client.statistics().frames == 5


def test_only_lost_chunks_are_sent_again(library: HostFirmware) -> None:
    """At 1 % of changed bytes the client settles on short chunks and resends no more than is lost."""
    line = HostLine(library, lossy(3, 0.01))
    client = BoardClient(line)
    for seed in range(20):  # finds its chunk size
        client.classify(random_frame(seed))
    line.written = client.resent_bytes = 0
    frames = 100
    for seed in range(frames):
        client.classify(random_frame(seed))
    assert 0 < client.resent_bytes < 2 * frames * 768
    assert line.written < 5 * frames * 768


def test_one_damaged_chunk_costs_one_chunk(library: HostFirmware) -> None:
    line = HostLine(library)
    client = BoardClient(line)
    client.classify(random_frame(0))

    def damage_one_chunk(data: bytes) -> bytes:
        if len(data) > 700:
            line.channel = clean
            return data[:100] + bytes([data[100] % 255 + 1]) + data[101:]
        return data

    line.channel = damage_one_chunk
    client.classify(random_frame(1))
    assert client.resent_bytes == 512


def test_a_lost_result_is_asked_for_again_without_a_second_inference(library: HostFirmware) -> None:
    line = HostLine(library)
    client = BoardClient(line)
    client.classify(random_frame(0))
    deaf = iter([False, False, True])  # the answer to the frame's end is lost once

    original = library.exchange

    class Deaf:
        def exchange(self, data: bytes) -> bytes:
            answer = original(data)
            return b"" if next(deaf, False) else answer

    line.library = Deaf()  # type: ignore[assignment]
    assert client.classify(random_frame(1)).frame == 2
    line.library = library
    assert client.statistics().frames == 2


def test_a_silent_board_is_named_after_two_seconds(library: HostFirmware) -> None:
    line = HostLine(library, channel=lambda data: b"")
    client = BoardClient(line)
    with pytest.raises(DeviceError, match=r"host: no answer to Hello for 2\.\d s"):
        client.hello()
    line.channel = clean
    assert client.hello().labels == 4


def test_noise_without_end_is_not_an_answer(library: HostFirmware) -> None:
    line = NoisyLine(library)
    with pytest.raises(DeviceError, match="no answer"):
        BoardClient(line).hello()


def test_after_an_unplugged_line_is_back_the_client_goes_on(library: HostFirmware) -> None:
    line = HostLine(library)
    client = BoardClient(line)
    client.hello()
    line.unplugged = True
    with pytest.raises(DeviceError, match="gone"):
        client.classify(random_frame(0))
    with pytest.raises(DeviceError, match="cannot be opened"):
        client.hello()
    line.unplugged = False
    assert isinstance(client.hello(), Board)
    assert line.reopened == 1
    assert client.classify(random_frame(0)).logits


def test_refusals_become_errors_of_the_right_kind(library: HostFirmware) -> None:
    client = BoardClient(HostLine(library))
    with pytest.raises(BadInputError, match="refused FrameBegin: bad_value, 768"):
        client.classify(bytes(100))
    with pytest.raises(BadInputError, match="refused SetThresholds: bad_value, 4"):
        client.set_thresholds((1, 2))
    assert client.classify(random_frame(0)).logits


def test_a_board_with_another_protocol_is_refused(library: HostFirmware) -> None:
    board = BoardClient(HostLine(library)).hello()
    other = Board(99, *(getattr(board, field.name) for field in Board.LAYOUT[1:]))
    with pytest.raises(DeviceError, match="speaks protocol 99"):
        BoardClient(AnsweringLine(library, encode(other, 1))).hello()


def test_an_error_of_an_unknown_kind_is_reported(library: HostFirmware) -> None:
    with pytest.raises(DeviceError, match="code 77"):
        BoardClient(AnsweringLine(library, encode(Error(77, 1, 5), 1))).hello()


def test_a_board_that_was_reset_in_mid_frame_gets_it_again(library: HostFirmware) -> None:
    line = HostLine(library)
    client = BoardClient(line)

    def reset_behind_the_chunks(data: bytes) -> bytes:
        if len(data) > 700:
            library.exchange(data)
            line.channel = clean
            library.reset()
            return b""
        return data

    line.channel = reset_behind_the_chunks
    assert client.classify(random_frame(0)).frame == 1
