"""The supported operators by their name in the schema."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.compiler import tflite_elementwise, tflite_layers, tflite_shapes
from firmware_sim.compiler.graph import Operator
from firmware_sim.compiler.tflite_file import Source

OPERATORS: dict[str, Callable[[Source], Operator]] = {
    "CONV_2D": tflite_layers.conv_2d,
    "DEPTHWISE_CONV_2D": tflite_layers.depthwise_conv_2d,
    "FULLY_CONNECTED": tflite_layers.fully_connected,
    "AVERAGE_POOL_2D": tflite_shapes.average_pool_2d,
    "MAX_POOL_2D": tflite_shapes.max_pool_2d,
    "MEAN": tflite_shapes.mean,
    "PAD": tflite_shapes.pad,
    "RESHAPE": tflite_shapes.reshape,
    "CONCATENATION": tflite_shapes.concatenation,
    "ADD": tflite_elementwise.add,
    "SUB": tflite_elementwise.sub,
    "MUL": tflite_elementwise.mul,
    "RELU": tflite_elementwise.relu,
    "RELU6": tflite_elementwise.relu6,
    "LOGISTIC": tflite_elementwise.logistic,
    "SOFTMAX": tflite_elementwise.softmax,
    "QUANTIZE": tflite_elementwise.quantize,
    "DEQUANTIZE": tflite_elementwise.dequantize,
}

ADVICE = {
    "TANH": "use RELU, RELU6 or LOGISTIC",
    "HARD_SWISH": "use RELU6",
    "LEAKY_RELU": "use RELU",
    "PRELU": "use RELU",
    "TRANSPOSE_CONV": "use RESHAPE-free convolutions of stride 1 and 2",
    "BATCH_MATMUL": "use FULLY_CONNECTED or a 1x1 CONV_2D",
    "SQUEEZE": "use RESHAPE",
    "EXPAND_DIMS": "use RESHAPE",
    "PADV2": "use PAD",
    "MIRROR_PAD": "use PAD",
}
"""What to put in place of an operator that people ask for."""
