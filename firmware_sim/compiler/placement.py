"""What lies in SRAM and what stays in flash, and what to change when a model fits neither."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_sim.compiler.arena import ArenaPlan
from firmware_sim.compiler.emit_layers import weight_rows
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Dequantize, Graph, Lookup, Operator, Reshape, Softmax
from shared.errors import BadInputError

RAM_BYTES = 256 * 1024  # firmware.ld, ram; the stack lies elsewhere
FLASH_BYTES = 2 * 1024 * 1024
FIXED_BYTES = 28 * 1024  # code, the kernels' work area, vectors, buffers: what a build without weights takes
LAYER_BYTES = 112  # struct nn_layer
CHANNEL_BYTES = 9  # bias, multiplier, shift


@dataclass(frozen=True, slots=True)
class Placement:
    """Positions of the operators whose weights stay in flash, and SRAM bytes as estimated before the build."""

    in_flash: frozenset[int]
    ram_bytes: int


def place(graph: Graph, arena: ArenaPlan, origin: str) -> Placement:
    """Weights into SRAM, those read most often a byte first, until it is full. BadInputError when it does not fit.

    How often: a convolution streams its weights once for each tile of output pixels.
    """
    used = FIXED_BYTES + arena.bytes + sum(_table_bytes(operator) for operator in graph.operators)
    used += sum(values.size for values in graph.constants.values())
    flash = used - arena.bytes + sum(_weight_bytes(operator) for operator in graph.operators)
    if used > RAM_BYTES:
        raise BadInputError(_too_large(graph, arena, used, origin))
    if flash > FLASH_BYTES:
        raise BadInputError(
            f"{origin}: needs {flash} bytes of flash, {flash - FLASH_BYTES} more than there are: "
            f"fewer or narrower layers would make it fit"
        )
    weighted = [i for i, operator in enumerate(graph.operators) if _weight_bytes(operator)]
    stay = set(weighted)
    for position in sorted(weighted, key=lambda i: -_pixels(graph, graph.operators[i])):
        size = _weight_bytes(graph.operators[position])
        if used + size <= RAM_BYTES:
            used += size
            stay.discard(position)
    return Placement(frozenset(stay), used)


def _pixels(graph: Graph, operator: Operator) -> int:
    height, width, _ = graph.tensors[operator.output].shape
    return height * width


def _weight_bytes(operator: Operator) -> int:
    return weight_rows(operator).size if isinstance(operator, Conv2D | DepthwiseConv2D) else 0


def _table_bytes(operator: Operator) -> int:
    if isinstance(operator, Reshape):
        return 0
    channels = len(operator.bias) if isinstance(operator, Conv2D | DepthwiseConv2D) else 0
    table = 256 if isinstance(operator, Lookup) else 1024 if isinstance(operator, Softmax | Dequantize) else 0
    return LAYER_BYTES + CHANNEL_BYTES * channels + table


def _too_large(graph: Graph, arena: ArenaPlan, used: int, origin: str) -> str:
    """Where the most activations are alive at once, and what would make it fit."""
    position = max(
        range(len(graph.operators)),
        key=lambda i: sum(p.bytes for p in arena.placements if p.first <= i <= p.last),
    )
    operator = graph.operators[position]
    out = graph.tensors[operator.output]
    over = used - RAM_BYTES
    return (
        f"{origin}: needs {used} bytes of SRAM, {over} more than the {RAM_BYTES} there are: {arena.bytes} of them are "
        f"activations, most at operator {position} {type(operator).__name__}, tensor {out.name!r} {list(out.shape)}; a "
        f"smaller input or fewer channels there, {over} bytes less, would make it fit"
    )
