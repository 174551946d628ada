"""Dense prediction head (DPT, arXiv 2103.13413) of VGGT: depth or world points, each with a confidence.

Four aggregator layers become feature maps at 4, 2, 1 and 1/2 times the patch grid; they are fused from coarse to
fine and enlarged to the frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloud.spatial_mllm.config import DptHeadConfig, VggtConfig
from cloud.spatial_mllm.vggt.aggregator import AggregatedTokens
from shared.errors import BadInputError

FRAMES_AT_ONCE = 8  # the fused map at frame size is the memory peak; frames are independent of each other
_POSITION_GAIN = 0.1


class ResidualConvUnit(nn.Module):
    """Two 3x3 convolutions with a residual."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, F, h, w] -> [N, F, h, w]."""
        # The reference's first ReLU works in place, so its residual is the rectified input, not the input.
        x = F.relu(x)  # [N, F, h, w]
        y: Tensor = self.conv2(F.relu(self.conv1(x))) + x  # [N, F, h, w]
        return y


class FusionBlock(nn.Module):
    """Adds a finer map to the fused one, refines it and enlarges it."""

    def __init__(self, features: int, *, has_residual: bool) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        self.resConfUnit1 = ResidualConvUnit(features) if has_residual else None
        self.resConfUnit2 = ResidualConvUnit(features)

    def forward(self, fused: Tensor, finer: Tensor | None, size: tuple[int, int] | None) -> Tensor:
        """[N, F, h, w] and the finer map of the same shape -> [N, F, *size]; without a size, twice as large."""
        if self.resConfUnit1 is not None and finer is not None:
            fused = fused + self.resConfUnit1(finer)  # [N, F, h, w]
        fused = self.resConfUnit2(fused)  # [N, F, h, w]
        size = size or (2 * fused.shape[-2], 2 * fused.shape[-1])
        fused = F.interpolate(fused, size=size, mode="bilinear", align_corners=True)  # [N, F, *size]
        out: Tensor = self.out_conv(fused)  # [N, F, *size]
        return out


class Scratch(nn.Module):
    """The fusion path; `scratch` is its name in every DPT checkpoint."""

    def __init__(self, head: DptHeadConfig, out_channels: int) -> None:
        super().__init__()
        features = head.features
        one, two, three, four = head.level_channels
        self.layer1_rn = nn.Conv2d(one, features, 3, padding=1, bias=False)
        self.layer2_rn = nn.Conv2d(two, features, 3, padding=1, bias=False)
        self.layer3_rn = nn.Conv2d(three, features, 3, padding=1, bias=False)
        self.layer4_rn = nn.Conv2d(four, features, 3, padding=1, bias=False)
        self.refinenet1 = FusionBlock(features, has_residual=True)
        self.refinenet2 = FusionBlock(features, has_residual=True)
        self.refinenet3 = FusionBlock(features, has_residual=True)
        self.refinenet4 = FusionBlock(features, has_residual=False)
        self.output_conv1 = nn.Conv2d(features, features // 2, 3, padding=1)
        self.output_conv2 = nn.Sequential(
            nn.Conv2d(features // 2, head.hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(head.hidden, out_channels, 1)
        )

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Fuse maps [N, channels_l, h_l, w_l], finest first, into [N, features/2, 2 h_0, 2 w_0]."""
        one, two = self.layer1_rn(levels[0]), self.layer2_rn(levels[1])  # [N, F, 4h, 4w], [N, F, 2h, 2w]
        three, four = self.layer3_rn(levels[2]), self.layer4_rn(levels[3])  # [N, F, h, w], [N, F, ~h/2, ~w/2]
        fused = self.refinenet4(four, None, three.shape[-2:])  # [N, F, h, w]
        fused = self.refinenet3(fused, three, two.shape[-2:])  # [N, F, 2h, 2w]
        fused = self.refinenet2(fused, two, one.shape[-2:])  # [N, F, 4h, 4w]
        fused = self.refinenet1(fused, one, None)  # [N, F, 8h, 8w]
        out: Tensor = self.output_conv1(fused)  # [N, F/2, 8h, 8w]
        return out


def plane_positions(x: Tensor, aspect: float) -> Tensor:
    """Sine position code of a feature map's places on the view plane, as MoGe and VGGT lay it out.

    Args:
        x: [N, channels, h, w], for size, dtype and device; channels divisible by 4.
        aspect: width over height of the frame.

    Returns:
        [channels, h, w] in fp32: a quarter each of sin(u), cos(u), sin(v), cos(v), already scaled by 0.1.
    """
    channels, h, w = x.shape[1:]
    diagonal = (1 + aspect**2) ** 0.5
    u_end, v_end = aspect / diagonal * (w - 1) / w, 1 / diagonal * (h - 1) / h
    u = torch.linspace(-u_end, u_end, w, dtype=x.dtype, device=x.device)  # [w]
    v = torch.linspace(-v_end, v_end, h, dtype=x.dtype, device=x.device)  # [h]
    quarter = channels // 4
    steps = torch.arange(quarter, dtype=torch.float64, device=x.device) / quarter  # [quarter]
    omega = 1.0 / 100.0**steps  # [quarter]
    u_angles = omega[:, None, None] * u  # [quarter, 1, w]
    v_angles = omega[:, None, None] * v[:, None]  # [quarter, h, 1]
    code = torch.cat(
        [wave.expand(quarter, h, w) for angles in (u_angles, v_angles) for wave in (angles.sin(), angles.cos())]
    )  # [channels, h, w]
    return code.float() * _POSITION_GAIN


class DptHead(nn.Module):
    """Base of the depth and point heads: subclasses turn raw channels into values."""

    def __init__(self, config: VggtConfig, head: DptHeadConfig, value_channels: int) -> None:
        super().__init__()
        width = config.output_width
        self.layers = head.layers
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.projects = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in head.level_channels)
        one, two, _, four = head.level_channels
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(one, one, 4, stride=4),
                nn.ConvTranspose2d(two, two, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(four, four, 3, stride=2, padding=1),
            )
        )
        self.scratch = Scratch(head, value_channels + 1)

    def values(self, raw: Tensor) -> Tensor:
        """Map raw channels [N, H, W, value_channels] to values of the same shape."""
        raise NotImplementedError

    def forward(self, tokens: AggregatedTokens) -> tuple[Tensor, Tensor]:
        """Values [B, S, H, W, value_channels] and confidences [B, S, H, W] (1 + exp, so at least 1).

        Raises:
            BadInputError: the aggregator was not asked to keep the layers that the head reads.
        """
        if missing := [layer for layer in self.layers if layer not in tokens.layers]:
            raise BadInputError(f"dense head: aggregator layers {missing} were not kept; pass keep={self.layers}")
        B, S = tokens.last().shape[:2]
        levels = [tokens.layers[layer][:, :, tokens.patch_start :].flatten(0, 1) for layer in self.layers]
        chunks = [
            self._frames([level[first : first + FRAMES_AT_ONCE] for level in levels], tokens)
            for first in range(0, B * S, FRAMES_AT_ONCE)
        ]
        raw = torch.cat(chunks).permute(0, 2, 3, 1)  # [B*S, H, W, value_channels + 1]
        raw = raw.reshape(B, S, *raw.shape[1:])  # [B, S, H, W, value_channels + 1]
        return self.values(raw[..., :-1]), 1 + raw[..., -1].exp()

    def _frames(self, levels: list[Tensor], tokens: AggregatedTokens) -> Tensor:
        """Raw channels [n, value_channels + 1, H, W] from four levels of patch tokens [n, h*w, 2C]."""
        size = (tokens.rows * tokens.patch_size, tokens.columns * tokens.patch_size)  # H, W
        aspect = size[1] / size[0]
        maps: list[Tensor] = []
        for level, project, resize in zip(levels, self.projects, self.resize_layers, strict=True):
            grid = self.norm(level).transpose(1, 2).unflatten(2, (tokens.rows, tokens.columns))  # [n, 2C, h, w]
            x = project(grid)  # [n, channels, h, w]
            maps.append(resize(x + plane_positions(x, aspect).to(x.dtype)))  # [n, channels, h_l, w_l]
        fused = self.scratch(maps)  # [n, F/2, 8h, 8w]
        fused = F.interpolate(fused, size=size, mode="bilinear", align_corners=True)  # [n, F/2, H, W]
        fused = fused + plane_positions(fused, aspect).to(fused.dtype)  # [n, F/2, H, W]
        raw: Tensor = self.scratch.output_conv2(fused)  # [n, value_channels + 1, H, W]
        return raw


class DepthHead(DptHead):
    """Depth along the camera's z axis, [B, S, H, W, 1], positive."""

    def __init__(self, config: VggtConfig, head: DptHeadConfig) -> None:
        super().__init__(config, head, value_channels=1)

    def values(self, raw: Tensor) -> Tensor:
        """Exponential: depth is positive and its error relative."""
        return raw.exp()  # [B, S, H, W, 1]


class PointHead(DptHead):
    """World points in the first camera's frame, [B, S, H, W, 3]."""

    def __init__(self, config: VggtConfig, head: DptHeadConfig) -> None:
        super().__init__(config, head, value_channels=3)

    def values(self, raw: Tensor) -> Tensor:
        """Symmetric exponential sign(y) * (exp(|y|) - 1): near and far points in one range."""
        return raw.sign() * torch.expm1(raw.abs())  # [B, S, H, W, 3]
