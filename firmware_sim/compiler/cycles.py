"""How many cycles a layer will take: what it does (features.py) times prices measured on the emulated chip.

cycle_prices.json is what `crustwatch firmware calibrate` fitted: for each kernel the cycles of one of each feature, and
by how much two cores in one SRAM slow each other down.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from firmware_sim.compiler.candidates import Candidate
from firmware_sim.compiler.emit_layers import LayerText
from firmware_sim.compiler.features import Features, dense_features, depthwise_features, flash_lines, kernel_features
from firmware_sim.compiler.generated_layer import Chunk, Generated, GeneratedDepthwise
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph, Operator
from firmware_sim.compiler.kernels import kernel_of, split_of_layer
from firmware_sim.compiler.parts import Part, output_shape, parts_of

PRICES = Path(__file__).with_name("cycle_prices.json")
SYNC = "sync"  # the price of asking the other core and of its answer
CONTENTION = "contention"


class Prices(msgspec.Struct, frozen=True):
    """Cycles by kernel and feature."""

    sync: float
    kernels: dict[str, dict[str, float]]

    def of(self, kernel: str, parts: Sequence[Features]) -> float:
        """Cycles of a layer whose cores do these things."""
        known = self.kernels.get(kernel, {})
        longest = max(sum(known.get(name, 0.0) * count for name, count in part.items()) for part in parts)
        return longest if len(parts) == 1 else longest * known.get(CONTENTION, 1.0) + self.sync


@cache
def prices() -> Prices:
    """Those of the package."""
    return msgspec.json.decode(PRICES.read_bytes(), type=Prices)


def features_of(
    kernel: str,
    operator: Operator,
    graph: Graph,
    parts: Sequence[Part],
    made: Candidate | None,
    words: int,
    chunk: Chunk | None = None,
    *,
    packed: bool = False,
) -> list[Features]:
    """What each core does, with `words` of work area; `packed`: by the chunk before."""
    if made is not None and isinstance(operator, Conv2D) and isinstance(made.generated, Generated):
        codes = {code.name: code for code in made.assembly}
        names = (chunk or made.generated.chunks[0]).names
        return [
            dense_features(operator, graph, part, codes[names[i % len(names)]], words, made.generated, packed=packed)
            for i, part in enumerate(parts)
        ]
    if made is not None and isinstance(operator, DepthwiseConv2D) and isinstance(made.generated, GeneratedDepthwise):
        return [depthwise_features(operator, graph, part, made.generated, made.assembly, words) for part in parts]
    return [kernel_features(kernel, operator, graph, part, words) for part in parts]


def choice_cycles(
    operator: Conv2D | DepthwiseConv2D, graph: Graph, made: Candidate | None, cores: int, words: int, *, in_flash: bool
) -> float:
    """Of one form that a layer can take: generated code if `made`, otherwise its kernel; weights in SRAM or flash."""
    kernel = kernel_of(operator, graph)
    if made is not None:
        kernel = "generated_conv_2d" if isinstance(operator, Conv2D) else "generated_depthwise_conv_2d"
    split, by_channels = 0, False
    if cores == 2:
        split, by_channels = _split(kernel, operator, graph, made)
    parts = parts_of(operator, graph, split, by_channels=by_channels)
    found = features_of(kernel, operator, graph, parts, made, words)
    if in_flash:
        found = _with_lines(found, parts, operator, words)
    return prices().of(kernel, found)


def _with_lines(
    found: list[Features], parts: Sequence[Part], operator: Conv2D | DepthwiseConv2D, words: int
) -> list[Features]:
    return [done | {"flash lines": flash_lines(operator, part, words)} for done, part in zip(found, parts, strict=True)]


def _split(kernel: str, operator: Operator, graph: Graph, made: Candidate | None) -> tuple[int, bool]:
    if made is not None and isinstance(made.generated, Generated) and made.generated.chunks[0].split:
        return made.generated.chunks[0].split, True
    generated = made.generated if made is not None else None
    found = split_of_layer(kernel, operator, generated, output_shape(operator, graph))
    return (0, False) if found is None else (found.begin, found.by_channels)


def layer_features(
    layer: LayerText, operator: Operator, graph: Graph, made: Candidate | None, words: int, *, in_flash: bool
) -> list[Features]:
    """What each core does in a layer of the firmware."""
    fields = layer.fields
    split, by_channels = int(fields.get("split", 0)), bool(fields.get("by_channels", 0))
    first, end = int(fields.get("first_channel", 0)), int(fields.get("end_channel", 0))
    parts = parts_of(operator, graph, split, by_channels=by_channels, first=first, end=end)
    packed = bool(fields.get("packed", 0))
    found = features_of(layer.kernel, operator, graph, parts, made, words, layer.chunk, packed=packed)
    if in_flash and isinstance(operator, Conv2D | DepthwiseConv2D):
        found = _with_lines(found, parts, operator, words)
    return found
