"""The pixel port of the camera: PCLK, HREF, VSYNC and D0-D7, edge by edge, while a frame is sent.

A frame is prepared in Python (ov2640.py, camera.py) and played here. Times are multiples of half a PCLK, in units of
1/65536 cycle so that no rounding adds up. Data change with the falling edge of PCLK, to be sampled at the rising one.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.pins import pins_update
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import bytes_at, longs_at
from firmware_sim.rp2040.layout import (
    CAMERA,
    CAMERA_FRAME_AT,
    EVENT_AT,
    EVENT_CAMERA,
    GPIO_EXTERNAL,
    NEVER,
    STATE_WORDS,
    State,
)

# Words of the region CAMERA.
START = CAMERA  # cycle of the frame's first edge
HALF = CAMERA + 1  # half a PCLK in 1/65536 cycle
EDGE = CAMERA + 2  # half periods done: even ones end with PCLK low
LINE_CLOCKS = CAMERA + 3  # PCLK periods of a line, blanking included
LINE_BYTES = CAMERA + 4  # of them with HREF high
LINES = CAMERA + 5  # of the frame, blanking included
FIRST_LINE = CAMERA + 6  # first one with data
DATA_LINES = CAMERA + 7
GATED = CAMERA + 8  # COM10: PCLK stands still while HREF is low
FRACTION_BITS = 16

PCLK, VSYNC, HREF, D0 = 18, 19, 20, 21  # GPIO numbers of the original board
PORT = 1 << PCLK | 1 << VSYNC | 1 << HREF | 0xFF << D0
SYNC_LINES = 4  # VSYNC is high in the first lines of a frame


@inner
def camera_levels(S: State, edge: int) -> int:
    """Levels of the port after half period `edge` of the frame."""
    clock = edge >> 1
    line, column = clock // S[LINE_CLOCKS], clock % S[LINE_CLOCKS]
    levels = 1 << VSYNC if line < SYNC_LINES else 0
    row = line - S[FIRST_LINE]
    visible = 0 <= row < S[DATA_LINES] and column < S[LINE_BYTES]
    if visible:
        frame = bytes_at(S[CAMERA_FRAME_AT], S[DATA_LINES] * S[LINE_BYTES])
        levels |= 1 << HREF | (frame[row * S[LINE_BYTES] + column] & 0xFF) << D0
    if edge & 1 and (visible or not S[GATED]):
        levels |= 1 << PCLK
    return levels


@inner
def camera_skip(S: State, edge: int) -> int:
    """Next half period at which a level changes: with a gated PCLK nothing happens within the blanking."""
    if not S[GATED] or edge & 1:
        return edge
    clock = edge >> 1
    line, column = clock // S[LINE_CLOCKS], clock % S[LINE_CLOCKS]
    row = line - S[FIRST_LINE]
    if 0 <= row < S[DATA_LINES] and column <= S[LINE_BYTES]:
        return edge
    if column == 0 and line in (0, SYNC_LINES):
        return edge
    return 2 * (line + 1) * S[LINE_CLOCKS]


@far
def fire_camera(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Every edge up to `now`."""
    S = longs_at(state, STATE_WORDS)
    while S[EVENT_AT + EVENT_CAMERA] <= now:
        at, edge = S[EVENT_AT + EVENT_CAMERA], S[EDGE]
        S[GPIO_EXTERNAL] = (S[GPIO_EXTERNAL] & ~PORT) | camera_levels(S, edge)
        pins_update(S, at)
        edge = camera_skip(S, edge + 1)
        S[EDGE] = edge
        if edge >= 2 * S[LINES] * S[LINE_CLOCKS]:
            S[EVENT_AT + EVENT_CAMERA] = NEVER
        else:
            S[EVENT_AT + EVENT_CAMERA] = S[START] + (edge * S[HALF] >> FRACTION_BITS)
    return 0
