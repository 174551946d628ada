"""M-RoPE positions: the reference's seven prompts with the real token ids, and what must be refused."""

from typing import Any

import pytest
import torch

from cloud.spatial_mllm import TokenIds
from cloud.spatial_mllm.rope_index import RopeIndex, rope_index
from shared.errors import BadInputError

IDS = TokenIds()  # the full-size model's, which this fixture uses


def index(ids: torch.Tensor, mask: torch.Tensor | None = None, **grids: torch.Tensor | None) -> RopeIndex:
    return rope_index(
        ids,
        mask,
        grids.get("image_grid_thw"),
        grids.get("video_grid_thw"),
        grids.get("second_per_grid_ts"),
        tokens=IDS,
        merge_size=2,
        tokens_per_second=2,
    )


def test_prompts_of_the_reference(spatial_tensors: Any) -> None:
    tensors = spatial_tensors("rope_index.safetensors")
    prompts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        prompt, name = key.rsplit(".", 1)
        prompts.setdefault(prompt, {})[name] = tensor
    assert len(prompts) == 7
    for prompt, case in prompts.items():
        positions, deltas = case.pop("position_ids"), case.pop("rope_deltas")
        result = index(case.pop("input_ids").long(), **case)
        assert torch.equal(result.position_ids, positions.long()), prompt
        assert torch.equal(result.rope_deltas, deltas), prompt


def test_left_padding_shifts_nothing_but_the_delta(spatial_tensors: Any) -> None:
    case = spatial_tensors("rope_index.safetensors")
    ids = case["image_video.input_ids"].long()
    grids = {key: case[f"image_video.{key}"] for key in ("image_grid_thw", "video_grid_thw", "second_per_grid_ts")}
    pad = torch.full((1, 3), IDS.pad)
    mask = torch.cat((torch.zeros(1, 3, dtype=torch.int64), torch.ones_like(ids)), dim=1)
    plain, padded = index(ids, **grids), index(torch.cat((pad, ids), dim=1), mask, **grids)
    assert torch.equal(padded.position_ids[..., 3:], plain.position_ids)
    assert bool((padded.position_ids[..., :3] == 1).all())
    assert torch.equal(padded.rope_deltas, plain.rope_deltas - 3)


def test_mismatched_grids_are_refused() -> None:
    ids = torch.tensor([[1, IDS.vision_start, IDS.video, IDS.video, IDS.vision_end, 2]])
    with pytest.raises(BadInputError, match="more video placeholders than rows"):
        index(ids)
    with pytest.raises(BadInputError, match="needs 4 placeholders"):
        index(ids, video_grid_thw=torch.tensor([[1, 4, 4]]))
    with pytest.raises(BadInputError, match="the grids 0 and 2"):
        index(ids, video_grid_thw=torch.tensor([[1, 2, 4], [1, 2, 4]]))
