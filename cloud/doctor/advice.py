"""Which engine fits into how much memory, with how many frames, and what the best one would take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cloud.doctor.memory import Account, Load, account
from cloud.loading import DTYPES, checkpoint_folder
from cloud.spatial_mllm import SpatialConfig
from cloud.spatial_mllm.checkpoint_files import CONFIG_NAME, read_json, read_shapes, weight_files
from cloud.spatial_mllm.checkpoint_sizes import config_from_checkpoint
from cloud.spatial_mllm.processor import Processor, smart_size

FULL = "full-size"  # name of the published sizes in `--checkpoint`
FRAMES = (32, 16, 8, 4, 2)
RESERVE = 0.05  # of the memory that is left alone: fragmentation, and what else lives there


@dataclass(frozen=True)
class Choice:
    """One engine with what it takes. `frames` is the most of `FRAMES` that fit into the budget, 0 when none do."""

    engine: str
    geometry: bool
    weights: str
    frames: int
    account: Account  # with the frames that were asked for


ENGINES = (("full", True, "full"), ("int8", True, "int8"), ("int4", True, "int4"), ("no-geometry", False, "full"))


def subject(checkpoint: str) -> tuple[SpatialConfig, tuple[int, int]]:
    """Sizes of a checkpoint, and the pixels (height, width) that it makes of a frame of 480x640.

    Raises MissingPartError or BadInputError for a checkpoint that cannot be read.
    """
    if checkpoint == FULL:
        config = SpatialConfig()
        processor = Processor(config)
    else:
        folder: Path = checkpoint_folder(checkpoint)
        config = config_from_checkpoint(read_json(folder / CONFIG_NAME), read_shapes(weight_files(folder)))
        processor = Processor.from_folder(folder, config)
    vision = config.vision
    return config, smart_size(480, 640, vision.patch_size * vision.spatial_merge_size, processor.pixels)


def choices(
    config: SpatialConfig, size: tuple[int, int], *, frames: int, budget: int, device: str, dtype: str
) -> list[Choice]:
    """All engines of a checkpoint in `budget` bytes, best first."""
    usable = int(budget * (1 - RESERVE))
    found = []
    for engine, geometry, weights in ENGINES:
        if geometry and not config.geometry:
            continue
        sizes = config if geometry else replace(config, geometry=False)
        kind: torch.dtype = DTYPES[dtype]
        load = Load(frames, *size, sampling=False, device=device, dtype=kind, weights=weights)
        asked = account(sizes, load)
        most = 0
        if account(sizes, replace(load, frames=FRAMES[-1])).total <= usable:  # fewer frames never take more
            most = next(count for count in FRAMES if account(sizes, replace(load, frames=count)).total <= usable)
        found.append(Choice(engine, geometry, weights, most, asked))
    return found


def advice(found: list[Choice], budget: int, frames: int) -> str:
    """One sentence: what to run, and what the best would take."""
    best = found[0]
    fitting = next((choice for choice in found if choice.frames >= frames), None) or next(
        (choice for choice in found if choice.frames), None
    )
    needs = f"{best.engine} with {frames} frames takes {best.account.total / 1e9:.1f} GB"
    if fitting is None:
        return f"no engine fits into {budget / 1e9:.1f} GB: {needs}; --engine no-geometry or pizza-small take less"
    if fitting is best and fitting.frames >= frames:
        return f"run --engine {best.engine}: {needs}"
    return f"run --engine {fitting.engine} with up to {fitting.frames} frames; {needs}"
