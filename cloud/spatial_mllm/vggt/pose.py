"""Pose encodings of the camera head to camera matrices and back (OpenCV convention, world to camera)."""

import torch
from torch import Tensor


def rotation_matrix(quaternion: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of quaternions [..., 4] (x, y, z, w), of any length."""
    x, y, z, w = quaternion.unbind(-1)  # each [...]
    s = 2.0 / quaternion.square().sum(-1)  # [...]
    rows = (
        torch.stack((1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)), dim=-1),
        torch.stack((s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)), dim=-1),
        torch.stack((s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)), dim=-1),
    )  # each [..., 3]
    return torch.stack(rows, dim=-2)  # [..., 3, 3]


def camera_matrices(pose: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Extrinsics and intrinsics of pose encodings.

    Args:
        pose: [..., 9]: translation, quaternion (x, y, z, w), vertical and horizontal field of view in radians.
        height, width: of the frame in pixels; the principal point is its centre.

    Returns:
        Extrinsics [..., 3, 4] and intrinsics [..., 3, 3].
    """
    extrinsics = torch.cat((rotation_matrix(pose[..., 3:7]), pose[..., :3, None]), dim=-1)  # [..., 3, 4]
    intrinsics = pose.new_zeros(*pose.shape[:-1], 3, 3)  # [..., 3, 3]
    intrinsics[..., 0, 0] = width / 2 / torch.tan(pose[..., 8] / 2)
    intrinsics[..., 1, 1] = height / 2 / torch.tan(pose[..., 7] / 2)
    intrinsics[..., 0, 2] = width / 2
    intrinsics[..., 1, 2] = height / 2
    intrinsics[..., 2, 2] = 1
    return extrinsics, intrinsics
