"""VGGT's parts against the reference: 2-D RoPE, resampled positions, heads, camera matrices."""

import re
from typing import Any

import pytest
import torch

from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.vggt.dino import resample_positions
from cloud.spatial_mllm.vggt.pose import camera_matrices
from cloud.spatial_mllm.vggt.rope import Rotation, frame_positions, rotation
from shared.errors import BadInputError


@pytest.mark.parametrize(("dtype", "key"), [(torch.float32, "out.rotated"), (torch.bfloat16, "out.rotated_bf16")])
def test_rope_2d(dtype: torch.dtype, key: str, spatial_tensors: Any) -> None:
    case = spatial_tensors("rope2d.safetensors")
    tokens = case["in.tokens"].to(dtype)  # [B, heads, N, d]
    turn = rotation(case["in.positions_yx"], tokens.shape[-1], dtype)  # [B, N, d]
    turned = Rotation(turn.cos[:, None], turn.sin[:, None]).apply(tokens)
    torch.testing.assert_close(turned, case[key], rtol=0, atol=0 if dtype == torch.bfloat16 else 1e-6)


def test_frame_positions_follow_the_fixture(spatial_tensors: Any) -> None:
    positions = spatial_tensors("rope2d.safetensors")["in.positions_yx"][0]  # [N, 2]
    special = int((positions == 0).all(-1).sum())
    rows, columns = (int(side) for side in positions.max(0).values)
    assert torch.equal(frame_positions(rows, columns, special, positions.device), positions)


def test_position_table_resampling(spatial_tensors: Any) -> None:
    case = spatial_tensors("dino_pos_embed_37grid.safetensors")
    table = case.pop("in.pos_embed")  # [1, 1 + M*M, C]
    assert case
    for key, expected in case.items():
        match = re.match(r"out\.(\d+)x(\d+)", key)
        assert match is not None
        height, width = int(match[1]), int(match[2])  # pixels
        patch = round((height * width / (expected.shape[1] - 1)) ** 0.5)
        rows, columns = height // patch, width // patch
        resampled = resample_positions(table, rows, columns)[..., : expected.shape[-1]]
        torch.testing.assert_close(resampled, expected, rtol=0, atol=1e-6)
    side = round((table.shape[1] - 1) ** 0.5)
    assert resample_positions(table, side, side) is table


def test_heads(spatial_tensors: Any, tiny_model: SpatialMLLM) -> None:
    case = spatial_tensors("vggt_heads.safetensors")
    vggt = tiny_model.vggt
    assert vggt.camera_head is not None
    assert vggt.depth_head is not None
    assert vggt.point_head is not None
    images = case["in.images"][None]  # [1, S, 3, H, W]
    with torch.inference_mode():
        tokens = vggt.aggregator(images, vggt.head_layers)
        poses = vggt.camera_head(tokens)
        depth, depth_confidence = vggt.depth_head(tokens)
        points, point_confidence = vggt.point_head(tokens)
        extrinsics, intrinsics = camera_matrices(poses[-1], *images.shape[-2:])
    results = {
        "out.pose_enc": poses[-1],
        **{f"out.pose_enc_iter{index}": pose for index, pose in enumerate(poses)},
        "out.depth": depth,
        "out.depth_conf": depth_confidence,
        "out.world_points": points,
        "out.world_points_conf": point_confidence,
        "out.extrinsic": extrinsics,
        "out.intrinsic": intrinsics,
    }
    assert set(results) == {key for key in case if key.startswith("out.")}
    for key, value in results.items():
        torch.testing.assert_close(value, case[key], rtol=1e-4, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


def test_dense_heads_do_not_depend_on_chunks(tiny_model: SpatialMLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    vggt = tiny_model.vggt
    assert vggt.depth_head is not None
    side = 4 * tiny_model.config.vggt.patch_size
    images = torch.rand(2, 3, 3, side, side, generator=torch.Generator().manual_seed(1))  # [B, S, 3, H, W]
    with torch.inference_mode():
        tokens = vggt.aggregator(images, vggt.depth_head.layers)
        at_once, _ = vggt.depth_head(tokens)
        monkeypatch.setattr("cloud.spatial_mllm.vggt.dpt_head.FRAMES_AT_ONCE", 2)
        in_chunks, _ = vggt.depth_head(tokens)
    torch.testing.assert_close(in_chunks, at_once, rtol=1e-6, atol=1e-6)


def test_stacked_clips_equal_single_clips(tiny_model: SpatialMLLM) -> None:
    side = 4 * tiny_model.config.vggt.patch_size
    images = torch.rand(2, 2, 3, side, side, generator=torch.Generator().manual_seed(2))  # [B, S, 3, H, W]
    with torch.inference_mode():
        both = tiny_model.vggt.aggregator(images).last()
        alone = torch.cat([tiny_model.vggt.aggregator(clip[None]).last() for clip in images])
    torch.testing.assert_close(both, alone, rtol=0, atol=1.5e-5)


def test_wrong_use_is_named(tiny_model: SpatialMLLM) -> None:
    vggt = tiny_model.vggt
    assert vggt.depth_head is not None
    side = 4 * tiny_model.config.vggt.patch_size
    with pytest.raises(BadInputError, match="multiples of"):
        vggt.aggregator(torch.rand(1, 1, 3, side, side + 1))
    with pytest.raises(BadInputError, match="do not exist"):
        vggt.aggregator(torch.rand(1, 1, 3, side, side), keep=[tiny_model.config.vggt.depth])
    with pytest.raises(BadInputError, match="were not kept"):
        vggt.depth_head(vggt.aggregator(torch.rand(1, 1, 3, side, side)))
