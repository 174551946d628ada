"""`crustwatch firmware bench` and `verify`: a model's cost on the emulated chip, and its bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.placement import RAM_BYTES
from firmware_sim.compiler.reference import run_batch
from firmware_sim.firmware.chip_model import ChipModel
from firmware_sim.firmware.host import build_host_model
from firmware_sim.firmware.inputs import random_inputs, verification_inputs
from firmware_sim.firmware.model import build_model, read_model
from firmware_sim.firmware.report import LayerReport
from shared.errors import BadInputError, MissingPartError

CHIP_INPUTS = 3  # of those that verify runs, so many also run on the emulated chip, which takes far longer
BATCH = 50


class Bench(msgspec.Struct, frozen=True):
    """One inference on the emulated chip, start of the first layer to end of the last."""

    model: str
    clock_mhz: int
    cores: int
    ms: float
    cycles: int
    macs: int
    cycles_per_mac: float
    predicted_ms: float  # by the cycle model
    prediction_error_percent: float  # mean over the layers, of their absolute errors
    flash_bytes: int
    sram_bytes: int
    stack_bytes: int
    layers: tuple[LayerReport, ...]


class Verification(msgspec.Struct, frozen=True):
    """How many outputs of how many inputs differ from LiteRT's reference kernels."""

    model: str
    cores: int
    inputs: int
    real_inputs: int  # of them, pictures; the rest is noise, steps and extremes
    mismatches: int  # inputs whose output has a byte that differs, in any of the three below
    reference_mismatches: int  # numpy
    host_mismatches: int  # the C code on this machine
    chip_inputs: int
    chip_mismatches: int  # the firmware on the emulated chip


def bench_model(path: Path, *, clock_mhz: int = 125, cores: int = 1, ram_bytes: int = RAM_BYTES) -> Bench:
    """Build `path` and run it once on noise. Raises as `build_model`."""
    with tempfile.TemporaryDirectory() as folder:
        report = build_model(path, Path(folder), clock_mhz=clock_mhz, cores=cores, ram_bytes=ram_bytes)
        _, graph = read_model(path)
        chip = ChipModel(Path(folder) / "firmware.elf", graph)
        chip.run(random_inputs(graph, 1, 0)[0])
    cycles = sum(chip.layer_cycles)
    layers = tuple(_measured(report.layers, chip.layer_cycles))
    errors = [abs(layer.predicted_cycles / layer.cycles - 1.0) for layer in layers if layer.cycles]
    return Bench(
        model=str(path),
        clock_mhz=clock_mhz,
        cores=cores,
        ms=round(cycles / (1e3 * clock_mhz), 3),
        cycles=cycles,
        macs=report.macs,
        cycles_per_mac=round(cycles / report.macs, 3) if report.macs else 0.0,
        predicted_ms=round(sum(layer.predicted_cycles for layer in layers) / (1e3 * clock_mhz), 3),
        prediction_error_percent=round(100.0 * sum(errors) / max(1, len(errors)), 2),
        flash_bytes=report.flash_bytes,
        sram_bytes=report.sram_bytes,
        stack_bytes=chip.stack_bytes,
        layers=layers,
    )


def _measured(layers: Sequence[LayerReport], cycles: Sequence[int]) -> Iterator[LayerReport]:
    """The reports with the cycles of the firmware's layers, of which each is one or more."""
    at = 0
    for layer in layers:
        yield msgspec.structs.replace(layer, cycles=sum(cycles[at : at + layer.parts]))
        at += layer.parts
    assert at == len(cycles)  # noqa: S101


def verify_model(
    path: Path,
    inputs: int,
    *,
    chip_inputs: int = CHIP_INPUTS,
    seed: int = 0,
    cores: int = 1,
    ram_bytes: int = RAM_BYTES,
    pictures: Path | None = None,
) -> Verification:
    """Compare numpy reference, host C and emulated chip with LiteRT's reference kernels.

    Inputs are those of `verification_inputs`. Raises as that and `build_model`.
    """
    if inputs < 1:
        raise BadInputError("verify needs at least one input")
    data, graph = read_model(path)
    x, real = verification_inputs(graph, inputs, seed, pictures)
    wanted = litert_outputs(data, x)
    with tempfile.TemporaryDirectory() as folder:
        reference = np.concatenate([run_batch(graph, x[at : at + BATCH]) for at in range(0, inputs, BATCH)])
        host = build_host_model(data, Path(folder) / "host", cores=cores, ram_bytes=ram_bytes).run(x)
        count = min(inputs, chip_inputs)
        on_chip = wanted[:0]
        if count:
            build_model(path, Path(folder), cores=cores, ram_bytes=ram_bytes)
            chip = ChipModel(Path(folder) / "firmware.elf", graph)
            picked = np.unique(np.linspace(0, inputs - 1, count).astype(int))
            on_chip = np.stack([chip.run(x[i]) for i in picked])
            chip_wanted = wanted[picked]
        else:
            chip_wanted = wanted[:0]
    wrong_reference, wrong_host = _differ(reference, wanted), _differ(host, wanted)
    wrong_chip = int(_differ(on_chip, chip_wanted).sum())
    return Verification(
        model=str(path),
        cores=cores,
        inputs=inputs,
        real_inputs=int(real.sum()),
        mismatches=int((wrong_reference | wrong_host).sum()) + wrong_chip,
        reference_mismatches=int(wrong_reference.sum()),
        host_mismatches=int(wrong_host.sum()),
        chip_inputs=len(on_chip),
        chip_mismatches=wrong_chip,
    )


def _differ(found: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether the bytes of each row differ: bool [N]."""
    rows = (len(wanted), -1)
    differs: NDArray[np.bool_] = (found.view(np.uint8).reshape(rows) != wanted.view(np.uint8).reshape(rows)).any(axis=1)
    return differs


def litert_outputs(data: bytes, inputs: NDArray[Any]) -> NDArray[Any]:
    """Outputs [N, n] of LiteRT's reference kernels (OpResolverType.BUILTIN_REF). MissingPartError without LiteRT."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise MissingPartError("verify needs LiteRT: pip install 'crustwatch[litert]'") from None
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for row in inputs:
        interpreter.set_tensor(source["index"], row.reshape(source["shape"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"]).reshape(-1).copy())
    return np.stack(rows)
