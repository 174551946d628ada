"""Frames and prompts to model inputs, in numpy and PIL.

The arithmetic is that of Qwen2-VL's image processor (transformers 4.51.3): resize by smart_resize with PIL's bicubic
filter on uint8, scale to [0, 1], normalise with CLIP's statistics, cut into patches in the order of the 2x2 merger.
VGGT gets the same resized pixels without the normalisation, so both encoders see one grid.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cloud.spatial_mllm.config import SpatialConfig
from cloud.spatial_mllm.model import ModelInputs
from shared.errors import BadInputError

# statistics of CLIP's training images, RGB in [0, 1]
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)  # [3]
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)  # [3]

MAX_ASPECT = 200
PREPROCESSOR_NAME = "preprocessor_config.json"
_STOCK_RANGE = (56 * 56, 12_845_056)  # what Qwen2.5-VL ships: says nothing about the training of Spatial-MLLM

Frame = NDArray[np.uint8]  # [H, W, 3] RGB


@dataclass(frozen=True)
class PixelRange:
    """Pixels of a frame after resizing. The defaults are the training's, kept at inference on purpose.

    The reference resizes to another range when it evaluates than when it trains.
    """

    minimum: int = 293_216
    maximum: int = 324_576

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= self.maximum:
            raise BadInputError(f"pixel range {self.minimum}..{self.maximum}: needs 0 < minimum <= maximum")


@dataclass(frozen=True)
class VisionClip:
    """One video, or still images of one scene, each shown twice.

    Attributes:
        patches: float32 [t*h*w, C*tm*p*p], normalised.
        grid_thw: time steps, rows, columns of patches.
        tchw: float32 [T, 3, H, W] in [0, 1]; T = tm * t, H = p * h, W = p * w.
        still: the time steps are separate images, with a placeholder each in the prompt. VGGT sees them together.
    """

    patches: torch.Tensor
    grid_thw: tuple[int, int, int]
    tchw: torch.Tensor
    still: bool = False

    @property
    def grid_rows(self) -> list[tuple[int, int, int]]:
        """Rows of `video_grid_thw` or `image_grid_thw`: one for a video, one for each still image."""
        t, h, w = self.grid_thw
        return [(1, h, w)] * t if self.still else [self.grid_thw]


@dataclass(frozen=True)
class PromptRow:
    """One prompt of a batch.

    Attributes:
        ids: token ids with ONE placeholder per video or image; `batch` repeats it as often as that has tokens.
        videos: in the order of their placeholders.
        seconds_per_grid: seconds between two time steps of each video.
        images: scenes of still images in the order of their placeholders.
    """

    ids: Sequence[int]
    videos: Sequence[VisionClip] = ()
    seconds_per_grid: Sequence[float] = ()
    images: Sequence[VisionClip] = ()


def smart_size(height: int, width: int, factor: int, pixels: PixelRange) -> tuple[int, int]:
    """Size to resize to: multiples of `factor`, area within the range, aspect ratio nearly kept.

    Raises:
        BadInputError: the frame is empty or more than 200 times longer than wide.
    """
    if min(height, width) < 1 or max(height, width) / min(height, width) > MAX_ASPECT:
        raise BadInputError(f"a frame of {width}x{height} pixels: sides must be within a ratio of {MAX_ASPECT}")
    rows, columns = round(height / factor) * factor, round(width / factor) * factor
    if rows * columns > pixels.maximum:
        shrink = math.sqrt(height * width / pixels.maximum)
        rows = max(factor, math.floor(height / shrink / factor) * factor)
        columns = max(factor, math.floor(width / shrink / factor) * factor)
    elif rows * columns < pixels.minimum:
        grow = math.sqrt(pixels.minimum / (height * width))
        rows = math.ceil(height * grow / factor) * factor
        columns = math.ceil(width * grow / factor) * factor
    return rows, columns


class Processor:
    """Makes `VisionClip`s and batches for one model."""

    def __init__(self, config: SpatialConfig, pixels: PixelRange | None = None) -> None:
        self.config = config
        self.pixels = pixels or PixelRange()

    @classmethod
    def from_folder(cls, folder: str | Path, config: SpatialConfig) -> "Processor":
        """Use the pixel range of the checkpoint's `preprocessor_config.json`, if it states one.

        Raises:
            BadInputError: the file is no JSON object or its range is impossible.
        """
        path = Path(folder) / PREPROCESSOR_NAME
        if not path.exists():
            return cls(config)
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
            limits = (int(stated["min_pixels"]), int(stated["max_pixels"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{path} must be a JSON object with min_pixels and max_pixels: {error!r}") from None
        return cls(config, None if limits == _STOCK_RANGE else PixelRange(*limits))

    def save_folder(self, folder: str | Path) -> None:
        """Write `preprocessor_config.json`."""
        stated = {"min_pixels": self.pixels.minimum, "max_pixels": self.pixels.maximum}
        (Path(folder) / PREPROCESSOR_NAME).write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")

    def video(self, frames: Sequence[Frame]) -> VisionClip:
        """A clip of frames of one size; an odd number of frames gets its last one repeated.

        Raises:
            BadInputError: no frame, frames of different sizes, or no uint8 RGB.
        """
        if not frames:
            raise BadInputError("a video needs at least one frame")
        steps = self.config.vision.temporal_patch_size
        short = -len(frames) % steps
        return self._clip([*frames, *[frames[-1]] * short])

    def image(self, frame: Frame) -> VisionClip:
        """A still image that is a scene of its own."""
        return self.scene([frame])

    def scene(self, frames: Sequence[Frame]) -> VisionClip:
        """Still images of one scene and one size: each is a time step of equal frames, and VGGT relates them.

        Raises:
            BadInputError: as for `video`.
        """
        doubled = [frame for frame in frames for _ in range(self.config.vision.temporal_patch_size)]
        return replace(self.video(doubled), still=True)

    def _clip(self, frames: Sequence[Frame]) -> VisionClip:
        vision = self.config.vision
        p, m, tm = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
        for frame in frames:
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
                raise BadInputError(f"a frame must be uint8 [H, W, 3], got {frame.dtype} {list(frame.shape)}")
            if frame.shape != frames[0].shape:
                raise BadInputError(f"frames of one clip differ in size: {frame.shape[:2]}, {frames[0].shape[:2]}")
        H, W = smart_size(frames[0].shape[0], frames[0].shape[1], p * m, self.pixels)
        resized = np.stack([_resize(frame, H, W) for frame in frames])  # uint8 [T, H, W, 3]
        planes = np.ascontiguousarray(resized.transpose(0, 3, 1, 2))  # uint8 [T, 3, H, W]
        tchw = planes.astype(np.float32)  # [T, 3, H, W]
        tchw /= np.float32(255)
        normal = tchw - CLIP_MEAN[:, None, None]  # [T, 3, H, W]
        normal /= CLIP_STD[:, None, None]
        t, h, w = len(frames) // tm, H // p, W // p
        cells = normal.reshape(t, tm, 3, h // m, m, p, w // m, m, p)  # [t, tm, C, h/m, mh, p, w/m, mw, p]
        cells = cells.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)  # [t, h/m, w/m, mh, mw, C, tm, p, p]
        patches = np.ascontiguousarray(cells.reshape(t * h * w, 3 * tm * p * p))  # [t*h*w, C*tm*p*p]
        return VisionClip(torch.from_numpy(patches), (t, h, w), torch.from_numpy(tchw))

    def visual_tokens(self, clip: VisionClip) -> list[int]:
        """Tokens of each grid row of a clip: how often its placeholder is repeated."""
        return [t * h * w // self.config.vision.spatial_merge_size**2 for t, h, w in clip.grid_rows]

    def batch(self, rows: Sequence[PromptRow]) -> ModelInputs:
        """Expand placeholders and pad on the left.

        Raises:
            BadInputError: no row, or a row's placeholders and visuals do not match.
        """
        if not rows:
            raise BadInputError("a batch needs at least one prompt")
        tokens = self.config.tokens
        expanded = [self._expand(row) for row in rows]
        L = max(len(ids) for ids in expanded)
        input_ids = torch.full((len(rows), L), tokens.pad, dtype=torch.int64)  # [B, L]
        attention_mask = torch.zeros(len(rows), L, dtype=torch.int64)  # [B, L]
        for row, ids in enumerate(expanded):
            input_ids[row, L - len(ids) :] = torch.tensor(ids)
            attention_mask[row, L - len(ids) :] = 1
        videos = [clip for row in rows for clip in row.videos]
        images = [clip for row in rows for clip in row.images]
        seconds = [value for row in rows for value in row.seconds_per_grid]
        return ModelInputs(
            input_ids,
            attention_mask,
            pixel_values_videos=_patches(videos),
            video_grid_thw=_grids(videos),
            video_tchw=[clip.tchw for clip in videos] or None,
            second_per_grid_ts=torch.tensor(seconds, dtype=torch.float32) if videos else None,
            pixel_values=_patches(images),
            image_grid_thw=_grids(images),
            image_tchw=[clip.tchw for clip in images] or None,
        )

    def _expand(self, row: PromptRow) -> list[int]:
        tokens = self.config.tokens
        if len(row.seconds_per_grid) != len(row.videos):
            raise BadInputError(f"{len(row.videos)} videos, but {len(row.seconds_per_grid)} values of seconds_per_grid")
        waiting = {
            token: [count for clip in clips for count in self.visual_tokens(clip)]
            for token, clips in ((tokens.video, row.videos), (tokens.image, row.images))
        }
        ids: list[int] = []
        for token in row.ids:
            counts = waiting.get(token)
            if counts is None:
                ids.append(token)
            elif counts:
                ids.extend([token] * counts.pop(0))
            else:
                raise BadInputError(f"the prompt has more placeholders {token} than visuals")
        if left := sum(map(len, waiting.values())):
            raise BadInputError(f"{left} visuals have no placeholder in the prompt")
        return ids


def _resize(frame: Frame, height: int, width: int) -> Frame:
    """PIL's bicubic filter with antialiasing, on uint8."""
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))  # [H, W, 3]


def _patches(clips: Sequence[VisionClip]) -> torch.Tensor | None:
    return torch.cat([clip.patches for clip in clips]) if clips else None  # [sum(t*h*w), C*tm*p*p]


def _grids(clips: Sequence[VisionClip]) -> torch.Tensor | None:
    rows = [row for clip in clips for row in clip.grid_rows]
    return torch.tensor(rows, dtype=torch.int64) if rows else None  # [n, 3]
