"""Which kernel of the firmware runs a layer, and how two cores share it."""

from __future__ import annotations

from firmware_sim.compiler.generated_layer import Generated, GeneratedDepthwise
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
    Softmax,
)
from firmware_sim.compiler.split import Split, split_of

WORK_WORDS = 1536  # nn.h, NN_WORK_WORDS
WORK_SUMS = 128  # nn.h, NN_WORK_SUMS


def kernel_of(operator: Operator, graph: Graph) -> str:
    """The function of kernels.h that runs `operator`; empty for RESHAPE, which moves nothing."""
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        name = "conv_2d" if isinstance(operator, Conv2D) else "depthwise_conv_2d"
        return name if _fits_pairs(operator, graph) else f"plain_{name}"
    names: dict[type[Operator], str] = {
        AveragePool2D: "average_pool_2d",
        MaxPool2D: "max_pool_2d",
        Pad: "pad",
        Add: "add",
        Mul: "mul",
        Mean: "mean",
        Concatenation: "copy",
        Softmax: "softmax",
        Lookup: "lookup",
        Quantize: "quantize",
        Dequantize: "dequantize",
        Reshape: "",
    }
    return names[type(operator)]


def _fits_pairs(operator: Conv2D | DepthwiseConv2D, graph: Graph) -> bool:
    """What the kernels on pairs rely on: two products fit 16 bits, their work area holds a window or its rows."""
    window, width = operator.window, graph.tensors[operator.output].shape[1]
    words = operator.weights[0].size
    if isinstance(operator, DepthwiseConv2D):
        words = window.height * ((width - 1) * window.stride_w + window.width)
    return bool(operator.weights.min(initial=0) >= -127) and words <= WORK_WORDS - 3 and not operator.rescale.once


def split_of_layer(
    kernel: str, operator: Operator, generated: Generated | GeneratedDepthwise | None, shape: tuple[int, ...]
) -> Split | None:
    """Where the second core begins in a layer of these rows, columns and channels."""
    height, width, channels = shape
    if isinstance(generated, GeneratedDepthwise):
        return Split(generated.split, True) if generated.split else None
    if isinstance(generated, Generated) and (paired := generated.paired_rows(height)):
        return Split(-(-paired // 2) * width, False) if paired > 1 else None
    keeps = kernel != "generated_conv_2d" and not (isinstance(operator, Mean) and 2 in operator.axes)
    rows = isinstance(generated, Generated) and generated.pitch > 0
    return split_of(kernel, height, width, channels, keeps_channels=keeps, whole_rows=rows)
