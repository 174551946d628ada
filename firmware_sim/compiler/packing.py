"""What the packing of inputs does for a part of a layer, counted: window by window, or in bands of rows (band.c)."""

from __future__ import annotations

import numpy as np

from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Shape, Window
from firmware_sim.compiler.parts import Part, input_shape, output_shape


def window_features(window: Window, into: Shape, width: int, part: Part, most: int) -> dict[str, float]:
    """Words that are packed for the pairs of a part: in rows inside the input, and tap by tap at its border."""
    pixels = np.arange(part.pixel, part.pixel_end)
    y = pixels // width * window.stride_h - window.pad_top
    x = pixels % width * window.stride_w - window.pad_left
    inside = (y >= 0) & (y + window.height <= into[0]) & (x >= 0) & (x + window.width <= into[1])
    size = window.height * window.width * into[2]
    border = 0
    pairs = 0
    for begin in range(0, len(pixels), 2 * most):
        tile = inside[begin : begin + 2 * most]
        half = (len(tile) + 1) // 2
        second = np.concatenate([tile[half:], tile[:half][len(tile) - half :]])
        border += int((~(tile[:half] & second)).sum())
        pairs += half
    if (window.height, window.width, window.stride_h, window.stride_w) == (1, 1, 1, 1):
        # the pixels are the windows, but for a last tile with an odd number of them
        odd = len(pixels) % (2 * most) % 2
        last = (len(pixels) % (2 * most) + 1) // 2 if odd else 0
        return {"row words": (pairs - last) * size, "windows": last, "words": last * size, "runs": last}
    return {
        "windows": pairs,
        "words": (pairs - border) * size,
        "border": border * size,
        "runs": (pairs - border) * window.height,
        "border taps": border * window.height * window.width,
    }


def band_features(
    operator: Conv2D | DepthwiseConv2D, graph: Graph, rows: tuple[int, int, int], words: int, values: int
) -> dict[str, float]:
    """What band.c does for output rows: words of the work area that it fills first, bands, and packed rows of two
    input rows, or of one and padding, or of padding alone."""
    into, window = input_shape(operator, graph), operator.window
    width = output_shape(operator, graph)[1]
    first_row, stop, distance = rows
    count = stop - first_row
    if (window.height, window.width) == (1, 1):  # only the pixels that are read
        most = words // (width * values)
        calls = count * (1 if window.stride_w == 1 else width)
        found = {"both": calls, "both words": count * width * values, "bands": -(-count // most), "init": 0.0}
        return found | {"runs": count}
    pitch = ((width - 1) * window.stride_w + window.width) * values
    fitting = words // pitch
    most = (fitting - window.height) // window.stride_h + 1
    found = {"both": 0, "one": 0, "none": 0, "runs": 0, "bands": 0}
    for row in range(first_row, stop, most):
        pairs = min(most, stop - row)
        y = row * window.stride_h - window.pad_top + np.arange((pairs - 1) * window.stride_h + window.height)
        first = (y >= 0) & (y < into[0])
        second = (y + distance * window.stride_h >= 0) & (y + distance * window.stride_h < into[0])
        found["both"] += int((first & second).sum())
        found["one"] += int((first ^ second).sum())
        found["none"] += int((~first & ~second).sum())
        found["runs"] += 1 + int(((first[1:] != first[:-1]) | (second[1:] != second[:-1])).sum())
        found["bands"] += 1
    line = min(pitch - window.pad_left * values, into[1] * values)
    lines: dict[str, float] = {f"{name} words": found[name] * line for name in ("both", "one", "none")}
    used = min((count - 1) * window.stride_h + window.height, fitting) * pitch
    return {name: float(value) for name, value in found.items()} | lines | {"init": used}


def halves(first: int, end: int) -> tuple[int, int, int]:
    """First pixels' rows of both halves of some output rows, and the distance (band.h, band_halves)."""
    half = -(-(end - first) // 2)
    return first, first + half, half


def tiles_of(pixels: int, most: int) -> tuple[int, int]:
    """Pairs of pixels, and the tiles of at most that many pairs."""
    whole, rest = divmod(pixels, 2 * most)
    return whole * most + (rest + 1) // 2, whole + (rest > 0)
