"""The OV2640: its registers, its pixel port edge by edge, and firmware that captures and shrinks frames bit for bit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.camera import FIRST_LINE, LAST_LINES, LINE_BLANKING, encode, from_rgb565, to_rgb565
from firmware_sim.rp2040.camera_source import camera_pictures
from firmware_sim.rp2040.cli import app
from firmware_sim.rp2040.ov2640 import (
    CLKRC,
    COM7,
    COM7_SRST,
    COM10,
    COM10_PCLK_GATED,
    DSP,
    IMAGE_MODE,
    PIDH,
    PIDL,
    SENSOR,
    ZMOH,
    ZMOW,
    Ov2640,
)
from shared.bakery import render_bake
from shared.errors import BadInputError
from shared.resize import square_resize

SPIN = bytes.fromhex("00000420 41000020".replace(" ", "")) + bytes(56) + bytes.fromhex("fee7")  # vectors, then b .
PCLK, VSYNC, HREF = 18, 19, 20
XCLK_HZ, DIVIDER = 24e6, 32

Frame = NDArray[np.uint8]


def noise(seed: int) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (240, 320, 3), np.uint8)


def gradient() -> Frame:
    y, x = np.indices((240, 320))
    return np.stack([x * 255 // 319, y * 255 // 239, (x + y) % 256], axis=-1).astype(np.uint8)


def seen(frame: Frame) -> Frame:
    """What a driver makes of a frame: 16 bits a pixel, widened again, then the classifier's size."""
    return square_resize(from_rgb565(to_rgb565(frame)), 48)


def write(sensor: Ov2640, bank: int, register: int, value: int) -> None:
    for number, byte in ((0xFF, bank), (register, value)):
        sensor.start(False)
        sensor.write(number)
        sensor.write(byte)
        sensor.stop()


def read(sensor: Ov2640, bank: int, register: int) -> int:
    write(sensor, bank, 0x00, 0)
    sensor.start(False)
    sensor.write(register)
    sensor.stop()
    sensor.start(True)
    value = sensor.read()
    sensor.stop()
    return value


def streaming(width: int = 16, height: int = 8, *, gated: bool = False) -> Board:
    """A board that spins while the sensor sends small frames."""
    board = Board()
    board.load(SPIN, address=0x20000000)
    sensor = board.camera.connect()
    board.camera.set_xclk(XCLK_HZ)
    for register, value in ((ZMOW, width // 4), (ZMOH, height // 4), (IMAGE_MODE, 0x08)):
        write(sensor, DSP, register, value)
    write(sensor, SENSOR, CLKRC, DIVIDER - 1)
    if gated:
        write(sensor, SENSOR, COM10, COM10_PCLK_GATED)
    return board


def test_the_registers_lie_in_two_banks() -> None:
    sensor = Ov2640()
    assert (read(sensor, SENSOR, PIDH), read(sensor, SENSOR, PIDL)) == (0x26, 0x42)
    assert read(sensor, DSP, PIDH) == 0
    write(sensor, SENSOR, PIDH, 0)
    assert read(sensor, SENSOR, PIDH) == 0x26
    write(sensor, DSP, ZMOW, 80)
    write(sensor, DSP, ZMOH, 60)
    assert sensor.size == (320, 240)
    write(sensor, SENSOR, COM7, COM7_SRST)
    assert sensor.size == (0, 0)
    assert read(sensor, SENSOR, COM7) == 0


@given(st.integers(0, 255), st.integers(0, 63))
def test_pclk_divides_xclk(clkrc: int, dvp: int) -> None:
    sensor = Ov2640()
    write(sensor, SENSOR, CLKRC, clkrc)
    write(sensor, DSP, 0xD3, dvp)
    expected = 24e6 * (2 if clkrc & 0x80 else 1) / ((clkrc & 0x3F) + 1) / max(1, dvp)
    assert sensor.pclk_hz(24e6) == pytest.approx(expected)


@given(st.integers(0, 1000))
def test_565_keeps_the_high_bits(seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    pixels = to_rgb565(frame)
    again = from_rgb565(pixels)
    np.testing.assert_array_equal(to_rgb565(again), pixels)
    assert np.abs(again.astype(int) - frame).max() <= 7
    high = encode(frame, 4, 3, "rgb565", low_byte_first=False)
    low = encode(frame, 4, 3, "rgb565", low_byte_first=True)
    np.testing.assert_array_equal(high.reshape(-1, 2)[:, ::-1], low.reshape(-1, 2))
    assert high.tobytes() == pixels.astype(">u2").tobytes()


def test_the_port_keeps_the_sensor_s_time() -> None:
    board = streaming()
    board.camera.show(noise(1))
    for pin in (PCLK, VSYNC, HREF):
        board.gpio.watch(pin)
    line, lines = 2 * 16 + LINE_BLANKING, FIRST_LINE + 8 + LAST_LINES
    period = board.clock_hz / XCLK_HZ * DIVIDER  # of PCLK, in cycles
    board.run(max_cycles=int(period * line * (lines + 2)))
    edges = board.gpio.edges
    rises = [edge.cycle for edge in edges if edge.pin == VSYNC and edge.level]
    falls = [edge.cycle for edge in edges if edge.pin == VSYNC and not edge.level]
    assert rises[1] - rises[0] == pytest.approx(period * line * lines, abs=2)
    assert falls[0] - rises[0] == pytest.approx(period * line * 4, abs=2)
    first = [edge for edge in edges if rises[0] <= edge.cycle < rises[1]]
    high = [edge.cycle for edge in first if edge.pin == HREF and edge.level]
    low = [edge.cycle for edge in first if edge.pin == HREF and not edge.level]
    assert len(high) == len(low) == 8
    assert all(b - a == pytest.approx(period * 32, abs=1) for a, b in zip(high, low, strict=True))
    clocks = [edge.cycle for edge in first if edge.pin == PCLK and edge.level]
    assert len(clocks) == line * lines
    inside = sum(high[0] <= cycle < low[0] for cycle in clocks)
    assert inside == 32


def test_a_gated_pclk_stands_still_outside_of_the_lines() -> None:
    board = streaming(gated=True)
    board.camera.show(noise(1))
    for pin in (PCLK, VSYNC):
        board.gpio.watch(pin)
    line, lines = 2 * 16 + LINE_BLANKING, FIRST_LINE + 8 + LAST_LINES
    board.run(max_cycles=int(board.clock_hz / XCLK_HZ * DIVIDER * line * (lines - 1)))
    rises = [edge for edge in board.gpio.edges if edge.level]
    assert sum(edge.pin == PCLK for edge in rises) == 8 * 32
    assert sum(edge.pin == VSYNC for edge in rises) == 1


@pytest.fixture
def camera_elf(example_elf: Callable[..., Path]) -> Path:
    return example_elf("camera")


def capture(elf: Path, frames: list[Frame], fault: str = "") -> tuple[list[int], Frame | None, Board]:
    """Checksums that the firmware prints, its last image uint8 [48, 48, 3], and the board."""
    board = Board()
    board.load(elf)
    board.camera.show(frames)
    board.chip.faults.camera = fault
    stop = board.run(max_cycles=150_000_000)
    text = board.uart0.sent.decode()
    sums = [int(line.split()[1], 16) for line in text.splitlines() if line.startswith("frame ")]
    if stop.reason != "bkpt" or not stop.r0:
        return sums, None, board
    image = np.frombuffer(board.read_memory(stop.r0, 48 * 48 * 3), np.uint8).reshape(48, 48, 3)
    return sums, image, board


def test_firmware_captures_by_pio_and_dma_what_python_computes(camera_elf: Path) -> None:
    pizza = render_bake(3000, 0).frames[4]
    for frames in ([noise(1), noise(2)], [gradient(), pizza]):
        sums, image, board = capture(camera_elf, frames)
        expected = [seen(frame) for frame in frames]
        np.testing.assert_array_equal(image, expected[1])
        assert sums == [zlib.adler32(frame.tobytes()) for frame in expected]
        assert board.warnings == []


def write_video(path: Path, frames: list[Frame]) -> Path:
    """A video without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_folder(path: Path, frames: list[Frame]) -> Path:
    path.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame-{number + 9}.png")  # 9, 10: natural order counts
    (path / "notes.txt").write_text("no picture")
    return path


@pytest.mark.parametrize(("name", "write"), [("belt.avi", write_video), ("frames", write_folder)])
def test_the_command_feeds_the_camera(
    camera_elf: Path,
    tmp_path: Path,
    name: str,
    write: Callable[[Path, list[Frame]], Path],
) -> None:
    frames = [noise(5), gradient()]
    source = write(tmp_path / name, frames)
    ran = CliRunner().invoke(app, ["run", str(camera_elf), "--camera", str(source), "--max-cycles", "150000000"])
    assert ran.exit_code == 0
    for frame in frames:
        assert f"frame {zlib.adler32(seen(frame).tobytes()):08x}" in ran.stdout


def test_a_camera_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_bytes(b"no video" * 20)
    with pytest.raises(BadInputError, match="no such file or folder"):
        camera_pictures(tmp_path / "absent.mp4")
    with pytest.raises(BadInputError, match="holds no picture for the camera"):
        camera_pictures(tmp_path / "empty")
    with pytest.raises(BadInputError, match="not a video file"):
        camera_pictures(tmp_path / "text.mp4")


def test_broken_cameras(camera_elf: Path) -> None:
    black = zlib.adler32(bytes(48 * 48 * 3))
    assert capture(camera_elf, [noise(1), noise(2)], "dark")[0] == [black, black]
    frozen = capture(camera_elf, [noise(1)] * 1, "stuck:7")[0]
    assert frozen[0] != zlib.adler32(seen(noise(1)).tobytes())
    sums, image, board = capture(camera_elf, [noise(1)], "dead")
    assert (sums, image) == ([], None)
    assert b"no OV2640" in board.uart0.sent


def test_a_frozen_sensor_repeats_its_frame(camera_elf: Path) -> None:
    board = Board()
    board.load(camera_elf)
    board.camera.show([noise(1), noise(2), noise(3)])
    board.run(until_text="frame ", max_cycles=60_000_000)
    board.chip.faults.camera = "frozen"
    board.run(max_cycles=60_000_000)
    first, second = (line for line in board.uart0.sent.decode().splitlines() if line.startswith("frame "))
    assert first == second


def test_a_snapshot_in_mid_frame_goes_on_alike(camera_elf: Path) -> None:
    one, two = Board(), Board()
    one.load(camera_elf)
    two.load(camera_elf)
    one.camera.show(noise(4))
    one.run(max_cycles=14_000_000)  # the first frame is on its way
    assert one.camera.frames_sent >= 1
    saved = one.snapshot()
    one.run(max_cycles=150_000_000)
    two.restore(saved)
    two.run(max_cycles=150_000_000)
    assert one.uart0.sent == two.uart0.sent
    assert one.cycles == two.cycles
    assert b"frame " in one.uart0.sent


@pytest.mark.parametrize(
    "frame", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.float32), np.zeros((0, 2, 3), np.uint8)]
)
def test_what_is_no_frame_is_refused(frame: Frame) -> None:
    with pytest.raises(BadInputError, match="a frame is uint8"):
        Board().camera.show(frame)


def test_formats_that_are_not_modelled_are_told() -> None:
    board = streaming()
    write(board.camera.connect(), DSP, IMAGE_MODE, 0x00)  # YUV
    board.camera.show(noise(1))
    board.run(max_cycles=2_000_000)
    assert board.camera.frames_sent == 0
    assert any("RGB565 and JPEG" in warning for warning in board.warnings)


def test_jpeg_frames_begin_with_a_jpeg() -> None:
    data = encode(gradient(), 320, 240, "jpeg", low_byte_first=False)
    assert data[:2].tobytes() == b"\xff\xd8"
    assert len(data) == 2 * 320 * 240
    end = data.tobytes().rindex(b"\xff\xd9")
    assert not data[end + 2 :].any()
