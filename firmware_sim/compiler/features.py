"""What a kernel does in its part of a layer, counted: the cycle model's inputs (cycles.py has their prices).

Cycles of generated code are known from its assembly, so they are one feature with the price 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firmware_sim.compiler.assembly import Assembly
from firmware_sim.compiler.generated_layer import Generated, GeneratedDepthwise
from firmware_sim.compiler.graph import (
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    MaxPool2D,
    Mean,
    Operator,
    Pad,
    Shape,
    Window,
)
from firmware_sim.compiler.kernels import WORK_SUMS

Features = dict[str, float]
CODE = "code"  # cycles of generated code, known from its assembly
MOST_BY_FOUR = 256  # pool.c, MOST_VALUES
SKIP_CYCLES = 12  # of a run that the other core computes (depthwise_code.c)
CALL_CYCLES = 100  # of a run, the code's own prologue included
FLASH_LINE = 8  # bytes of a cache line
CACHED_BYTES = 12 * 1024  # of the 16 KB; the rest is for everything else


@dataclass(frozen=True, slots=True)
class Part:
    """Pixels (y * width + x) and channels that one core computes."""

    pixel: int
    pixel_end: int
    channel: int
    channel_end: int

    @property
    def pixels(self) -> int:
        """How many."""
        return self.pixel_end - self.pixel

    @property
    def channels(self) -> int:
        """How many."""
        return self.channel_end - self.channel


def output_shape(operator: Operator, graph: Graph) -> Shape:
    """Rows, columns and channels as the kernels see them."""
    shape = graph.tensors[operator.output].shape
    if isinstance(operator, Mean):
        into = graph.tensors[operator.input].shape
        height, width, channels = (1 if i in operator.axes else side for i, side in enumerate(into))
        return height, width, channels
    if isinstance(operator, Conv2D) and operator.rescale.once:
        return 1, graph.tensors[operator.output].elements // len(operator.bias), len(operator.bias)
    return shape


def input_shape(operator: Operator, graph: Graph) -> Shape:
    """Likewise of the input."""
    if isinstance(operator, Concatenation):
        return graph.tensors[operator.inputs[0]].shape
    if isinstance(operator, Conv2D) and operator.rescale.once:
        depth = operator.weights.shape[3]
        return 1, graph.tensors[operator.input].elements // depth, depth
    return graph.tensors[operator.input].shape


def kernel_features(kernel: str, operator: Operator, graph: Graph, part: Part, words: int) -> Features:
    """Of the kernels that are the same for all models; `words` of work area for each core."""
    height, width, _ = output_shape(operator, graph)
    outputs = part.pixels * part.channels
    found: Features = {"layer": 1.0, "outputs": outputs, "pixels": part.pixels}
    if isinstance(operator, Conv2D):
        size = operator.weights[0].size
        if kernel == "plain_conv_2d":
            taps = operator.window.height * operator.window.width
            return found | {"macs": outputs * size, "taps": outputs * taps}
        row = -(-size // 4) * 4
        most = min(words // row, WORK_SUMS // 2)
        pairs, tiles = _tiles(part.pixels, most)
        found |= {"pairs": pairs * part.channels, "macs": pairs * row * part.channels, "calls": tiles * part.channels}
        return found | packing(operator.window, input_shape(operator, graph), width, part, most)
    if isinstance(operator, DepthwiseConv2D):
        taps = operator.window.height * operator.window.width
        if kernel == "plain_depthwise_conv_2d":
            return found | {"taps": outputs * taps}
        half = -(-height // 2)
        packed = (width - 1) * operator.window.stride_w + operator.window.width
        band = max(1, (words // packed - operator.window.height) // operator.window.stride_h + 1)
        bands = -(-half // band)
        rows = (half - bands) * operator.window.stride_h + bands * operator.window.height
        found |= {"channels": part.channels, "words": part.channels * rows * packed, "rows": part.channels * rows}
        name = "macs3" if taps == 9 and operator.window.height == 3 else "macs"
        return found | {name: outputs * taps, "windows": part.channels * half * width}
    if isinstance(operator, AveragePool2D | MaxPool2D):
        pooled = _pool_taps(operator, graph, part)
        if isinstance(operator, AveragePool2D) and _by_four(operator, graph, part):
            fours = {f"four {name}": value / 4 for name, value in (pooled | {"outputs": float(outputs)}).items()}
            return {"layer": 1.0, "pixels": float(part.pixels)} | fours
        return found | pooled
    if isinstance(operator, Mean):
        into = input_shape(operator, graph)
        whole = int(np.prod([into[i] for i in operator.axes], dtype=np.int64))
        return found | {"taps": outputs * whole, "runs": outputs * whole / (into[2] if 2 in operator.axes else 1)}
    if isinstance(operator, Concatenation):
        shape = graph.tensors[operator.output].shape
        copies, size = int(np.prod(shape[: operator.axis])), outputs / len(operator.inputs)
        unaligned = any(np.prod(graph.tensors[i].shape[operator.axis :]) % 4 for i in operator.inputs)
        return {"layer": 1.0, "copies": copies, "odd" if unaligned else "bytes": size}
    if isinstance(operator, Pad):
        _, in_width, in_channels = input_shape(operator, graph)
        whole = in_channels == part.channels
        lines = part.pixels / width
        first = part.pixel // width - operator.top
        inside = max(0, min(first + lines, input_shape(operator, graph)[0]) - max(0, first))
        odd = operator.left * part.channels % 4 or in_width * in_channels % 4 or width * part.channels % 4
        return {
            "layer": 1.0,
            "rows": lines,
            "copies": inside * (1 if whole else in_width),
            "odd" if odd else "bytes": inside * in_width * in_channels,
            "set": outputs,
        }
    return found


def dense_features(
    operator: Conv2D,
    graph: Graph,
    part: Part,
    code: Assembly,
    words: int,
    made: Generated,
    *,
    packed: bool,
) -> Features:
    """Of generated code for a dense convolution; `code` is the part's function.

    `packed`: by the chunk before.
    """
    width = output_shape(operator, graph)[1]
    if made.pitch:
        first, end = part.pixel // width, part.pixel_end // width
        if paired := made.paired_rows(output_shape(operator, graph)[0]):
            rows = (first, min(end, paired), made.plane.distance if made.plane is not None else made.paired)
        else:
            words -= -(-len(operator.bias) // 4)
            rows = _halves(first, end)
        if made.paired:
            count = (rows[1] - rows[0]) * width
            return {"layer": 1.0, CODE: count * code.cycles, "rows": count / width}
        bands = _bands(operator, graph, rows, words, operator.weights.shape[3])
        pairs = (rows[1] - rows[0]) * width
        found: Features = {"layer": 1.0, CODE: pairs * code.cycles, "pairs": pairs, "rows": pairs / width}
        kept = ("bands",) if packed else tuple(bands)
        return found | {f"band {name}": bands[name] for name in kept}
    most = words // operator.weights[0].size
    pairs, tiles = _tiles(part.pixels, most)
    found = {"layer": 1.0, CODE: pairs * code.cycles, "pairs": pairs, "tiles": tiles}
    return found if packed else found | packing(operator.window, input_shape(operator, graph), width, part, most)


def depthwise_features(
    operator: DepthwiseConv2D,
    graph: Graph,
    part: Part,
    made: GeneratedDepthwise,
    codes: tuple[Assembly, ...],
    words: int,
) -> Features:
    """Of generated code for a depthwise convolution."""
    height, width, _ = output_shape(operator, graph)
    by_name, half = {code.name: code for code in codes}, -(-height // 2)
    mine = [run for run in made.runs if part.channel <= run.channels[0].index < part.channel_end]
    count = sum(len(run.channels) for run in mine)
    cycles = float(SKIP_CYCLES * (len(made.runs) - len(mine)))
    if made.plane is not None:
        for run in mine:
            code = by_name[run.name]
            cycles += CALL_CYCLES + len(run.channels) * (half * code.cycles + code.start_cycles)
        return {"layer": 1.0, CODE: cycles}
    bands = _bands(operator, graph, _halves(0, height), words, 1)
    calls = bands["bands"] + height % 2 * (half > 1)
    for run in mine:
        code = by_name[run.name]
        cycles += len(run.channels) * (half * code.cycles + calls * code.start_cycles)
    found: Features = {"layer": 1.0, CODE: cycles, "channels": count * calls}
    found |= {"bands": bands.pop("bands"), "init": bands.pop("init")}
    found |= {name: count * value for name, value in bands.items()}
    rest = Part(0, height * width, 0, sum(part.channel <= c < part.channel_end for c in made.rest))
    if rest.channels:
        slow = kernel_features("depthwise_conv_2d", operator, graph, rest, words)
        found |= {f"rest {name}": value for name, value in slow.items() if name != "layer"}
    return found


def _halves(first: int, end: int) -> tuple[int, int, int]:
    """First pixels' rows of both halves of some output rows, and the distance (band.h, band_halves)."""
    half = -(-(end - first) // 2)
    return first, first + half, half


def _bands(
    operator: Conv2D | DepthwiseConv2D, graph: Graph, rows: tuple[int, int, int], words: int, values: int
) -> Features:
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
    lines: Features = {f"{name} words": found[name] * line for name in ("both", "one", "none")}
    used = min((count - 1) * window.stride_h + window.height, fitting) * pitch
    return {name: float(value) for name, value in found.items()} | lines | {"init": used}


def flash_lines(operator: Conv2D | DepthwiseConv2D, part: Part, words: int) -> float:
    """Cache lines of weights that are read from flash: anew for each tile of pixels unless the cache holds them."""
    weights = operator.weights.size / len(operator.bias) * part.channels
    tiles = 1
    if isinstance(operator, Conv2D) and weights > CACHED_BYTES:
        row = -(-operator.weights[0].size // 4) * 4
        tiles = _tiles(part.pixels, max(1, min(words // row, WORK_SUMS // 2)))[1]
    return weights / FLASH_LINE * tiles


def packing(window: Window, into: Shape, width: int, part: Part, most: int) -> Features:
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


def _tiles(pixels: int, most: int) -> tuple[int, int]:
    """Pairs of pixels, and the tiles of at most that many pairs."""
    whole, rest = divmod(pixels, 2 * most)
    return whole * most + (rest + 1) // 2, whole + (rest > 0)


def _by_four(operator: AveragePool2D, graph: Graph, part: Part) -> bool:
    """Whether pool.c takes four channels at once."""
    into, window = graph.tensors[operator.input].shape, operator.window
    count = min(window.height, into[0]) * min(window.width, into[1])
    return count <= MOST_BY_FOUR and into[2] % 4 == 0 and part.channel % 4 == 0


def _pool_taps(operator: AveragePool2D | MaxPool2D, graph: Graph, part: Part) -> Features:
    """Values that the part's windows take, and rows of them; those outside the input do not count."""
    window, (high, wide, _) = operator.window, graph.tensors[operator.input].shape
    height, width, _ = output_shape(operator, graph)
    sides = []
    for count, stride, pad, size, side in (
        (height, window.stride_h, window.pad_top, window.height, high),
        (width, window.stride_w, window.pad_left, window.width, wide),
    ):
        start = np.arange(count) * stride - pad
        sides.append(np.minimum(start + size, side) - np.maximum(start, 0))
    area = np.outer(*sides).ravel()[part.pixel : part.pixel_end]
    rows = np.repeat(sides[0], width)[part.pixel : part.pixel_end]
    return {"taps": float(area.sum() * part.channels), "runs": float(rows.sum() * part.channels)}
