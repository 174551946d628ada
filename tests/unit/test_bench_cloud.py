"""The cloud benchmark: what does not depend on the clock, and the end-to-end run at a small size."""

from __future__ import annotations

import pytest
import torch
from spatial_folder import qwen_tokenizer_file, small_config, tokens_of
from typer.testing import CliRunner

from cloud.bench import full_size
from cloud.bench.ratios import kept_layers
from cloud.cli import app
from shared.errors import BadInputError

torch.set_num_threads(1)


def test_keeping_the_last_layer_takes_a_tenth_or_less() -> None:
    found = kept_layers()
    assert found.wanted is not None
    assert found.ratio >= found.wanted
    assert found.with_ == 16 * (8 * 10 + 5) * 2 * 64 * 4  # S x P x 2C, float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_random_weights_run_end_to_end(dtype: torch.dtype) -> None:
    config = small_config(151_936, tokens_of(qwen_tokenizer_file()))
    found = full_size.run(config, dtype, frames=2, tokens=3)
    assert len(found.tokens) == 3
    assert list(found.seconds)[:4] == ["weights", "vision tower", "spatial encoder", "connector"]
    assert found.peak > 2 * found.parameters


def test_the_full_size_never_runs_by_accident() -> None:
    done = CliRunner().invoke(app, ["bench", "--size", "full"])
    assert isinstance(done.exception, BadInputError)
    assert "--random-weights" in str(done.exception)
