"""Geometry once: one pass of VGGT chooses the frames and serves their encoding.

The reference runs VGGT over all candidates to choose frames, and again, at another resolution, over the chosen ones.
Here the candidates go through the aggregator once, at the resolution of the answer; the point head chooses, and the
chosen frames' tokens go on to the connector. They have attended to all candidates, so they know more of the scene
than tokens of the chosen frames alone would (decision 0121).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cloud.spatial_mllm.loader import load_heads
from cloud.spatial_mllm.model import SpatialMLLM
from cloud.spatial_mllm.processor import Frame, Processor, VisionClip
from cloud.spatial_mllm.sampling import (
    VoxelCover,
    candidate_frames,
    fill_up,
    greedy_cover,
    voxel_cover,
)
from cloud.spatial_mllm.vggt.aggregator import AggregatedTokens
from shared.errors import BadInputError, MissingPartError


@dataclass(frozen=True)
class Geometry:
    """What one pass sees of S candidate frames.

    Attributes:
        candidates: their places in the footage.
        frames: float32 [S, 3, H, W] in [0, 1], as the pass saw them.
        tokens: the aggregator's layers.
        points: float32 [S, H, W, 3] in the first candidate's camera frame, up to scale.
        confidence: float32 [S, H, W].
    """

    candidates: list[int]
    frames: Tensor
    tokens: AggregatedTokens
    points: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class Choice:
    """Frames chosen by the space that they show.

    Attributes:
        places: in the footage, ascending.
        order: in the order of taking, before filling up.
        gains: new voxels that each of `order` brought.
        cover: the voxels.
    """

    places: list[int]
    order: list[int]
    gains: list[int]
    cover: VoxelCover


@dataclass(frozen=True)
class Encoded:
    """Chosen frames, ready for the language model: `fused` is [N, hidden]."""

    places: list[int]
    clip: VisionClip
    fused: Tensor


@torch.inference_mode()
def look(model: SpatialMLLM, processor: Processor, frames: Sequence[Frame]) -> Geometry:
    """Run the aggregator and the point head over the candidates of a clip.

    Args:
        model: with geometry; its point head is loaded when it is not there yet.
        processor: of the model.
        frames: uint8 [H, W, 3], of one size.

    Raises:
        MissingPartError: no geometry, or no point head in the checkpoint. BadInputError: no frame.
    """
    if not frames:
        raise BadInputError("space-aware sampling needs at least one frame")
    load_heads(model, ["point_head"])
    head = model.vggt.point_head
    if head is None:
        raise MissingPartError("space-aware sampling needs VGGT's point head, which this checkpoint does not have")
    candidates = candidate_frames(len(frames))
    pixels = processor.video([frames[place] for place in candidates]).tchw[: len(candidates)]  # [S, 3, H, W]
    tokens = model.vggt.aggregator(pixels[None].to(model.device, model.dtype), head.layers)
    points, confidence = head(tokens)  # [1, S, H, W, 3], [1, S, H, W]
    return Geometry(candidates, pixels, tokens, points[0].float().cpu(), confidence[0].float().cpu())


def choose(geometry: Geometry, count: int) -> Choice:
    """`count` distinct frames, or all there are, that together see most of the space."""
    cover = voxel_cover(geometry.points.numpy(), geometry.confidence.numpy())
    order, gains = greedy_cover(cover.voxels, count)
    picked = fill_up(order, len(geometry.candidates), count)
    places = [geometry.candidates[index] for index in picked]
    return Choice(places, [geometry.candidates[index] for index in order], gains, cover)


@torch.inference_mode()
def sample_and_encode(model: SpatialMLLM, processor: Processor, frames: Sequence[Frame], count: int) -> Encoded:
    """Choose `count` of `frames` and encode them, with one pass of the aggregator; see `look`."""
    geometry = look(model, processor, frames)
    places = choose(geometry, count).places
    clip = processor.video([frames[place] for place in places])
    index = {place: row for row, place in enumerate(geometry.candidates)}
    rows = [index[place] for place in places]
    rows += rows[-1:] * (clip.tchw.shape[0] - len(rows))  # an odd clip shows its last frame twice
    spatial = geometry.tokens.last()[0, rows, geometry.tokens.patch_start :]  # [S', h*w, 2C]
    grid = torch.tensor([clip.grid_thw], dtype=torch.int64, device=model.device)  # [1, 3]
    fused = model.fuse(clip.patches.to(model.device), grid, [spatial])  # [N, hidden]
    return Encoded(places, clip, fused)
