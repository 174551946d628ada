"""A convolution as generated code: which functions do which of its channels, what is proven, and how tensors lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.depthwise_channels import Channel
from firmware_sim.compiler.planes import Plane
from firmware_sim.compiler.prover import Requantisation


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some channels of a convolution as generated code: its function, or one for each core."""

    names: tuple[str, ...]
    first: int
    end: int
    split: int = 0  # first channel of the second core's function; 0: one function for both
    overlay_bytes: int = 0  # of code in flash that runs from a slot; 0: it lies in SRAM


@dataclass(frozen=True, slots=True)
class Generated:
    """A convolution as generated code: its proof, the channels without one, its functions."""

    forms: Requantisation
    exact: NDArray[np.int64]
    chunks: tuple[Chunk, ...]
    pitch: int = 0  # nn.h
    packed_once: bool = False  # the work area holds all that is packed, from chunk to chunk
    plane: Plane | None = None  # where its outputs go
    paired: int = 0  # rows between the pixels of its input's words; 0: plain input

    def paired_rows(self, height: int) -> int:
        """Rows of pairs of pixels; 0 where the kernel itself decides which pixels are pairs."""
        return min(self.plane.distance if self.plane is not None else self.paired, height)


@dataclass(frozen=True, slots=True)
class DepthwiseRun:
    """Channels of one core that one call of a function does."""

    name: str
    side: bool  # of the second core
    channels: list[Channel]


@dataclass(frozen=True, slots=True)
class GeneratedDepthwise:
    """A 3x3 depthwise convolution as generated code, and the channels for the other kernels."""

    forms: Requantisation
    runs: tuple[DepthwiseRun, ...]
    rest: list[int]
    own: bool  # a function a channel, which knows the channel's numbers
    split: int  # first channel of the second core; 0: one core does all
    plane: Plane | None = None  # what it reads
    words: bool = False  # it writes words of two pixels
