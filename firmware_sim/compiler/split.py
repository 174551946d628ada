"""How the two cores share a layer: by pixels or by channels, and where the second core's part begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CHANNELS_ONLY = ("depthwise_conv_2d", "generated_depthwise_conv_2d")
PIXELS_ONLY = ("softmax",)
ROWS_ONLY = ("pad",)
RUNS = ("lookup", "quantize", "dequantize", "proven_add")  # by channels only where there is one pixel
NOT_DIVIDED = ("copy",)
PAIRED = ("conv_2d", "generated_conv_2d")  # two pixels cost what one costs
PACK_CYCLES = 7.0  # a tap of a pair of pixels, which both cores pack when they share channels


@dataclass(frozen=True, slots=True)
class Split:
    """Where core 1 begins: at a pixel (y * width + x), or at a channel."""

    begin: int
    by_channels: bool


def split_of(
    kernel: str, height: int, width: int, channels: int, *, keeps_channels: bool = True, whole_rows: bool = False
) -> Split | None:
    """The better balanced split of a kernel of kernels.h; None when one core does all.

    `keeps_channels`: each output channel comes from its own input channels. `whole_rows`: pixels are divided by rows.
    """
    pixels = height * width
    if kernel in NOT_DIVIDED or pixels * channels < 2:
        return None
    if kernel in ROWS_ONLY or whole_rows:
        return Split(-(-height // 2) * width, False) if height > 1 else None
    by_pixels = _half(pixels, step=2 if kernel in PAIRED else 1)
    by_channels = _half(channels)
    if kernel in CHANNELS_ONLY:
        by_pixels = None
    if kernel in PIXELS_ONLY or (kernel in RUNS and pixels > 1) or not keeps_channels:
        by_channels = None
    if by_pixels is None and by_channels is None:
        return None
    share_of_pixels = by_pixels / pixels if by_pixels is not None else 1.0  # the larger share decides
    share_of_channels = by_channels / channels if by_channels is not None else 1.0
    if by_channels is not None and share_of_channels < share_of_pixels - 0.02:
        return Split(by_channels, True)
    return Split(by_pixels, False) if by_pixels is not None else None


def _half(count: int, step: int = 1) -> int | None:
    """The larger half of `count`, a multiple of `step`; None when nothing is left for the other core."""
    half = -(-count // (2 * step)) * step
    return half if 0 < half < count else None


def balanced(costs: Sequence[float]) -> int:
    """First channel of the second part, so that the larger sum of `costs` is smallest; 0 for fewer than two."""
    total, best, found, before = sum(costs), float("inf"), 0, 0.0
    for i, cost in enumerate(costs):
        if i and max(before, total - before) < best:
            best, found = max(before, total - before), i
        before += cost
    return found
