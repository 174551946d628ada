"""VGGT's camera, depth and point head for a small checkpoint, learnt on rendered clips over its frozen encoder.

They are what `crustwatch cloud sample`, `depth` and the choice of frames by space need; the language path never runs
them. Losses as in VGGT (arXiv 2503.11651, section 3.3): errors weighted by the head's own confidence, and a Huber loss
of the pose after each iteration of the camera head. Lengths are metres, as a rendered scene has no scale to divide out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.checkpoint_sizes import dpt_layers
from cloud.spatial_mllm.config import CameraHeadConfig, DptHeadConfig, VggtConfig
from cloud.spatial_mllm.vggt.aggregator import AggregatedTokens
from cloud.spatial_mllm.vggt.camera_head import CameraHead
from cloud.spatial_mllm.vggt.dpt_head import DepthHead, PointHead
from cloud.training.auxiliary import DEPTH_CENTRE_M
from cloud.training.batches import Batch, RoundSampler, choose_frames, make_batch
from cloud.training.initial import initialise
from cloud.training.learner import random_of
from cloud.training.records import CELL_PX, cell_rays
from cloud.training.store import SHARD_CLIPS, ClipStore, Shard
from shared.bakery import FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH

CLIPS, FRAMES = 4, 4  # of a step
RATE, DECAY, WARMUP = 2e-3, 0.05, 50  # AdamW's rate and decay; steps of warm-up
ERROR_SCALE_M = 0.01  # an error of this much counts one
CERTAINTY = 0.2  # weight of the confidence's logarithm, VGGT's alpha
ITERATION_DECAY = 0.6  # weight of an iteration of the camera head against the next


def head_sizes(vggt: VggtConfig) -> VggtConfig:
    """`vggt` with all three heads, in a size that suits its width; the layers are those that a loader would take."""
    width = vggt.output_width
    thin = 8 * math.ceil(width / 64)  # channels; the code of places takes quarters of halves
    dense = DptHeadConfig(dpt_layers(vggt.depth), (thin, thin, 2 * thin, 2 * thin), thin, thin // 2)
    camera = CameraHeadConfig(depth=2, num_heads=min(16, 2 * vggt.num_heads), mlp_size=2 * width)
    return replace(vggt, camera_head=camera, point_head=dense, depth_head=dense)


def add_heads(model: SpatialMLLM, seed: int) -> list[nn.Module]:
    """Give `model` new heads, drawn from `seed`, and freeze all the rest of it; returns the heads."""
    vggt = head_sizes(model.config.vggt)
    model.config = replace(model.config, vggt=vggt)
    if vggt.point_head is None or vggt.depth_head is None:
        raise AssertionError("head_sizes names all heads")
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        camera = CameraHead(vggt)
        points, depth = PointHead(vggt, vggt.point_head), DepthHead(vggt, vggt.depth_head)
    initialise(camera, seed)
    with torch.no_grad():  # all begin near the middle of the scene: with the first weights points lie metres apart
        camera.pose_branch.fc2.weight.mul_(0.1)
        for head, channel, middle in ((points, 2, math.log1p(DEPTH_CENTRE_M)), (depth, 0, math.log(DEPTH_CENTRE_M))):
            last = dict(head.scratch.output_conv2.named_parameters())
            last["2.weight"].mul_(0.1)
            last["2.bias"][channel] = middle
    model.vggt.camera_head, model.vggt.point_head, model.vggt.depth_head = camera, points, depth
    return [camera, points, depth]


@dataclass(frozen=True)
class Scene:
    """What is true of a batch of B clips of T frames, in the first shown camera's axes, metres."""

    depth: Tensor  # [B, T, rows, columns] cells of CELL_PX pixels
    points: Tensor  # [B, T, rows, columns, 3]
    pose: Tensor  # [B, T, 9] encodings, see `cloud.spatial_mllm.vggt.pose`

    @classmethod
    def of(cls, batch: Batch) -> Scene:
        """Of the shown frames. Cameras do not turn within a clip: moving between them is a shift."""
        records, chosen = batch.records, batch.chosen
        rays = cell_rays(records)[:, chosen]  # [B, T, rows, columns, 3]
        shifts = records["poses"][..., 3][:, chosen]  # [B, T, 3] world to camera
        moved = shifts - shifts[:, :1]  # [B, T, 3] first camera to this one
        focal = records["intrinsics"][:, [1, 0], [1, 0]]  # [B, 2] pixels, vertical first
        fields = 2 * np.arctan(np.array([FRAME_HEIGHT, FRAME_WIDTH]) / (2 * focal))  # [B, 2]
        pose = np.zeros((*moved.shape[:2], 9), np.float32)  # [B, T, 9]
        pose[..., :3], pose[..., 6], pose[..., 7:] = moved, 1, fields[:, None]
        points = np.ascontiguousarray(rays - moved[:, :, None, None])  # [B, T, rows, columns, 3]
        return cls(batch.maps("depth"), torch.from_numpy(points), torch.from_numpy(pose))


@dataclass(frozen=True)
class Seen:
    """What the heads say, dense maps as means over cells."""

    depth: Tensor  # [B, T, rows, columns]
    depth_confidence: Tensor  # [B, T, rows, columns]
    points: Tensor  # [B, T, rows, columns, 3]
    point_confidence: Tensor  # [B, T, rows, columns]
    poses: list[Tensor]  # each [B, T, 9]


def look(model: SpatialMLLM, frames: Tensor) -> Seen:
    """All heads over frames [B, T, 3, h, w]; the encoder takes no gradient."""
    vggt = model.vggt
    if vggt.camera_head is None or vggt.point_head is None or vggt.depth_head is None:
        raise AssertionError("add_heads comes first")
    with torch.no_grad():
        tokens: AggregatedTokens = vggt.aggregator(frames, vggt.head_layers)
    depth, depth_confidence = vggt.depth_head(tokens)  # [B, T, h, w, 1], [B, T, h, w]
    points, point_confidence = vggt.point_head(tokens)  # [B, T, h, w, 3], [B, T, h, w]
    return Seen(
        _cells(depth)[..., 0],
        _cells(depth_confidence[..., None])[..., 0],
        _cells(points),
        _cells(point_confidence[..., None])[..., 0],
        vggt.camera_head(tokens),
    )


def _cells(values: Tensor) -> Tensor:
    """Means of [B, T, h, w, k] over cells, [B, T, rows, columns, k]."""
    B, T = values.shape[:2]
    pooled = F.avg_pool2d(values.flatten(0, 1).permute(0, 3, 1, 2), CELL_PX)  # [B*T, k, rows, columns]
    k, rows, columns = pooled.shape[1:]
    return pooled.permute(0, 2, 3, 1).view(B, T, rows, columns, k)  # [B, T, rows, columns, k]


def loss_of(seen: Seen, scene: Scene) -> Tensor:
    """Scalar loss of what the heads say against the scene."""
    depth = _confident((seen.depth - scene.depth).abs(), seen.depth_confidence)
    points = _confident((seen.points - scene.points).norm(dim=-1), seen.point_confidence)
    pose = torch.stack(
        [
            ITERATION_DECAY ** (len(seen.poses) - 1 - turn) * _pose_error(said, scene.pose)
            for turn, said in enumerate(seen.poses)
        ]
    ).sum()
    return depth + points + pose


def _confident(error_m: Tensor, confidence: Tensor) -> Tensor:
    """Error weighted by confidence, less what certainty is worth; both [B, T, rows, columns]."""
    return (confidence * error_m / ERROR_SCALE_M - CERTAINTY * confidence.log()).mean()


def _pose_error(said: Tensor, true: Tensor) -> Tensor:
    """Huber loss of encodings [B, T, 9]; translations in units of ERROR_SCALE_M."""
    unit = said.new_tensor([1 / ERROR_SCALE_M] * 3 + [10.0] * 6)  # [9]: a tenth of a radian counts one
    return F.smooth_l1_loss(said * unit, true * unit)


def train_heads(
    model: SpatialMLLM,
    store: ClipStore,
    training: Sequence[Shard],
    *,
    minutes: float,
    seed: int,
    watch: Callable[[float, int, float], None],
    steps: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Give `model` the three heads and train them; returns the steps that it took.

    Args:
        model: with geometry; all of it but the new heads stays as it is.
        store: of the clips.
        training: shards on disk to learn from.
        minutes: of work.
        seed: of first weights, augmentation and order.
        watch: is told progress in 0..1, steps and loss.
        steps: stop after so many instead.
        clock: seconds.
    """
    heads = nn.ModuleList(add_heads(model, seed))
    optimiser = torch.optim.AdamW(heads.parameters(), lr=RATE, weight_decay=DECAY)
    sampler = RoundSampler(store, training, seed)
    started, step = clock(), 0
    while (progress := (clock() - started) / (60 * minutes) if steps is None else step / steps) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (1 - progress)
        random = random_of(seed, step)
        batch = make_batch(sampler.next(CLIPS), choose_frames(FRAMES, random), random)
        loss = loss_of(look(model, batch.frames), Scene.of(batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own stub
        nn.utils.clip_grad_norm_(heads.parameters(), 1.0)
        optimiser.step()
        step += 1
        watch(progress, step, float(loss.detach()))
    heads.eval()
    return step


@dataclass(frozen=True)
class HeadErrors:
    """Mean errors on clips that were not learnt from, and those of the training clips' mean answer beside them."""

    clips: int
    depth_mm: float
    depth_constant_mm: float
    points_mm: float
    points_constant_mm: float
    camera_mm: float
    camera_constant_mm: float

    def __str__(self) -> str:
        """For people."""
        parts = (
            f"{name} {getattr(self, f'{name}_mm'):.1f} mm (a constant: {getattr(self, f'{name}_constant_mm'):.1f})"
            for name in ("depth", "points", "camera")
        )
        return f"mean errors on {self.clips} validation clips: {', '.join(parts)}"


@torch.inference_mode()
def errors(model: SpatialMLLM, store: ClipStore, held: Sequence[Shard], learnt_from: Shard) -> HeadErrors:
    """Errors over `held`, all frames shown; the constants are the means over `learnt_from`."""
    every = np.arange(FRAME_COUNT)
    known = Scene.of(make_batch(np.array(store.open(learnt_from)), every, None))
    constants = [value.mean(0, keepdim=True) for value in (known.depth[..., None], known.points, known.pose[..., :3])]
    sums, clips = np.zeros(6), 0
    for shard in held:
        records = store.open(shard)
        for first in range(0, SHARD_CLIPS, 2 * CLIPS):
            batch = make_batch(np.array(records[first : first + 2 * CLIPS]), every, None)
            scene, seen = Scene.of(batch), look(model, batch.frames)
            true = (scene.depth[..., None], scene.points, scene.pose[..., :3])
            said = (seen.depth[..., None], seen.points, seen.poses[-1][..., :3])
            for place, (one, constant, truth) in enumerate(zip(said, constants, true, strict=True)):
                sums[2 * place] += len(batch.frames) * float((one - truth).norm(dim=-1).mean())
                sums[2 * place + 1] += len(batch.frames) * float((constant - truth).norm(dim=-1).mean())
            clips += len(batch.frames)
    return HeadErrors(clips, *(round(1000 * float(value) / clips, 2) for value in sums))
