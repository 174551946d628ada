"""Choosing the frames of a long clip: evenly, or by the space that they cover.

Space-aware sampling (arXiv 2505.23747): VGGT places every pixel of the candidate frames in the world,
the world is cut into voxels, and frames are taken greedily so that together they see as many voxels as possible.
Unlike the reference, which returns a single frame for a planar scene, the result always has the number of frames
that was asked for, or all there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cloud.spatial_mllm.vggt.encoder import Vggt
from shared.errors import BadInputError, MissingPartError

MAX_CANDIDATES = 128
FRAMES = 16
VGGT_WIDTH = 518  # pixels, what VGGT was trained at
CONFIDENCE_FLOOR = 0.1
VOXELS_ALONG_SMALLEST_SIDE = 20


@dataclass(frozen=True)
class VoxelCover:
    """What the frames of a clip see of the space.

    Attributes:
        threshold: confidence that a pixel must reach.
        low, high: corners of the box around the kept points, float32 [3].
        voxel_size: edge of a voxel, in the points' unit.
        voxels: for each frame the sorted ids of the voxels it sees.
    """

    threshold: float
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    voxel_size: float
    voxels: list[NDArray[np.int64]]


def even_indices(frames: int, count: int) -> list[int]:
    """`count` indices from first to last frame, evenly spaced and truncated; all frames when there are fewer."""
    return [int(index) for index in np.linspace(0, frames - 1, min(count, frames)).astype(np.int64)]


def voxel_cover(points: NDArray[np.float32], confidence: NDArray[np.float32]) -> VoxelCover:
    """Voxels that each frame sees with at least median confidence.

    Args:
        points: float32 [T, H, W, 3] in one world frame.
        confidence: float32 [T, H, W].
    """
    threshold = float(np.percentile(confidence, 50))
    kept = (confidence >= threshold) & (confidence > CONFIDENCE_FLOOR)  # [T, H, W]
    empty = np.zeros(0, dtype=np.int64)  # [0]
    if not kept.any():
        zero = np.zeros(3, dtype=np.float32)  # [3]
        return VoxelCover(threshold, zero, zero, 0.0, [empty for _ in points])
    inside = points[kept]  # [n, 3]
    low, high = inside.min(axis=0), inside.max(axis=0)  # [3], [3]
    size = np.float32((high - low).min()) / np.float32(VOXELS_ALONG_SMALLEST_SIDE)
    if not size > 0:  # a flat scene: no voxel has a volume, every frame sees as much as any other
        return VoxelCover(threshold, low, high, 0.0, [empty for _ in points])
    cells = [np.floor((points[frame][kept[frame]] - low) / size).astype(np.int64) for frame in range(len(points))]
    span = 1 + max(int(cell.max(initial=0)) for cell in cells)
    base = np.array([span * span, span, 1], dtype=np.int64)  # [3]
    return VoxelCover(threshold, low, high, float(size), [np.unique(cell @ base) for cell in cells])


def greedy_cover(voxels: Sequence[NDArray[np.int64]], count: int) -> tuple[list[int], list[int]]:
    """Take the frame with most new voxels, `count` times or until nothing is new; ties go to the earlier frame.

    Returns:
        Frames in the order of taking, and the new voxels that each brought.
    """
    covered: set[int] = set()
    left = {frame: set(ids.tolist()) for frame, ids in enumerate(voxels)}
    order: list[int] = []
    gains: list[int] = []
    while left and len(order) < count:
        news = {frame: len(seen - covered) for frame, seen in left.items()}
        best = max(news, key=lambda frame: (news[frame], -frame))
        if news[best] == 0:
            break
        covered |= left.pop(best)
        order.append(best)
        gains.append(news[best])
    return order, gains


def fill_up(chosen: Sequence[int], frames: int, count: int) -> list[int]:
    """Sorted `chosen` frames, completed to min(count, frames) distinct ones.

    Each added frame is the one farthest in time from all chosen so far (ties: the earlier), so gaps close evenly.
    """
    taken = sorted(set(chosen))[:count]
    if not taken and frames and count:
        taken = even_indices(frames, count)
    while len(taken) < min(count, frames):
        free = [frame for frame in range(frames) if frame not in taken]
        taken.append(max(free, key=lambda frame: (min(abs(frame - other) for other in taken), -frame)))
    return sorted(taken)


def select_frames(points: NDArray[np.float32], confidence: NDArray[np.float32], count: int = FRAMES) -> list[int]:
    """Sorted indices of min(count, T) distinct frames that cover the space; see `voxel_cover` for the arguments."""
    order, _ = greedy_cover(voxel_cover(points, confidence).voxels, count)
    return fill_up(order, len(points), count)


def vggt_frame_size(height: int, width: int, patch_size: int = 14) -> tuple[int, int]:
    """Size (height, width) at which VGGT sees a frame: width 518, portrait frames turned on their side."""
    height, width = min(height, width), max(height, width)
    return max(1, round(height * (VGGT_WIDTH / width) / patch_size)) * patch_size, VGGT_WIDTH


def vggt_frame(frame: NDArray[np.uint8], patch_size: int = 14) -> NDArray[np.float32]:
    """One frame uint8 [H, W, 3] as VGGT's loader gives it, float32 [3, H', W'] in [0, 1]."""
    image = Image.fromarray(frame)
    rows, columns = vggt_frame_size(image.height, image.width, patch_size)
    if image.height > image.width:
        image = image.rotate(-90, expand=True)
    image = image.resize((columns, rows), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, dtype=np.float32) / np.float32(255)  # [H', W', 3]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # [3, H', W']


def candidate_frames(frames: int) -> list[int]:
    """At most 128 evenly spaced frames of a clip, among which space-aware sampling chooses."""
    return even_indices(frames, MAX_CANDIDATES)


@torch.inference_mode()
def space_aware_frames(vggt: Vggt, frames: Sequence[NDArray[np.uint8]], count: int = FRAMES) -> list[int]:
    """Choose `count` frames of a clip by what VGGT's point head sees of the space.

    Args:
        vggt: a network with a point head.
        frames: uint8 [H, W, 3], all of one size.
        count: how many are wanted; all are returned when there are no more.

    Raises:
        MissingPartError: the checkpoint has no point head. BadInputError: there is no frame.
    """
    if vggt.point_head is None:
        raise MissingPartError("space-aware sampling needs VGGT's point head, which this checkpoint does not have")
    if not frames:
        raise BadInputError("space-aware sampling needs at least one frame")
    candidates = candidate_frames(len(frames))
    if len(candidates) <= count:
        return candidates
    weight = next(vggt.parameters())
    stacked = np.stack([vggt_frame(frames[index], vggt.aggregator.patch_size) for index in candidates])  # [T, 3, H, W]
    images = torch.from_numpy(stacked)[None].to(weight.device, weight.dtype)  # [1, T, 3, H, W]
    tokens = vggt.aggregator(images, vggt.point_head.layers)
    points, confidence = vggt.point_head(tokens)  # [1, T, H, W, 3], [1, T, H, W]
    chosen = select_frames(_numpy(points[0]), _numpy(confidence[0]), count)
    return [candidates[index] for index in chosen]


def _numpy(x: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = x.float().cpu().numpy()
    return array
