"""Engines behind one interface: each gives verdicts and names itself; quantised weights answer nearly as full ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from spatial_folder import write_folder
from torch import nn

from cloud.engine import ENGINES, load_engine
from cloud.loading import load_checkpoint
from cloud.quantise import fits_int4, is_quantised
from shared.bakery.bake import render_bake
from shared.errors import BadInputError
from shared.task import load_task

torch.set_num_threads(1)
TASK = load_task("pizza")


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_gives_a_verdict_and_names_itself(name: str) -> None:
    bake = render_bake(3050, 2)
    engine = load_engine("pizza-small", engine=name)
    verdict = engine.verdict(bake.frames, bake.truth.times_s, TASK)
    assert not verdict.cannot_tell
    assert verdict.doneness in TASK.labels
    assert verdict.provenance is not None
    assert verdict.provenance.engine == name
    assert verdict.provenance.geometry == (name not in ("no-geometry", "light"))


@pytest.mark.parametrize(("weights", "limit"), [("int8", 0.02), ("int4", 0.25)])
def test_quantised_logits_stay_near(tmp_path: Path, weights: str, limit: float) -> None:
    """The mean error of the logits over their spread; a wrong scale or a swapped layer is of the order of 1."""
    folder = write_folder(tmp_path / "model")
    random = np.random.default_rng(0)
    full, few = load_checkpoint(folder), load_checkpoint(folder, weights=weights)
    clip = full.processor.video(list(random.integers(0, 256, (4, 60, 80, 3), dtype=np.uint8)))
    grid = torch.tensor([clip.grid_thw])
    with torch.inference_mode():
        exact, near = (one.model.encode(clip.patches, grid, [clip.tchw]).fused for one in (full, few))
    error = float((near - exact).square().mean().sqrt() / exact.std())
    assert 0 < error < limit


def test_quantised_layers_are_those_that_the_memory_model_counts(tmp_path: Path) -> None:
    model = load_checkpoint(write_folder(tmp_path / "model"), weights="int4").model
    kinds = {name: type(layer.weight).__name__ for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            wanted = "Int4" if is_quantised(name) and fits_int4(layer) else "Int8" if is_quantised(name) else "Param"
            assert kinds[name].startswith(wanted), name

    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(BadInputError, match="choose one of full, int8, int4, no-geometry"):
        load_engine("pizza-small", engine="int3")
