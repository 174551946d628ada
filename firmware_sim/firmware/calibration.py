"""`crustwatch firmware calibrate`: measures kernels on the emulated chip and fits the prices of the cycle model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.arena import plan
from firmware_sim.compiler.bands import work_words
from firmware_sim.compiler.candidates import Candidate, candidates
from firmware_sim.compiler.cycles import CONTENTION, PRICES, Prices, layer_features
from firmware_sim.compiler.emit_c import emit_model
from firmware_sim.compiler.features import CODE, Features
from firmware_sim.compiler.graph import Conv2D, DepthwiseConv2D, Graph
from firmware_sim.compiler.placement import Placement
from firmware_sim.compiler.planes import PLAIN
from firmware_sim.compiler.prediction import layers_by_operator
from firmware_sim.firmware.build import require_compiler, run_make, write_sources
from firmware_sim.firmware.calibration_graphs import calibration_graph
from firmware_sim.firmware.chip_model import ChipModel
from firmware_sim.firmware.inputs import random_inputs
from firmware_sim.firmware.model import clock_flags

LAYERS = 44  # of a network
MOST_WORDS = 4096  # of a work area
CODE_BYTES, WEIGHT_BYTES = 110 * 1024, 40 * 1024  # of SRAM for a network
IN_FLASH = 0.2  # of depthwise layers with generated code
CHOSEN = (0.65, 0.9)  # up to here generated code; up to here kernels with weights in SRAM, beyond in flash
SMALL = 3_000.0  # cycles of layers from which the cost of asking the other core is taken


@dataclass(frozen=True, slots=True)
class Sample:
    """One layer as measured."""

    kernel: str
    parts: tuple[Features, ...]  # of each core
    cycles: int


class Calibration(msgspec.Struct, frozen=True):
    """What the fit reaches on networks that it was not made from."""

    layers: int  # measured for the fit
    held_out_layers: int
    mean_error_percent: float  # of the held-out ones
    worst_error_percent: float
    errors_percent: dict[str, float]  # mean by kernel


def calibrate(seeds: Iterable[int], held_out: Iterable[int], target: Path = PRICES) -> Calibration:
    """Measure networks of `seeds` on one core and on two, write the prices to `target`, and try them on `held_out`.

    Raises MissingPartError without the compiler.
    """
    require_compiler()
    with tempfile.TemporaryDirectory() as folder:
        taken = [sample for seed in seeds for cores in (1, 2) for sample in samples(seed, cores, Path(folder))]
        found = fit(taken)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
        other = [sample for seed in held_out for cores in (1, 2) for sample in samples(seed, cores, Path(folder))]
    errors = np.array([_error(found, sample) for sample in other])  # [n]
    kernels = np.array([sample.kernel for sample in other])
    return Calibration(
        layers=len(taken),
        held_out_layers=len(other),
        mean_error_percent=round(float(errors.mean()), 2),
        worst_error_percent=round(float(errors.max()), 1),
        errors_percent={n: round(float(errors[kernels == n].mean()), 2) for n in sorted(set(kernels.tolist()))},
    )


def _error(found: Prices, sample: Sample) -> float:
    """Percent."""
    return 100.0 * abs(found.of(sample.kernel, sample.parts) / sample.cycles - 1.0)


def samples(seed: int, cores: int, folder: Path) -> Iterator[Sample]:
    """The layers of one network, measured."""
    graph = calibration_graph(seed, LAYERS)
    placed = _placed(graph, np.random.default_rng(seed), cores)
    write_sources(folder, emit_model(graph, bytes(32), placed))
    run_make(folder, ["PROGRAM=runner", f"CLOCK={clock_flags(125)}"])
    chip = ChipModel(folder / "firmware.elf", graph)
    chip.fill_arena(placed.arena.bytes, placed.arena.offsets[graph.input], seed)
    chip.run(random_inputs(graph, 1, seed)[0])
    cycles = iter(chip.layer_cycles)
    for position, layers in enumerate(layers_by_operator(graph, placed)):
        operator, made = graph.operators[position], placed.generated.get(position)
        for layer in layers:
            parts = layer_features(
                layer, operator, graph, made, placed.work_words, in_flash=position in placed.in_flash
            )
            yield Sample(layer.kernel, tuple(parts), next(cycles))


def _placed(graph: Graph, rng: np.random.Generator, cores: int) -> Placement:
    """Any form for each layer, as long as there is room."""
    words = work_words(graph, cores, MOST_WORDS)
    found = candidates(graph, cores, words, PLAIN)
    generated: dict[int, Candidate] = {}
    in_flash: set[int] = set()
    code, weights = CODE_BYTES, WEIGHT_BYTES
    for position, operator in enumerate(graph.operators):
        if not isinstance(operator, Conv2D | DepthwiseConv2D):
            continue
        made, dice = found.get(position), rng.random()
        if made is not None and dice < CHOSEN[0] and made.bytes <= code:
            generated[position] = made
            code -= made.bytes
            if isinstance(operator, Conv2D):
                continue
        if dice > CHOSEN[1] or operator.weights.size > weights or (made is not None and dice < IN_FLASH):
            in_flash.add(position)
        else:
            weights -= operator.weights.size
    return Placement(frozenset(in_flash), generated, 0, cores, words, plan(graph))


def fit(taken: Sequence[Sample]) -> Prices:
    """Prices that are never negative and whose relative errors are small, kernel by kernel."""
    kernels: dict[str, dict[str, float]] = {}
    for name in sorted({sample.kernel for sample in taken}):
        single = [sample for sample in taken if sample.kernel == name and len(sample.parts) == 1]
        features = sorted({feature for sample in single for feature in sample.parts[0]})
        table = np.array([[sample.parts[0].get(feature, 0.0) for feature in features] for sample in single])
        measured = np.array([sample.cycles for sample in single], float)
        known = np.array([feature == CODE for feature in features], float)  # [k], the assembly's own cycles
        rest = 1.0 - table @ known / measured
        prices = known + _nonnegative(table * (1.0 - known) / measured[:, None], rest)
        kernels[name] = {f: round(float(p), 4) for f, p in zip(features, prices, strict=True) if p}
    sync = 0.0
    for _ in range(4):
        for name in kernels:
            both = [sample for sample in taken if sample.kernel == name and len(sample.parts) == 2]
            if both:
                alone = Prices(0.0, {name: {**kernels[name], CONTENTION: 1.0}})
                wanted = np.array([sample.cycles - sync for sample in both])
                ratio = wanted / np.array([alone.of(name, sample.parts) for sample in both])
                kernels[name][CONTENTION] = round(float(np.clip(np.median(ratio), 1.0, 1.5)), 4)
        alone = Prices(0.0, kernels)
        rest = [sample.cycles - alone.of(sample.kernel, sample.parts) for sample in taken if len(sample.parts) == 2]
        small = [r for r, s in zip(rest, (s for s in taken if len(s.parts) == 2), strict=True) if s.cycles < SMALL]
        sync = round(max(0.0, float(np.median(small))), 1) if small else 0.0
    return Prices(sync, kernels)


def _nonnegative(table: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with coefficients >= 0: the most negative one is left out until none is (table [n, k])."""
    scale = np.maximum(np.abs(table).max(axis=0), 1e-12)
    kept = [k for k in range(table.shape[1]) if np.abs(table[:, k]).max() > 0]
    while kept:
        found, *_ = np.linalg.lstsq(table[:, kept] / scale[kept], wanted, rcond=None)
        if found.min() >= 0:
            out = np.zeros(table.shape[1])
            out[kept] = found / scale[kept]
            return out
        kept.pop(int(found.argmin()))
    return np.zeros(table.shape[1])
