"""VGGT as a whole, under the names that the checkpoint gives its parts."""

from torch import Tensor, nn

from cloud.spatial_mllm.config import VggtConfig
from cloud.spatial_mllm.vggt.aggregator import AggregatedTokens, Aggregator
from cloud.spatial_mllm.vggt.camera_head import CameraHead
from cloud.spatial_mllm.vggt.dpt_head import DepthHead, PointHead


class Vggt(nn.Module):
    """Aggregator and whichever heads the configuration names. The language path uses the aggregator alone."""

    def __init__(self, config: VggtConfig) -> None:
        super().__init__()
        self.aggregator = Aggregator(config)
        self.camera_head = None if config.camera_head is None else CameraHead(config)
        self.point_head = None if config.point_head is None else PointHead(config, config.point_head)
        self.depth_head = None if config.depth_head is None else DepthHead(config, config.depth_head)

    @property
    def head_layers(self) -> tuple[int, ...]:
        """Aggregator layers that the dense heads read: pass them as `keep` when a head will run."""
        layers: set[int] = set()
        for head in (self.point_head, self.depth_head):
            if head is not None:
                layers.update(head.layers)
        return tuple(sorted(layers))

    def forward(self, images: Tensor) -> AggregatedTokens:
        """Last aggregator layer of clips [B, S, 3, H, W] in [0, 1]."""
        tokens: AggregatedTokens = self.aggregator(images)
        return tokens
