"""Small models that edge/learning trained at 32, 48, 64 and 96 px: LiteRT's bytes in numpy, host C and on the chip.

`make verify-compiler` runs 1,000 inputs through each, on one core and on two. tests/golden/edge_models were made by
`crustwatch edge train --bakes 50 --checks 20 --epochs 4` with

    --size 32 --fine-tune-epochs 1
    --size 48 --fine-tune-epochs 2 --multiplier-bits 8 --weight-bound 31 --pair-zeros 0.5
    --size 64 --shape 6,8,17/2,24/2,32 --multiplier-bits 8
    --size 96 --shape 8,12/2,16/2,24,32/2,32 --fine-tune-epochs 2 --weight-bound 31 --pair-zeros 0.5
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from firmware_sim.firmware.measure_model import verify_model
from firmware_sim.firmware.model import read_model

MODELS = Path(__file__).parent.parent / "golden" / "edge_models"


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
@pytest.mark.parametrize(("size", "cores"), [(32, 2), (48, 1), (64, 2), (96, 1)])
def test_trained_models_give_litert_s_bytes(size: int, cores: int) -> None:
    path = MODELS / f"{size}px.tflite"
    _, graph = read_model(path)
    assert graph.input_tensor.shape == (size, size, 3)
    found = verify_model(path, 12, chip_inputs=2, seed=size, cores=cores)
    assert (found.inputs, found.chip_inputs, found.mismatches) == (12, 2, 0)
