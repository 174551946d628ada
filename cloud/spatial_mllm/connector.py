"""Connector `mlp_add`: turns VGGT's patch tokens into language-model tokens and adds them to the visual ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cloud.spatial_mllm.config import SpatialConfig
from shared.errors import BadInputError


class ConnectorNorm(nn.Module):
    """RMSNorm in fp32, epsilon 1e-6 (Qwen's form: the gain is applied after the cast back)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))  # [C]

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension of `x` [..., C]."""
        wide = x.float()  # [..., C]
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)  # [..., C]
        return self.weight * wide.to(x.dtype)  # [..., C]


class Connector(nn.Module):
    """Merges 2 frames x 2x2 patches into one token, as the vision tower does, then a two-layer MLP."""

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        width = config.connector_width
        self.merge = config.vision.spatial_merge_size
        self.frames_per_step = config.vision.temporal_patch_size
        self.ln_q = ConnectorNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.language.hidden_size))

    def merge_patches(self, patches: Tensor, h: int, w: int) -> Tensor:
        """Lay the patches of one clip out in the order of the visual tokens.

        Args:
            patches: [S, h*w, C], special tokens dropped; S a multiple of the temporal patch.
            h, w: patches along each side, multiples of the merge size.

        Returns:
            [S/tm * h/m * w/m, m*m*C*tm]: within a token row of the merge cell, column, channel, then time.
        """
        S, _, C = patches.shape
        m, tm = self.merge, self.frames_per_step
        cells = patches.view(S // tm, tm, h // m, m, w // m, m, C)  # [t, tm, h/m, mh, w/m, mw, C]
        cells = cells.permute(0, 2, 4, 3, 5, 6, 1)  # [t, h/m, w/m, mh, mw, C, tm]
        return cells.reshape(-1, m * m * C * tm)  # [t*h/m*w/m, m*m*C*tm]

    def merge_clips(self, clips: Sequence[Tensor], grid_thw: Tensor) -> Tensor:
        """Merge the patch tokens of all clips.

        Args:
            clips: per clip [S_i, h_i*w_i, C].
            grid_thw: int [n, 3]. A clip takes rows until their time steps make up its S_i frames: a video is one
                row, several images of one scene are one clip with a row each.

        Raises:
            BadInputError: clips and grid rows do not match.
        """
        rows = [[int(value) for value in row] for row in grid_thw.tolist()]
        merged: list[Tensor] = []
        next_row = 0
        for index, clip in enumerate(clips):
            first, steps = next_row, 0
            while next_row < len(rows) and steps * self.frames_per_step < clip.shape[0]:
                steps += rows[next_row][0]
                next_row += 1
            taken = rows[first:next_row]
            _, h, w = taken[0] if taken else (0, 0, 0)
            same_size = all(row[1:] == [h, w] for row in taken)
            if steps * self.frames_per_step != clip.shape[0] or h * w != clip.shape[1] or not same_size:
                raise BadInputError(
                    f"clip {index} has {clip.shape[0]} frames of {clip.shape[1]} patches, its grid rows are {taken}: "
                    f"frames must be {self.frames_per_step} times the time steps (a still image is given twice)"
                )
            merged.append(self.merge_patches(clip, h, w))  # [n_i, C']
        if next_row != len(rows):
            raise BadInputError(f"{len(rows)} grid rows, but the {len(clips)} clips take only {next_row}")
        return torch.cat(merged)  # [N, C']

    def forward(self, merged: Tensor) -> Tensor:
        """Map merged tokens [N, C'] to language-model width, [N, hidden]."""
        out: Tensor = self.mlp(self.ln_q(merged))  # [N, hidden]
        return out
