"""Golden fixtures of Spatial-MLLM: the folder in this repository, or the one that an environment variable names.

CRUSTWATCH_SPATIAL_FIXTURES may point to any folder of the same form, with other sizes and token ids: the tests take
every size from the files. A missing folder or file is a failure, never a skip.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cloud.spatial_mllm import ModelInputs, SpatialMLLM

FIXTURES_VARIABLE = "CRUSTWATCH_SPATIAL_FIXTURES"

torch.set_num_threads(1)  # the models are tiny: threads cost more than they give


@pytest.fixture(scope="session")
def spatial_fixtures() -> Path:
    folder = Path(os.environ.get(FIXTURES_VARIABLE) or Path(__file__).parent / "spatial_mllm")
    if not (folder / "config.json").is_file():
        pytest.fail(f"{folder} is no folder of golden fixtures (set by {FIXTURES_VARIABLE}, or part of the clone)")
    return folder.resolve()


@pytest.fixture(scope="session")
def spatial_json(spatial_fixtures: Path) -> Callable[[str], Any]:
    return lambda name: json.loads((spatial_fixtures / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def spatial_tensors(spatial_fixtures: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    return lambda name: load_file(spatial_fixtures / name)


@pytest.fixture(scope="session")
def tiny_folder(spatial_fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a checkpoint folder, under the names that published ones have."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").symlink_to(spatial_fixtures / "config.json")
    (folder / "model.safetensors").symlink_to(spatial_fixtures / "tiny_model.safetensors")
    (folder / "generation_config.json").symlink_to(spatial_fixtures / "tiny_generation_config.json")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> SpatialMLLM:
    return SpatialMLLM.from_folder(tiny_folder)


@pytest.fixture(scope="session")
def text_ids(tiny_model: SpatialMLLM) -> list[int]:
    """Token ids without a special meaning."""
    special = set(vars(tiny_model.config.tokens).values())
    return [token for token in range(tiny_model.config.language.vocab_size) if token not in special]


@pytest.fixture(scope="session")
def case_inputs() -> Callable[[dict[str, torch.Tensor]], ModelInputs]:
    """Model inputs from the `in.*` tensors of a case."""

    def build(case: dict[str, torch.Tensor]) -> ModelInputs:
        def clips(kind: str) -> list[torch.Tensor] | None:
            names = [f"in.{kind}_tchw_uint8.{index}" for index in range(len(case))]
            return [case[name].float() / 255 for name in names if name in case] or None

        return ModelInputs(
            case["in.input_ids"],
            case.get("in.attention_mask"),
            case.get("in.pixel_values_videos"),
            case.get("in.video_grid_thw"),
            clips("video"),
            case.get("in.second_per_grid_ts"),
            case.get("in.pixel_values"),
            case.get("in.image_grid_thw"),
            clips("image"),
        )

    return build
