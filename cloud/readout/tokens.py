"""What a head reads: a vector for each patch of each frame, by the frozen spatial encoder or by plain arithmetic."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from cloud.spatial_mllm import SpatialMLLM

CELL_PX = 14  # side of a light token's cell: the model's patch
LIGHT_WIDTH = 22
DARK = (0.12, 0.2, 0.3)  # luminance under which a pixel counts as dark, three ways
LUMA = (0.299, 0.587, 0.114)  # Rec. 601


class TokenSource(Protocol):
    """Makes the vectors of clips."""

    @property
    def width(self) -> int:
        """Length of a vector."""
        ...

    def tokens(self, frames: Tensor) -> Tensor:
        """Clips float32 [B, T, 3, h, w] in 0..1 as [B, T*P, width]."""
        ...


class EncoderTokens:
    """The spatial encoder's last layer, frozen: patches of all frames that have looked at each other."""

    def __init__(self, model: SpatialMLLM) -> None:
        self._aggregator = model.vggt.aggregator
        self._dtype = model.dtype
        self._device = model.device
        self.width = model.config.vggt.output_width

    @torch.inference_mode()
    def tokens(self, frames: Tensor) -> Tensor:
        """See `TokenSource`."""
        aggregated = self._aggregator(frames.to(self._device, self._dtype))
        last: Tensor = aggregated.last()[:, :, aggregated.patch_start :]  # [B, T, P, 2C]
        return last.flatten(1, 2).float()


class LightTokens:
    """Colour, spread, darkness and edges of each cell, where it lies, and how far the scene has moved since frame 0.

    No network: a cell's place plus the movement, which phase correlation finds, is its place in a mosaic of the clip.
    """

    width = LIGHT_WIDTH

    @torch.inference_mode()
    def tokens(self, frames: Tensor) -> Tensor:
        """See `TokenSource`."""
        B, T, _, height, width = frames.shape
        rows, columns = height // CELL_PX, width // CELL_PX
        frames = frames[..., : rows * CELL_PX, : columns * CELL_PX]
        luma = (frames * torch.tensor(LUMA).view(3, 1, 1)).sum(2)  # [B, T, h, w]
        down = F.pad((luma[..., 1:, :] - luma[..., :-1, :]).abs(), (0, 0, 0, 1))  # [B, T, h, w]
        right = F.pad((luma[..., 1:] - luma[..., :-1]).abs(), (0, 1))  # [B, T, h, w]
        planes = torch.cat(
            (
                frames,
                frames.square(),
                (down + right)[:, :, None],
                torch.stack([(luma < limit).float() for limit in DARK], dim=2),
            ),
            dim=2,
        )  # [B, T, 10, h, w]
        means = F.avg_pool2d(planes.flatten(0, 1), CELL_PX).view(B, T, -1, rows, columns)  # [B, T, 10, rows, columns]
        colour = means[:, :, :3]  # [B, T, 3, rows, columns]
        spread = (means[:, :, 3:6] - colour.square()).clamp_min(0).sqrt()  # [B, T, 3, rows, columns]
        least = -F.max_pool2d(-luma, CELL_PX)[:, :, None]  # [B, T, 1, rows, columns]
        most = F.max_pool2d(luma, CELL_PX)[:, :, None]  # [B, T, 1, rows, columns]
        y = torch.linspace(-1, 1, rows).view(1, 1, 1, rows, 1).expand(B, T, 1, rows, columns)
        x = torch.linspace(-1, 1, columns).view(1, 1, 1, 1, columns).expand(B, T, 1, rows, columns)
        moved = movement(luma).view(B, T, 2, 1, 1)  # [B, T, 2, 1, 1]
        place = torch.cat((y, x), dim=2)  # [B, T, 2, rows, columns]
        whole = colour.mean((-2, -1), keepdim=True)  # [B, T, 3, 1, 1]
        phase = torch.linspace(0, 1, T).view(1, T, 1, 1, 1)  # [1, T, 1, 1, 1]
        wide = [part.expand(B, T, -1, rows, columns) for part in (moved, whole, phase)]
        parts = (colour, spread, means[:, :, 6:], least, most, place, place - moved, *wide)
        return torch.cat(parts, dim=2).permute(0, 1, 3, 4, 2).reshape(B, T * rows * columns, LIGHT_WIDTH)


def movement(luma: Tensor) -> Tensor:
    """How far each frame's content lies from where frame 0 had it: [B, T, h, w] gives [B, T, 2] (y, x), in half frames.

    Phase correlation of each frame with the one before (Kuglin & Hines 1975) at half resolution, summed up.
    """
    small = F.avg_pool2d(luma, 2)  # [B, T, h/2, w/2]
    height, width = small.shape[2:]
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)  # [h/2, w/2]
    spectra = torch.fft.rfft2((small - small.mean((-2, -1), keepdim=True)) * window)  # [B, T, h/2, w/4+1]
    crossed = spectra[:, 1:] * spectra[:, :-1].conj()  # [B, T-1, h/2, w/4+1]
    peaks = torch.fft.irfft2(crossed / crossed.abs().clamp_min(1e-9), s=(height, width)).flatten(2)  # [B, T-1, h*w/4]
    at = peaks.argmax(-1)  # [B, T-1]
    y, x = at // width, at % width  # [B, T-1]
    y, x = (y + height // 2) % height - height // 2, (x + width // 2) % width - width // 2
    steps = torch.stack((y / (height / 2), x / (width / 2)), dim=-1)  # [B, T-1, 2]
    return F.pad(steps.cumsum(1), (0, 0, 1, 0))  # [B, T, 2]
