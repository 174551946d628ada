"""One rendered bake as the training reads it: a fixed-size record at the model's resolution.

Frames are stored as the engine would hand them to the model, after JPEG and resize by the model's own processor, so
that training and inference see the same pixels. The dense maps of the auxiliary losses are stored at half a patch.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from cloud.spatial_mllm.config import SpatialConfig
from cloud.spatial_mllm.processor import PixelRange, Processor
from shared.bakery import FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH, render_bake
from shared.images import decode_jpeg, encode_jpeg
from shared.messages import CharPlace
from shared.task import Task

CELL_PX = 7  # model pixels a map cell: half a patch of 14
PLACES: tuple[CharPlace, ...] = get_args(CharPlace)  # codes of `char`
JPEG_QUALITY = (75, 95)  # drawn once a clip; gateways send 85

Record = NDArray[np.void]


def record_type(height: int, width: int) -> np.dtype[np.void]:
    """The record of clips whose frames are `height` x `width` model pixels."""
    cells = (FRAME_COUNT, height // CELL_PX, width // CELL_PX)
    return np.dtype(
        [
            ("seed", "i4"),
            ("index", "i4"),
            ("frames", "u1", (FRAME_COUNT, 3, height, width)),
            ("coverage", "u1", cells),  # share of the cell on the pizza, 255 = all
            ("burn", "u1", cells),  # mean over the cell's pizza pixels, 255 = 1
            ("bake", "u1", cells),  # likewise
            ("depth", "f2", cells),  # metres along the camera's z, mean over the cell
            ("poses", "f4", (FRAME_COUNT, 3, 4)),  # world to camera
            ("intrinsics", "f4", (3, 3)),  # of the rendered frame
            ("centre", "f4", (3,)),  # the pizza's origin in the world, metres
            ("bake_index", "f4"),  # continuous doneness, 0..1
            ("doneness", "u1"),  # label of the task
            ("burnt_fraction", "f4"),
            ("char", "u1"),  # PLACES
            ("hour", "u1"),  # 1..12, 0 without char or with char all round
            ("char_by_hour", "f4", (12,)),  # charred share of the top in each hour's 30 degrees, hour 1 first
            ("evenness", "f4"),
            ("crust_mm", "f4"),
            ("blister_mm", "f4"),
        ]
    )


def cell_means(values: NDArray[Any], weights: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Mean of `values` [8, H, W] over each cell, weighted by `weights` float32 [8, H, W]: float32 [8, rows, columns].

    Cells need not divide the frame: a pixel belongs to the cell that its upper left corner falls into. Cells of no
    weight are 0.
    """
    _, height, width = values.shape
    row_starts = -(-np.arange(rows) * height // rows)  # [rows]
    column_starts = -(-np.arange(columns) * width // columns)  # [columns]

    def sums(array: NDArray[np.float32]) -> NDArray[np.float32]:
        by_row = np.add.reduceat(array, row_starts, axis=1)  # [8, rows, W]
        return np.add.reduceat(by_row, column_starts, axis=2)  # [8, rows, columns]

    total = sums(weights)  # [8, rows, columns]
    means = sums(values * weights) / np.maximum(total, 1e-6)  # [8, rows, columns]
    return np.where(total > 0, means, 0.0).astype(np.float32)


def cell_rays(records: Record) -> NDArray[np.float32]:
    """Where each cell's middle lies in its camera's frame, metres: float32 [B, 8, rows, columns, 3]."""
    depth = records["depth"].astype(np.float32)  # [B, 8, rows, columns]
    rows, columns = depth.shape[2:]
    y = (np.arange(rows, dtype=np.float32) + 0.5) * FRAME_HEIGHT / rows - 0.5  # [rows] pixels
    x = (np.arange(columns, dtype=np.float32) + 0.5) * FRAME_WIDTH / columns - 0.5  # [columns]
    focal, centre = records["intrinsics"][:, 0, 0], records["intrinsics"][:, :2, 2]  # [B], [B, 2]
    right = (x - centre[:, :1]) / focal[:, None]  # [B, columns]
    down = (y - centre[:, 1:]) / focal[:, None]  # [B, rows]
    rays = np.empty((*depth.shape, 3), np.float32)  # [B, 8, rows, columns, 3]
    rays[..., 0] = right[:, None, None, :] * depth
    rays[..., 1] = down[:, None, :, None] * depth
    rays[..., 2] = depth
    return rays


def cell_flow(records: Record, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """How far each cell's middle is from where the first of the `chosen` [T] frames shows it, in frame widths.

    Float32 [B, T, rows, columns, 2] (x, y), zero in the first. The camera does not turn in a clip: what lies at p in
    one frame lies at p plus the cameras' shift in another. Not from frame to frame: the aggregator marks the first
    frame alone, and the order of the others shows nowhere in it.
    """
    rays = cell_rays(records)[:, chosen]  # [B, T, rows, columns, 3]
    shifts = records["poses"][..., 3][:, chosen]  # [B, T, 3]
    first = rays + (shifts[:, :1] - shifts)[:, :, None, None]  # [B, T, rows, columns, 3]
    here = rays[..., :2] / np.maximum(rays[..., 2:], 1e-3)  # [B, T, rows, columns, 2]
    flow = here - first[..., :2] / np.maximum(first[..., 2:], 1e-3)  # [B, T, rows, columns, 2]
    focal = records["intrinsics"][:, 0, 0] / FRAME_WIDTH  # [B]
    return np.asarray(flow * focal[:, None, None, None, None], np.float32)


def cell_points(records: Record) -> NDArray[np.float32]:
    """Where each cell's middle lies in the pizza's frame (x towards belt travel, z up), metres.

    `records` [B] gives float32 [B, 8, rows, columns, 3], from the cells' depth, the poses and the intrinsics.
    """
    rays = cell_rays(records)  # [B, 8, rows, columns, 3]
    poses = records["poses"]  # [B, 8, 3, 4]
    seen = rays - poses[:, :, None, None, :, 3]  # [B, 8, rows, columns, 3]
    world = seen.reshape(*rays.shape[:2], -1, 3) @ poses[..., :3]  # [B, 8, rows*columns, 3]: R transposed times seen
    points: NDArray[np.float32] = world.reshape(rays.shape) - records["centre"][:, None, None, None, :]
    return points


def render_record(seed: int, index: int, pixels: PixelRange, task: Task) -> Record:
    """Render bake (`seed`, `index`) and reduce it to a record [] of `record_type`. Deterministic."""
    bake = render_bake(seed=seed, index=index)
    truth = bake.truth
    quality = int(np.random.default_rng((seed, index, 0x4A)).integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
    seen = [decode_jpeg(encode_jpeg(frame, quality)) for frame in bake.frames]  # 8 x uint8 [240, 320, 3]
    shown = Processor(SpatialConfig(), pixels).video(seen).tchw.numpy()  # float32 [8, 3, h, w] in 0..1
    frames = np.rint(255 * shown).astype(np.uint8)  # [8, 3, h, w], exactly what was resized
    height, width = frames.shape[2:]
    rows, columns = height // CELL_PX, width // CELL_PX
    on_pizza = bake.maps.coverage.astype(np.float32)  # [8, 240, 320]
    everywhere = np.ones_like(on_pizza)

    record = np.zeros((), record_type(height, width))
    record["seed"], record["index"] = seed, index
    record["frames"] = frames
    record["coverage"] = np.rint(255 * cell_means(on_pizza, everywhere, rows, columns))
    record["burn"] = np.rint(255 * cell_means(bake.maps.burn, on_pizza, rows, columns).clip(0, 1))
    record["bake"] = np.rint(255 * cell_means(bake.maps.bake, on_pizza, rows, columns).clip(0, 1))
    record["depth"] = cell_means(bake.depth, everywhere, rows, columns)
    record["poses"], record["intrinsics"], record["centre"] = bake.poses, bake.intrinsics, truth.item_centre_m
    record["bake_index"], record["doneness"] = truth.bake_index, task.index(truth.doneness)
    record["burnt_fraction"], record["char"] = truth.burnt_fraction, PLACES.index(truth.char_where)
    record["hour"] = truth.char_sector or 0
    record["char_by_hour"] = truth.char_fraction_by_hour
    record["evenness"], record["crust_mm"] = truth.evenness, truth.crust_height_mm
    record["blister_mm"] = truth.blister_height_mm
    return record
