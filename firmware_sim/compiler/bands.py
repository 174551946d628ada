"""How the input of a generated convolution is packed: window by window, or in bands of rows that windows slide over.

Bands pack each input row about once (band.h), windows one by one each value as often as windows share it. But bands
make pairs of output rows, of which an odd number wastes half a row, and want a work area of some rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.compiler.graph import Conv2D, Graph
from firmware_sim.compiler.kernels import WORK_WORDS
from firmware_sim.compiler.planes import Plane

MOST_WORDS = 6144  # of a work area
BAND_CYCLES = 9.5  # of packing a word (pack_m0.S)
WINDOW_CYCLES = 13.0  # of packing a word window by window, borders included
PRODUCT_CYCLES, OUTPUT_CYCLES = 3.5, 40.0  # of generated code, a pair of pixels
SHARED = 4  # rows of a band that are packed twice are at most this part of the others


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """How a window lies in packed rows (band.h)."""

    words: int  # of a row of the window
    pitch: int  # words from row to row
    step: int  # words from window to window

    def place(self, tap: int) -> int:
        """The word of a tap."""
        return tap // self.words * self.pitch + tap % self.words


@dataclass(frozen=True, slots=True)
class Bands:
    """The choice of one layer; without `layout` its windows are packed one by one."""

    layout: WindowLayout | None
    pairs: int  # of pixels
    shared_pairs: int  # of one of two cores that share pixels
    packing: float  # cycles a pair
    packed_once: bool  # all of a part fits the work area


@dataclass(frozen=True, slots=True)
class _Rows:
    """A layer's rows."""

    pitch: int
    width: int  # of the output
    height: int
    kernel: int
    stride: int
    step: int  # words from window to window
    spare: int  # words for outputs that do not exist (generated.c)

    def half(self, cores: int) -> int:
        """Pairs of output rows of one core."""
        rows = -(-self.height // cores)
        return -(-rows // 2)

    def words(self, pairs: int) -> int:
        """Words that so many pairs of output rows want."""
        return ((pairs - 1) * self.stride + self.kernel) * self.pitch + self.spare


def _rows(operator: Conv2D, graph: Graph, *, planes: bool = False) -> _Rows | None:
    """`planes`: the outputs are words of planes; then pixels of 1x1 windows are paired by rows too."""
    window = operator.window
    height, width, _ = graph.tensors[operator.output].shape
    spare = 0 if planes else -(-len(operator.bias) // 4)
    if operator.rescale.once or (height < 2 and not planes):
        return None
    if (window.height, window.width) == (1, 1):
        strided = (window.stride_h, window.stride_w) != (1, 1)
        pixels = (planes or strided) and (window.pad_top, window.pad_left) == (0, 0)
        depth = operator.weights.shape[3]
        return _Rows(width * depth, width, height, 1, 1, depth, spare) if pixels else None
    pitch = ((width - 1) * window.stride_w + window.width) * operator.weights.shape[3]
    return _Rows(
        pitch, width, height, window.height, window.stride_h, window.stride_w * operator.weights.shape[3], spare
    )


def work_words(graph: Graph, cores: int, most: int) -> int:
    """Words of a core's work area: those that the kernels need, and up to `most` for the bands of this network."""
    wanted = WORK_WORDS
    for operator in graph.operators:
        rows = _rows(operator, graph) if isinstance(operator, Conv2D) else None
        if rows is None:
            continue
        pairs = min(rows.half(cores), max(1, -(-SHARED * (rows.kernel - rows.stride) // rows.stride)))
        while pairs > 1 and rows.words(pairs) > min(most, MOST_WORDS):
            pairs -= 1
        if rows.words(pairs) <= min(most, MOST_WORDS):
            wanted = max(wanted, rows.words(pairs))
    return wanted


def bands_of(operator: Conv2D, graph: Graph, cores: int, words: int) -> Bands | None:
    """The bands of a layer; None when window by window is better."""
    rows = _rows(operator, graph)
    if rows is None or rows.words(1) > words:
        return None
    taps, channels = operator.weights[0].size, len(operator.bias)
    half = rows.half(1)
    pairs, most = half * rows.width, ((words - rows.spare) // rows.pitch - rows.kernel) // rows.stride + 1
    packed = sum(rows.words(min(most, half - first)) for first in range(0, half, most))
    code = PRODUCT_CYCLES * taps * channels + OUTPUT_CYCLES * channels
    windows = (rows.height * rows.width + 1) // 2
    if pairs * code + packed * BAND_CYCLES >= windows * (code + WINDOW_CYCLES * taps):
        return None
    return Bands(
        layout=WindowLayout(operator.window.width * operator.weights.shape[3], rows.pitch, rows.step),
        pairs=pairs,
        shared_pairs=rows.half(2) * rows.width,
        packing=packed * BAND_CYCLES / pairs,
        packed_once=rows.words(half) <= words,
    )


def paired_bands(operator: Conv2D, graph: Graph, words: int, plane: Plane | None, paired: int) -> Bands | None:
    """Those of a layer whose outputs are planes, or whose input is words of pixels `paired` rows apart.

    None when a row does not fit the work area, or both do not fit together.
    """
    rows = _rows(operator, graph, planes=True)
    if rows is None or (plane is not None and paired and plane.distance != paired):
        return None
    depth, first_rows = operator.weights.shape[3], min(plane.distance if plane is not None else paired, rows.height)
    pairs, packing, once = first_rows * rows.width, 0.0, True
    if not paired:
        if rows.words(1) > words:
            return None
        most = (words // rows.pitch - rows.kernel) // rows.stride + 1
        packed = sum(rows.words(min(most, first_rows - at)) for at in range(0, first_rows, most))
        packing, once = packed * BAND_CYCLES / pairs, rows.words(first_rows) <= words
    return Bands(
        layout=WindowLayout(operator.window.width * depth, rows.pitch, rows.step),
        pairs=pairs,
        shared_pairs=-(-first_rows // 2) * rows.width,
        packing=packing,
        packed_once=once,
    )
