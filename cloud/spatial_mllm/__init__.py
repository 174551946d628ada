"""Spatial-MLLM: Qwen2.5-VL with a VGGT spatial encoder. `SpatialMLLM.from_folder(path)` is the way in."""

import cloud.spatial_mllm.quiet_imports  # noqa: F401 - first
from cloud.spatial_mllm.config import (
    CameraHeadConfig,
    DinoConfig,
    DptHeadConfig,
    LanguageConfig,
    SpatialConfig,
    TokenIds,
    VggtConfig,
    VisionConfig,
)
from cloud.spatial_mllm.generation import Generated
from cloud.spatial_mllm.model import ModelInputs, SpatialMLLM, SpatialOutput

__all__ = [
    "CameraHeadConfig",
    "DinoConfig",
    "DptHeadConfig",
    "Generated",
    "LanguageConfig",
    "ModelInputs",
    "SpatialConfig",
    "SpatialMLLM",
    "SpatialOutput",
    "TokenIds",
    "VggtConfig",
    "VisionConfig",
]
