"""What `crustwatch cloud depth` writes: a picture of each frame's depth, the cameras, and one coloured point cloud."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cloud.media import Footage
from cloud.spatial_mllm.loader import load_heads
from cloud.spatial_mllm.model import SpatialMLLM
from cloud.spatial_mllm.processor import Processor
from cloud.spatial_mllm.vggt.pose import camera_matrices
from shared.errors import MissingPartError

NEAR_TO_FAR = np.array([(252, 253, 191), (251, 136, 97), (183, 55, 121), (81, 18, 124), (0, 0, 4)], dtype=np.float32)


@torch.inference_mode()
def write_depth(
    model: SpatialMLLM, processor: Processor, footage: Footage, out: Path, keep: float
) -> dict[str, object]:
    """Run VGGT with its heads over the footage and write `depth_*.png`, `cameras.json` and `points.ply` into `out`.

    Args:
        model: with geometry; heads are loaded here.
        processor: of the model: what it makes of the frames is what the depth belongs to.
        footage: the frames.
        out: a folder that is there.
        keep: share of the points, the most certain ones, that go into the cloud.

    Raises:
        MissingPartError: the checkpoint lacks the depth or the point head, or was loaded without geometry.
    """
    wanted = [name for name in ("depth_head", "point_head", "camera_head") if getattr(model.config.vggt, name)]
    if "depth_head" not in wanted or "point_head" not in wanted:
        raise MissingPartError(
            "depth needs VGGT's depth and point head, which this checkpoint does not have; the published ones do, "
            "and `crustwatch cloud train --heads` adds it to the small one"
        )
    vggt = model.vggt
    load_heads(model, wanted)
    if vggt.depth_head is None or vggt.point_head is None:
        raise AssertionError("the heads were just loaded")
    count = len(footage.frames)
    frames = processor.video(footage.frames).tchw[:count]  # [S, 3, H, W]
    tokens = vggt.aggregator(frames[None].to(model.device, model.dtype), vggt.head_layers)
    depth = vggt.depth_head(tokens)[0][0, ..., 0].float().cpu().numpy()  # [S, H, W]
    points, confidence = (value[0].float().cpu().numpy() for value in vggt.point_head(tokens))
    low, high = np.quantile(depth, (0.02, 0.98))
    for place, map_ in zip(footage.places, depth, strict=True):
        Image.fromarray(coloured(map_, float(low), float(high))).save(out / f"depth_{place:06d}.png")
    colours = (frames.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)  # [S, H, W, 3]
    certain = confidence >= np.quantile(confidence, 1 - keep)  # [S, H, W]
    finite = certain & np.isfinite(points).all(axis=-1)  # [S, H, W]
    write_ply(out / "points.ply", points[finite], colours[finite])
    cameras = None
    if vggt.camera_head is not None:
        pose = vggt.camera_head(tokens)[-1][0].float().cpu()  # [S, 9]
        extrinsics, intrinsics = camera_matrices(pose, frames.shape[-2], frames.shape[-1])  # [S, 3, 4], [S, 3, 3]
        cameras = [
            {"frame": place, "world_to_camera": extrinsic.tolist(), "intrinsics": intrinsic.tolist()}
            for place, extrinsic, intrinsic in zip(footage.places, extrinsics, intrinsics, strict=True)
        ]
        (out / "cameras.json").write_text(json.dumps(cameras, indent=1) + "\n", encoding="utf-8")
    return {
        "video": footage.name,
        "frames": list(footage.places),
        "pixels": [frames.shape[-1], frames.shape[-2]],
        "depth_low": round(float(low), 4),
        "depth_high": round(float(high), 4),
        "points": int(finite.sum()),
        "cameras": cameras is not None,
    }


def coloured(depth: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Depth [H, W] as uint8 [H, W, 3]: near is light, far is dark, equal steps of 1/depth."""
    near, far = 1 / max(low, 1e-6), 1 / max(high, 1e-6)
    share = (near - 1 / np.maximum(depth, 1e-6)) / max(near - far, 1e-9)  # 0 near .. 1 far, [H, W]
    at = np.clip(share, 0, 1) * (len(NEAR_TO_FAR) - 1)  # [H, W]
    knots = np.arange(len(NEAR_TO_FAR))
    channels = [np.interp(at, knots, NEAR_TO_FAR[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)  # [H, W, 3]


def write_ply(path: Path, points: NDArray[np.float32], colours: NDArray[np.uint8]) -> None:
    """A binary PLY file of points [n, 3] and their colours [n, 3]."""
    kinds = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    rows = np.empty(len(points), dtype=kinds)
    for axis, name in enumerate("xyz"):
        rows[name] = points[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        rows[name] = colours[:, channel]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += [f"property {'float' if code == '<f4' else 'uchar'} {name}" for name, code in kinds]
    path.write_bytes("\n".join([*header, "end_header", ""]).encode() + rows.tobytes())
