"""M-RoPE position ids, as transformers 4.51.3 computed them when the published checkpoints were trained.

Owned here because later releases changed it: 4.57 is wrong for a fractional `second_per_grid`, 5.x after a video
whose time span exceeds its spatial span, and 5.x falls back to 1-D positions without `mm_token_type_ids`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cloud.spatial_mllm.config import TokenIds
from shared.errors import BadInputError


@dataclass(frozen=True)
class RopeIndex:
    """Positions of every token on the time, height and width axis.

    `position_ids`: int64 [3, B, L]; 1 at padded places, as the reference leaves them.
    `rope_deltas`: int64 [B, 1]; add it to a cache position >= L to get the position of a generated token.
    """

    position_ids: Tensor
    rope_deltas: Tensor


def rope_index(
    input_ids: Tensor,
    attention_mask: Tensor | None,
    image_grid_thw: Tensor | None,
    video_grid_thw: Tensor | None,
    second_per_grid_ts: Tensor | None,
    *,
    tokens: TokenIds,
    merge_size: int,
    tokens_per_second: int,
) -> RopeIndex:
    """Position ids of a batch of prompts.

    Args:
        input_ids: int [B, L].
        attention_mask: int [B, L], 0 at padding; None means no padding.
        image_grid_thw: int [n_images, 3] in patches, in the order of the prompt (batch-major); None without.
        video_grid_thw: int [n_videos, 3].
        second_per_grid_ts: float [n_videos], seconds between two time steps of each video; None means 1.
        tokens: the ids of the placeholders.
        merge_size: patches merged along each spatial axis.
        tokens_per_second: positions a second takes on the time axis.

    Raises:
        BadInputError: the grids do not match the placeholders.
    """
    B, L = input_ids.shape
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask  # [B, L]
    position_ids = torch.ones(3, B, L, dtype=torch.int64, device=input_ids.device)  # [3, B, L]
    deltas = torch.empty(B, 1, dtype=torch.int64, device=input_ids.device)  # [B, 1]
    images = _rows(image_grid_thw)
    videos = _rows(video_grid_thw)
    seconds = None if second_per_grid_ts is None else second_per_grid_ts.to("cpu", torch.float32)  # [n_videos]
    next_image = next_video = 0
    for row in range(B):
        kept = mask[row] == 1  # [L]
        ids = input_ids[row][kept].tolist()
        blocks: list[Tensor] = []  # each [3, n]
        start = 0  # first position of the next block
        index = 0  # first token of it
        while index < len(ids):
            kind = ids[index]
            if kind not in (tokens.image, tokens.video):
                end = index
                while end < len(ids) and ids[end] not in (tokens.image, tokens.video):
                    end += 1
                blocks.append(torch.arange(start, start + end - index).expand(3, -1))  # [3, n]
                start += end - index
                index = end
                continue
            if kind == tokens.image:
                if next_image >= len(images):
                    raise BadInputError(f"more image placeholders than rows of image_grid_thw ({len(images)})")
                grid, interval = images[next_image], torch.zeros(())
                next_image += 1
            else:
                if next_video >= len(videos):
                    raise BadInputError(f"more video placeholders than rows of video_grid_thw ({len(videos)})")
                grid = videos[next_video]
                interval = torch.ones(()) if seconds is None else seconds[next_video]
                next_video += 1
            t, h, w = grid[0], grid[1] // merge_size, grid[2] // merge_size
            if ids[index : index + t * h * w] != [kind] * (t * h * w):
                raise BadInputError(f"grid {grid} needs {t * h * w} placeholders {kind} in a row at token {index}")
            # fp32, truncated: the fraction of second_per_grid must survive until after the product
            time = (torch.arange(t, dtype=torch.float32) * interval * tokens_per_second).long()  # [t]
            grid_positions = torch.cartesian_prod(time, torch.arange(h), torch.arange(w)).T + start  # [3, t*h*w]
            blocks.append(grid_positions)
            start = int(grid_positions.max()) + 1  # over all three axes, not only over space
            index += t * h * w
        positions = torch.cat(blocks, dim=1) if blocks else torch.zeros(3, 0, dtype=torch.int64)  # [3, n]
        position_ids[:, row, kept] = positions.to(input_ids.device)
        deltas[row, 0] = start - L  # padding included
    if next_image != len(images) or next_video != len(videos):
        raise BadInputError(
            f"the prompts hold {next_image} images and {next_video} videos, the grids {len(images)} and {len(videos)}"
        )
    return RopeIndex(position_ids, deltas)


def _rows(grid_thw: Tensor | None) -> list[list[int]]:
    return [] if grid_thw is None else [[int(value) for value in row] for row in grid_thw.tolist()]
