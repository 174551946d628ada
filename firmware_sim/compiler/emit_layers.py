"""The tables and the `struct nn_layer` of each operator, as C text (`nn.h` is the contract)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arena import ArenaPlan
from firmware_sim.compiler.c_text import array
from firmware_sim.compiler.emit_generated import dense_tables, depthwise_tables
from firmware_sim.compiler.generated_layer import Chunk, Generated, GeneratedDepthwise
from firmware_sim.compiler.graph import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Lookup,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantize,
    Reshape,
    Shape,
    Softmax,
    Window,
)
from firmware_sim.compiler.kernels import kernel_of, split_of_layer
from firmware_sim.compiler.prover import AddForm, prove_add

IN_SRAM, IN_FLASH = "", '__attribute__((section(".flash_tables")))'
Fields = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class LayerText:
    """The C text of one layer."""

    kernel: str  # the function of kernels.h
    tables: list[str]
    fields: Fields
    chunk: Chunk | None = None  # of generated code


def folded_bias(operator: Conv2D | DepthwiseConv2D, zero_point: int) -> NDArray[np.int64]:
    """Bias int64 [O] with the input's zero point folded in, so that the kernel sums raw int8 inputs."""
    axes = (1, 2, 3) if isinstance(operator, Conv2D) else (0, 1)
    sums: NDArray[np.int64] = operator.weights.sum(axis=axes, dtype=np.int64)  # [O]
    return operator.bias.astype(np.int64) - zero_point * sums


def weight_rows(operator: Conv2D | DepthwiseConv2D) -> NDArray[np.int8]:
    """Weights as nn.h has them: int8 [O, n] with n = kh * kw * I filled up to whole words, or int8 [kh * kw, O]."""
    if isinstance(operator, DepthwiseConv2D):
        return operator.weights.reshape(-1, operator.weights.shape[-1])
    rows = operator.weights.reshape(len(operator.weights), -1)  # [O, kh * kw * I]
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))


def layers_of(
    position: int,
    operator: Operator,
    graph: Graph,
    arena: ArenaPlan,
    section: str,
    generated: Generated | GeneratedDepthwise | None = None,
    cores: int = 1,
) -> list[LayerText]:
    """The layers of `operator`: one, none for RESHAPE, one an input for CONCATENATION. Weights go to `section`."""
    if isinstance(operator, Reshape) or (isinstance(operator, Pad) and operator.folded):
        return []
    if isinstance(operator, Concatenation):
        return _copies(operator, graph, arena)
    into, out = graph.tensors[operator.input], graph.tensors[operator.output]
    fields: Fields = {}
    tables: list[str] = []

    def table(kind: str, name: str, values: Iterable[int], place: str = IN_SRAM) -> str:
        listed = [int(value) for value in values]
        attribute = f"{place} __attribute__((aligned(4)))".strip()
        tables.extend(array(f"static const {kind} {name}_{position}[{len(listed)}] {attribute}", listed))
        return f"{name}_{position}"

    if isinstance(operator, Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D):
        fields |= _window_fields(operator.window)
    kernel = kernel_of(operator, graph)
    plain_tables = generated is None
    if isinstance(generated, GeneratedDepthwise):
        tables += depthwise_tables(position, generated)
        fields["depthwise"] = f"&depthwise_{position}"
        kernel = "generated_depthwise_conv_2d"
        plain_tables = bool(generated.rest)
    if isinstance(generated, Generated) and isinstance(operator, Conv2D):
        plain_tables = bool(len(generated.exact))
        kernel = "generated_conv_2d"
        tables += dense_tables(position, operator, generated)
    if isinstance(operator, Conv2D | DepthwiseConv2D) and (generated is None or _has_rest(generated)):
        fields["weights"] = table("int8_t", "weights", weight_rows(operator).ravel(), section)
    if isinstance(operator, Conv2D | DepthwiseConv2D) and plain_tables:
        fields["bias"] = table("int32_t", "bias", folded_bias(operator, into.zero_point))  # [O]
        fields["once"] = int(operator.rescale.once)
        fields["multiplier"] = table("int32_t", "multiplier", operator.rescale.multiplier)
        fields["shift"] = table("int8_t", "shift", operator.rescale.exponent)
    if isinstance(operator, DepthwiseConv2D):
        fields["depth_multiplier"] = operator.multiplier
    if isinstance(operator, Add | Mul | Mean) and _add_form(operator, graph) is None:
        fields["multiplier"] = table("int32_t", "multiplier", operator.rescale.multiplier)
        fields["shift"] = table("int8_t", "shift", operator.rescale.exponent)
    if isinstance(operator, Pad):
        fields |= {"pad_top": operator.top, "pad_left": operator.left, "pad_before": operator.before}
    if isinstance(operator, Mean):
        names = ("kernel_h", "kernel_w", "depth_multiplier")
        fields |= {name: into.shape[i] if i in operator.axes else 1 for i, name in enumerate(names)}
    if isinstance(operator, Lookup):
        fields["weights"] = table("int8_t", "table", operator.table.view(np.int8))
    if isinstance(operator, Softmax):
        fields["bias"] = table("int32_t", "exponentials", operator.tables.exponentials)
    if isinstance(operator, Quantize):
        fields["multiplier"] = table("int32_t", "scale", np.array([out.scale], np.float32).view(np.int32))
    if isinstance(operator, Dequantize):
        fields["bias"] = table("int32_t", "table", operator.table.view(np.int32))
    form = _add_form(operator, graph)
    if form is not None and isinstance(operator, Add):
        kernel = "proven_add"
        fields["multiplier"] = table("int32_t", "proven", [form.m1, form.m2, form.c])
        fields["once"] = form.shift
        fields["input2_offset"] = arena.offsets[operator.input2]
    elif isinstance(operator, Add | Mul):
        fields |= _operands(operator, graph, table)
        fields["input2_offset"] = arena.offsets.get(operator.input2, 0)
    fields |= dict(zip(("in_h", "in_w", "in_c"), into.shape, strict=True))
    computed = (
        tuple(1 if i in operator.axes else side for i, side in enumerate(into.shape))
        if isinstance(operator, Mean)
        else out.shape
    )
    fields |= dict(zip(("out_h", "out_w", "out_c"), computed, strict=True))
    fields |= {"input_zero_point": _signed(into.zero_point), "output_zero_point": _signed(out.zero_point)}
    if isinstance(operator, Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D | Add | Mul):
        fields |= {"act_min": operator.low, "act_max": operator.high}
    if isinstance(operator, Conv2D) and operator.rescale.once:  # FULLY_CONNECTED: rows of the input as pixels
        rows, depth = into.elements // operator.weights.shape[3], operator.weights.shape[3]
        fields |= {"in_h": 1, "in_w": rows, "in_c": depth, "out_h": 1, "out_w": rows}
    fields |= {"input_offset": arena.offsets.get(operator.input, 0), "output_offset": arena.offsets[operator.output]}
    if cores == 2:
        fields |= _split_fields(kernel, fields, operator, generated)
    if isinstance(generated, Generated):
        return _chunk_layers(position, LayerText(kernel, tables, fields), generated)
    return [LayerText(kernel, tables, fields)]


def _chunk_layers(position: int, layer: LayerText, generated: Generated) -> list[LayerText]:
    """One layer a chunk; the first has the tables of all."""
    layers = []
    for i, chunk in enumerate(generated.chunks):
        fields = layer.fields | {"generated": f"&generated_{position}[{i}]"}
        if i and generated.packed_once:
            fields["packed"] = 1
        if len(generated.chunks) > 1:
            fields |= {"first_channel": chunk.first, "end_channel": chunk.end}
        if chunk.split:
            fields |= {"split": chunk.split, "by_channels": 1}
        layers.append(LayerText(layer.kernel, [] if i else layer.tables, fields, chunk))
    return layers


def _split_fields(
    kernel: str, fields: Fields, operator: Operator, generated: Generated | GeneratedDepthwise | None
) -> Fields:
    """What each core computes of a layer (nn.h, split)."""
    found = split_of_layer(
        kernel, operator, generated, tuple(int(fields[name]) for name in ("out_h", "out_w", "out_c"))
    )
    return {} if found is None else {"split": found.begin, "by_channels": int(found.by_channels)}


def _has_rest(generated: Generated | GeneratedDepthwise) -> bool:
    """Whether some channels run the kernels on pairs, with the layer's weights."""
    return isinstance(generated, GeneratedDepthwise) and bool(generated.rest)


def _signed(zero_point: int) -> int:
    """The zero points of uint8 borders are in their tables already; the field holds int8."""
    return zero_point if zero_point <= 127 else 0


def _add_form(operator: Operator, graph: Graph) -> AddForm | None:
    """The proven form of an ADD or SUB of two activations of one shape."""
    if not isinstance(operator, Add) or {operator.input, operator.input2} & graph.constants.keys():
        return None
    if graph.tensors[operator.input].shape != graph.tensors[operator.input2].shape:
        return None
    return prove_add(operator, graph)


def _operands(operator: Add | Mul, graph: Graph, table: Callable[[str, str, Iterable[int]], str]) -> Fields:
    """Both inputs of ADD, SUB and MUL: steps of repeated sides, and constants."""
    fields: Fields = {"input2_zero_point": graph.tensors[operator.input2].zero_point}
    fields["sign"] = operator.sign if isinstance(operator, Add) else 1
    steps, constants = [], []
    for name, index in (("first", operator.input), ("second", operator.input2)):
        steps.append(_steps(graph.tensors[index].shape))
        values = graph.constants.get(index)
        constants.append("0" if values is None else table("int8_t", f"{name}_operand", values.ravel()))
    fields["steps"] = "{" + ", ".join("{" + ", ".join(map(str, step)) + "}" for step in steps) + "}"
    fields["constants"] = "{" + ", ".join(constants) + "}"
    return fields


def _steps(shape: Shape) -> tuple[int, int, int]:
    """Elements from one row, column and channel to the next; 0 along sides of one."""
    height, width, channels = shape
    return (0 if height == 1 else width * channels, 0 if width == 1 else channels, 0 if channels == 1 else 1)


def _copies(operator: Concatenation, graph: Graph, arena: ArenaPlan) -> list[LayerText]:
    out = graph.tensors[operator.output].shape
    rows = int(np.prod(out[: operator.axis], dtype=np.int64))
    step, start, layers = int(np.prod(out[operator.axis :], dtype=np.int64)), 0, []
    for index in operator.inputs:
        bytes_a_row = int(np.prod(graph.tensors[index].shape[operator.axis :], dtype=np.int64))
        fields: Fields = {
            "steps": f"{{{{{rows}, {bytes_a_row}, {step}}}}}",
            "input_offset": arena.offsets[index],
            "output_offset": arena.offsets[operator.output] + start,
        }
        layers.append(LayerText("copy", [], fields))
        start += bytes_a_row
    return layers


def _window_fields(window: Window) -> Fields:
    return {
        "kernel_h": window.height,
        "kernel_w": window.width,
        "stride_h": window.stride_h,
        "stride_w": window.stride_w,
        "pad_top": window.pad_top,
        "pad_left": window.pad_left,
    }
