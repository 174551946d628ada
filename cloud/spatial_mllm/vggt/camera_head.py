"""VGGT's camera head: refines every frame's pose from its camera token in a few iterations.

Each iteration modulates the normalised tokens by the pose so far (adaptive LayerNorm as in DiT, arXiv 2212.09748),
runs the trunk over the frames, and adds the predicted change.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cloud.spatial_mllm.config import VggtConfig
from cloud.spatial_mllm.vggt.aggregator import AggregatedTokens
from cloud.spatial_mllm.vggt.block import Block, Mlp

POSE_SIZE = 9  # translation 3, quaternion 4 (scalar last), vertical and horizontal field of view in radians


class CameraHead(nn.Module):
    """Poses of S frames relative to the first."""

    def __init__(self, config: VggtConfig) -> None:
        super().__init__()
        head = config.camera_head
        if head is None:
            raise ValueError("this configuration has no camera head")
        width = config.output_width
        self.iterations = head.iterations
        self.token_norm = nn.LayerNorm(width, eps=1e-5)
        self.trunk = nn.Sequential(
            *(
                Block(width, head.num_heads, head.mlp_size, eps=1e-5, qk_norm=False, layer_scale=0.01)
                for _ in range(head.depth)
            )
        )
        self.trunk_norm = nn.LayerNorm(width, eps=1e-5)
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, POSE_SIZE))  # [1, 1, 9]
        self.embed_pose = nn.Linear(POSE_SIZE, width)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.pose_branch = Mlp(width, width // 2, POSE_SIZE)

    def forward(self, tokens: AggregatedTokens) -> list[Tensor]:
        """Pose encodings after each iteration, each [B, S, 9]; the last one is the result.

        Gradients do not flow from one iteration into the pose that the next one starts from.
        """
        camera = self.token_norm(tokens.last()[:, :, 0])  # [B, S, 2C]
        plain = F.layer_norm(camera, camera.shape[-1:], eps=1e-6)  # [B, S, 2C]
        pose: Tensor | None = None
        poses: list[Tensor] = []
        for _ in range(self.iterations):
            known = self.empty_pose_tokens.expand(*camera.shape[:2], -1) if pose is None else pose.detach()
            shift, scale, gate = self.poseLN_modulation(self.embed_pose(known)).chunk(3, dim=-1)  # each [B, S, 2C]
            x = self.trunk(camera + gate * (plain * (1 + scale) + shift))  # [B, S, 2C]
            change: Tensor = self.pose_branch(self.trunk_norm(x))  # [B, S, 9]
            pose = change if pose is None else pose.detach() + change  # [B, S, 9]
            poses.append(torch.cat((pose[..., :7], pose[..., 7:].relu()), dim=-1))  # a field of view is positive
        return poses
