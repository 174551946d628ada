"""What a kernel does in its part of a layer, counted: the cycle model's inputs (cycles.py has their prices).

Cycles of generated code are known from its assembly, so they are one feature with the price 1.
"""

from __future__ import annotations

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
)
from firmware_sim.compiler.kernels import WORK_SUMS
from firmware_sim.compiler.packing import band_features, halves, tiles_of, window_features
from firmware_sim.compiler.parts import Part, input_shape, output_shape

Features = dict[str, float]
CODE = "code"  # cycles of generated code, known from its assembly
MOST_BY_FOUR = 256  # pool.c, MOST_VALUES
SKIP_CYCLES = 12  # of a run that the other core computes (depthwise_code.c)
CALL_CYCLES = 100  # of a run, the code's own prologue included
FLASH_LINE = 8  # bytes of a cache line
CACHED_BYTES = 12 * 1024  # of the 16 KB; the rest is for everything else


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
        pairs, tiles = tiles_of(part.pixels, most)
        found |= {"pairs": pairs * part.channels, "macs": pairs * row * part.channels, "calls": tiles * part.channels}
        return found | window_features(operator.window, input_shape(operator, graph), width, part, most)
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
            rows = halves(first, end)
        if made.paired:
            count = (rows[1] - rows[0]) * width
            return {"layer": 1.0, CODE: count * code.cycles, "rows": count / width}
        bands = band_features(operator, graph, rows, words, operator.weights.shape[3])
        pairs = (rows[1] - rows[0]) * width
        found: Features = {"layer": 1.0, CODE: pairs * code.cycles, "pairs": pairs, "rows": pairs / width}
        kept = ("bands",) if packed else tuple(bands)
        return found | {f"band {name}": bands[name] for name in kept}
    most = words // operator.weights[0].size
    pairs, tiles = tiles_of(part.pixels, most)
    found = {"layer": 1.0, CODE: pairs * code.cycles, "pairs": pairs, "tiles": tiles}
    if packed:
        return found
    return found | window_features(operator.window, input_shape(operator, graph), width, part, most)


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
    bands = band_features(operator, graph, halves(0, height), words, 1)
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


def flash_lines(operator: Conv2D | DepthwiseConv2D, part: Part, words: int) -> float:
    """Cache lines of weights that are read from flash: anew for each tile of pixels unless the cache holds them."""
    weights = operator.weights.size / len(operator.bias) * part.channels
    tiles = 1
    if isinstance(operator, Conv2D) and weights > CACHED_BYTES:
        row = -(-operator.weights[0].size // 4) * 4
        tiles = tiles_of(part.pixels, max(1, min(words // row, WORK_SUMS // 2)))[1]
    return weights / FLASH_LINE * tiles


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
