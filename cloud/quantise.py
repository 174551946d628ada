"""Weights of 8 and 4 bits, with torchao: linear layers only, activations keep their type.

int8: a scale for each output channel. int4: groups of 32 inputs, on a CPU with torchao's prototype layout, which is the
one that has a kernel there, on CUDA with the tiled one. A layer whose shape the 4-bit kernels do not take gets 8 bits.
Embeddings, norms, convolutions and VGGT's heads stay as they are.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from shared.errors import BadInputError, MissingPartError

if TYPE_CHECKING:
    from cloud.spatial_mllm import SpatialMLLM

GROUP = 32  # inputs that share a scale in int4
ROWS = 16  # outputs are a multiple of this in torch's 4-bit kernel for CPUs
WEIGHTS = ("int8", "int4")
_KEPT = ("lm_head", "_head.")  # the output layer may be the embedding; VGGT's heads are small and rarely asked

log = logging.getLogger(__name__)


def fits_int4(layer: nn.Linear) -> bool:
    """Whether the 4-bit kernels take the layer's shape."""
    return layer.in_features % GROUP == 0 and layer.out_features % ROWS == 0


def is_quantised(name: str) -> bool:
    """Whether the linear layer of that name in the model gets fewer bits."""
    return not any(part in name for part in _KEPT)


def quantise(model: SpatialMLLM, weights: str, device: torch.device) -> None:
    """Replace the weights of `model` in place and move it to `device`, layer by layer: no full copy comes to lie there.

    Args:
        model: loaded, on the CPU.
        weights: "int8" or "int4".
        device: where it will run.

    Raises:
        MissingPartError: torchao is not installed. BadInputError: another name.
    """
    if weights not in WEIGHTS:
        raise BadInputError(f"weights {weights!r}: choose full, {' or '.join(WEIGHTS)}")
    with _quiet():
        try:
            from torchao.quantization import Int8WeightOnlyConfig, quantize_
        except ImportError:
            raise MissingPartError("quantised weights need torchao: pip install 'crustwatch[quant]'") from None
        eight = Int8WeightOnlyConfig()
        counts = {"int8": 0, "int4": 0}

        def wanted(bits: str) -> Any:
            def choose(layer: nn.Module, name: str) -> bool:
                if not isinstance(layer, nn.Linear) or not is_quantised(name):
                    return False
                takes = "int4" if weights == "int4" and fits_int4(layer) else "int8"
                counts[bits] += takes == bits
                return takes == bits

            return choose

        if weights == "int4":
            quantize_(model, _four(device.type), wanted("int4"), device=device)
            eight_left = [
                name
                for name, layer in model.named_modules()
                if isinstance(layer, nn.Linear) and is_quantised(name) and not fits_int4(layer)
            ]
            if eight_left:
                quantize_(model, eight, wanted("int8"), device=device)
        else:
            quantize_(model, eight, wanted("int8"), device=device)
    model.to(device)
    log.info("quantised: %d linear layers to 4 bits, %d to 8", counts["int4"], counts["int8"])


def _four(device: str) -> Any:
    """torchao's configuration of 4-bit weights that has kernels on the device."""
    if device == "cpu":
        from torchao.prototype.quantization.int4.inference_workflow import PrototypeInt4WeightOnlyConfig

        return PrototypeInt4WeightOnlyConfig(group_size=GROUP, set_inductor_config=False)
    from torchao.quantization import Int4WeightOnlyConfig
    from torchao.quantization.quantize_.workflows import Int4PackingFormat

    return Int4WeightOnlyConfig(group_size=GROUP, int4_packing_format=Int4PackingFormat.TILE_PACKED_TO_4D)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torchao says about CUDA libraries on machines that have none."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
