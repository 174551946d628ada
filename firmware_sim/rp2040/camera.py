"""The camera of the original board: an OV2640 on I2C0 and GPIO 13 to 28, fed with frames by the host.

>>> import numpy as np
>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.camera.show(np.zeros((240, 320, 3), np.uint8))  # connects it; shown until the next one
>>> board.camera.frames_sent
0

| signal | GPIO | | signal | GPIO |
| --- | --- | --- | --- | --- |
| PWDN | 15 | | PCLK | 18 |
| RST | 14 | | VSYNC | 19 |
| XCLK | 13 | | HREF | 20 |
| SDA, SCL (I2C0) | 16, 17 | | D0-D7 | 21-28 |
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks import camera_unit as port
from firmware_sim.rp2040.blocks.pwm import CSR, EN, FUNCTION_PWM, TOP, pwm_divider
from firmware_sim.rp2040.blocks.pwm import STRIDE as PWM_STRIDE
from firmware_sim.rp2040.i2c_port import memory_of
from firmware_sim.rp2040.layout import State
from firmware_sim.rp2040.ov2640 import ADDRESS, Ov2640
from firmware_sim.rp2040.registers import RegisterBlock
from shared.errors import BadInputError

if TYPE_CHECKING:
    from firmware_sim.rp2040.board import Board

XCLK, RST, PWDN = 13, 14, 15  # GPIO numbers
XCLK_SLICE = 6  # PWM slice of GPIO 13
XCLK_MIN_HZ, XCLK_MAX_HZ = 6e6, 50e6  # OV2640 datasheet, table 8 (24 MHz typical)
LINE_BLANKING = 160  # PCLK periods after each line; with the lines below 7.5 frames a second at XCLK 25 MHz, CLKRC 1
FIRST_LINE, LAST_LINES = 12, 8  # blank lines before (VSYNC is high in the first four) and after the picture
LOOK_S = 0.002  # a sensor that cannot send looks again so often
MAX_PIXELS = 800 * 600
JPEG_QUALITY = 85

Frame = NDArray[np.uint8]  # [H, W, 3] RGB


def to_rgb565(frame: Frame) -> NDArray[np.uint16]:
    """RGB uint8 [H, W, 3] to the sensor's 16 bits a pixel, uint16 [H, W]: the low bits are dropped."""
    r, g, b = (frame[..., i].astype(np.uint16) for i in range(3))
    pixels: NDArray[np.uint16] = ((r >> 3) << 11 | (g >> 2) << 5 | b >> 3).astype(np.uint16)
    return pixels


def from_rgb565(pixels: NDArray[np.uint16]) -> Frame:
    """The RGB uint8 [H, W, 3] that a driver makes of uint16 [H, W]: high bits repeated into the low ones."""
    r, g, b = pixels >> 11, pixels >> 5 & 63, pixels & 31
    channels = (r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2)
    return np.stack(channels, axis=-1).astype(np.uint8)


class CameraBlock(RegisterBlock):
    """Starts a frame whenever the one before is over and the sensor can send; part of the chip's schedule."""

    remembers = ("connected", "picture", "next_look", "sent", "xclk_hz")

    def __init__(self, S: State, changed: Callable[[int | None], None], warn: Callable[[str], None]) -> None:
        self.connected = False
        self.sensor = Ov2640()
        self.sensor.alive = self._alive
        self.source: Iterator[Frame] | None = None
        self.picture: Frame | None = None  # [H, W, 3] as shown
        self.sent = 0
        self.xclk_hz: float | None = None  # set by the host: XCLK comes from somewhere else than PWM
        self.fault: Callable[[], str] = lambda: ""
        self.next_look: int | None = None
        self._changed, self._warn = changed, warn
        self.buffer = np.zeros(2 * MAX_PIXELS, np.uint8)  # what the port sends
        super().__init__("CAMERA", {}, S, lambda name, offset: None)

    def reset(self) -> None:
        """The chip starts anew, the sensor does not: it goes on with a new frame."""
        super().reset()
        self.S[layout.EVENT_AT + layout.EVENT_CAMERA] = layout.NEVER
        self.next_look = 0 if self.connected else None

    def next_event(self) -> int | None:
        """When the next frame may begin."""
        return self.next_look

    def due(self, cycle: int) -> None:
        """Begin a frame, or look again later."""
        if self.next_look is None or self.next_look > cycle:
            return
        hz = int(self.S[layout.CLK_SYS_HZ])
        pclk_hz = self._pclk_hz()
        if pclk_hz and self._load():
            self._begin(cycle, hz, pclk_hz)
            return
        self._drive(False, cycle)
        self.next_look = cycle + max(1, int(LOOK_S * hz))

    def _drive(self, on: bool, cycle: int) -> None:
        """Drive the port, or let go of it."""
        S = self.S
        if bool(S[layout.PIN_EXTERNAL_MASK] & port.PORT) == on:
            return
        mask = int(S[layout.PIN_EXTERNAL_MASK]) & ~port.PORT
        S[layout.PIN_EXTERNAL_MASK] = mask | port.PORT if on else mask
        S[layout.GPIO_EXTERNAL] &= ~port.PORT
        self._changed(cycle)

    def _powered(self) -> bool:
        """PWDN low and RST high: the module's resistors do that while the chip does not drive them."""
        driven, levels = int(self.S[layout.PIN_OE_PAD]), int(self.S[layout.PIN_PAD])
        down = driven >> PWDN & levels >> PWDN & 1
        held = driven >> RST & ~(levels >> RST) & 1
        if down or held:
            self.sensor.reset()
        return not (down or held)

    def _alive(self) -> bool:
        """Whether the sensor answers and sends at all."""
        return self._powered() and self.fault() != "dead"

    def _xclk_hz(self) -> float:
        """XCLK as the chip makes it: by PWM on GPIO 13, or what the host said."""
        if self.xclk_hz is not None:
            return self.xclk_hz
        S, p = self.S, layout.PWM + PWM_STRIDE * XCLK_SLICE
        if not S[layout.PIN_FUNCTION + FUNCTION_PWM] >> XCLK & 1 or not S[p + CSR] & EN:
            return 0.0
        divider = int(pwm_divider(S, p))
        return float(S[layout.CLK_SYS_HZ]) * 16 / divider / (int(S[p + TOP]) + 1)

    def _pclk_hz(self) -> float:
        """0 when nothing is sent."""
        xclk_hz = self._xclk_hz()
        if not self._alive() or not self.sensor.addressed or not xclk_hz:
            return 0.0
        if not XCLK_MIN_HZ <= xclk_hz <= XCLK_MAX_HZ:
            self._warn(f"the camera's XCLK is {xclk_hz / 1e6:.2f} MHz: the OV2640 takes 6 to 50 MHz")
        return self.sensor.pclk_hz(xclk_hz)

    def _load(self) -> bool:
        """Put what the next frame sends into the buffer; False when the sensor is not set up to send anything."""
        width, height = self.sensor.size
        kind = self.sensor.format
        if not width or not height:
            return False
        if kind is None or width * height > MAX_PIXELS:
            what = "a format other than RGB565 and JPEG" if kind is None else f"{width}x{height} pixels"
            self._warn(f"the camera is set to {what}, which is not modelled: it sends nothing")
            return False
        fault = self.fault()
        if fault != "frozen" and self.source is not None:
            self.picture = next(self.source, self.picture)
        if self.picture is None:
            return False
        frame = np.zeros_like(self.picture) if fault == "dark" else self.picture
        data = encode(frame, width, height, kind, self.sensor.low_byte_first)
        if fault.startswith("stuck:"):
            data = data | np.uint8(1 << int(fault.removeprefix("stuck:")))
        self.buffer[: len(data)] = data
        return True

    def _begin(self, cycle: int, hz: int, pclk_hz: float) -> None:
        S = self.S
        width, height = self.sensor.size
        S[port.START], S[port.EDGE] = cycle, 0
        S[port.HALF] = round(hz / pclk_hz / 2 * (1 << port.FRACTION_BITS))
        S[port.LINE_BYTES], S[port.LINE_CLOCKS] = 2 * width, 2 * width + LINE_BLANKING
        S[port.FIRST_LINE], S[port.DATA_LINES] = FIRST_LINE, height
        S[port.LINES] = FIRST_LINE + height + LAST_LINES
        S[port.GATED] = self.sensor.gated_clock
        S[layout.CAMERA_FRAME_AT] = self.buffer.ctypes.data
        self._drive(True, cycle)
        S[layout.EVENT_AT + layout.EVENT_CAMERA] = cycle
        edges = 2 * int(S[port.LINES]) * int(S[port.LINE_CLOCKS])
        self.next_look = cycle + (edges * int(S[port.HALF]) >> port.FRACTION_BITS)
        S[layout.NEXT_EVENT] = 0
        self.sent += 1


def encode(frame: Frame, width: int, height: int, kind: str, low_byte_first: bool) -> NDArray[np.uint8]:
    """Bytes of one frame on the port, uint8 [2 * width * height]: RGB565, or a JPEG padded with zeros."""
    from PIL import Image

    image = Image.fromarray(frame)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BOX)
    room = 2 * width * height
    if kind == "rgb565":
        order = "<u2" if low_byte_first else ">u2"
        return to_rgb565(np.asarray(image)).astype(order).view(np.uint8).reshape(-1)
    for quality in (JPEG_QUALITY, 50, 20):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        data = np.frombuffer(file.getvalue(), np.uint8)
        if len(data) <= room:
            return np.concatenate([data, np.zeros(room - len(data), np.uint8)])
    raise BadInputError(f"no JPEG of {width}x{height} pixels fits into {room} bytes")


class Camera:
    """`board.camera`."""

    def __init__(self, board: Board) -> None:
        self._block = board.chip.camera
        self._board = board
        self._block.fault = lambda: board.chip.faults.camera

    def connect(self) -> Ov2640:
        """Put the sensor on the board; gives it for looking at its registers. Once is enough."""
        block = self._block
        self._attach()
        if not block.connected:
            block.connected, block.next_look = True, self._board.chip.now
            self._board.chip.plan()
        return block.sensor

    def _attach(self) -> None:
        if self._board.i2c0.attached(ADDRESS) is not self._block.sensor:
            self._board.i2c0.attach(ADDRESS, self._block.sensor)

    def show(self, frames: Frame | Iterable[Frame]) -> None:
        """What the sensor sees from its next frame on: one picture, or one after the other and then the last for ever.

        A picture is uint8 [H, W, 3] RGB of any size. Raises BadInputError for another shape.
        """
        if isinstance(frames, np.ndarray):
            self._block.source, self._block.picture = None, checked(frames)
        else:
            self._block.source = (checked(frame) for frame in frames)
        self.connect()

    @property
    def frames_sent(self) -> int:
        """Frames begun since power-on."""
        return self._block.sent

    def set_xclk(self, hz: float | None) -> None:
        """XCLK from an oscillator of the board, in Hz; None: from PWM on GPIO 13."""
        self._block.xclk_hz = hz

    def queues(self) -> dict[str, Any]:
        """The sensor's registers and the frame that is being sent, for a snapshot."""
        if not self._block.connected:
            return {}
        return {"sensor": memory_of(self._block.sensor), "buffer": self._block.buffer.copy()}

    def set_queues(self, queues: dict[str, Any]) -> None:
        """Inverse of `queues`. The source of frames is not part of it."""
        if queues:
            self._attach()
            self._block.sensor.__dict__.update(copy.deepcopy(queues["sensor"]))
            self._block.buffer[:] = queues["buffer"]
            self._board.chip.S[layout.CAMERA_FRAME_AT] = self._block.buffer.ctypes.data


def checked(frame: Frame) -> Frame:
    """`frame` if it is uint8 [H, W, 3]. Raises BadInputError."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < 1:
        raise BadInputError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {list(frame.shape)}")
    return frame
