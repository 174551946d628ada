"""Sizes that `config.json` does not hold, read from the shapes of a checkpoint's tensors.

The reference hard-codes VGGT's depths and heads (vggt/models/aggregator.py, vggt/heads/*), so its config names
only the width. Depths, widths, MLP sizes, registers and the position table show in the shapes; the head count of
the aggregator shows in the length of `q_norm.weight`. Three things do not show anywhere; each is derived by a rule
that gives the reference's values at full size, and `spatial_config` may state it instead:

| field of `spatial_config` | rule | full size |
| --- | --- | --- |
| `dino_num_heads` | 16, or fewer so that a head is no narrower than the aggregator's | 16 |
| `camera_num_heads` | the same rule on the camera trunk's width | 16 |
| `dpt_layers` | (4, 11, 17, 23) of 24, scaled to the depth and rounded down | 4, 11, 17, 23 |
"""

from collections.abc import Mapping
from typing import Any

from cloud.spatial_mllm.config import (
    HEAD_FIELDS,
    QWEN_TYPE,
    SPATIAL_TYPE,
    CameraHeadConfig,
    DinoConfig,
    DptHeadConfig,
    SpatialConfig,
    VggtConfig,
    parse_language,
    parse_tokens,
    parse_vision,
    read_fields,
)
from shared.errors import BadInputError

Shapes = Mapping[str, tuple[int, ...]]

VGGT_PREFIX = "spatial_encoder.vggt_model."
_REFERENCE_HEADS = 16
_REFERENCE_DEPTH = 24
_REFERENCE_DPT_LAYERS = (4, 11, 17, 23)


def config_from_checkpoint(config: Mapping[str, Any], shapes: Shapes, *, geometry: bool = True) -> SpatialConfig:
    """Build the configuration from a parsed `config.json` and the name -> shape table of the weights.

    Plain Qwen2.5-VL has no geometry; that of Spatial-MLLM is left out without `geometry`.

    Raises:
        BadInputError: a field or tensor that a size is read from is missing, or sizes contradict each other.
    """
    kind = config.get("model_type")
    if kind not in (SPATIAL_TYPE, QWEN_TYPE):
        raise BadInputError(
            f"config.json: model_type must be {SPATIAL_TYPE}, or {QWEN_TYPE} for a model without geometry, got {kind!r}"
        )
    if kind == QWEN_TYPE and any(name.startswith(VGGT_PREFIX) for name in shapes):
        raise BadInputError(f"config.json: model_type must be {SPATIAL_TYPE}, as the weights hold a spatial encoder")
    if kind == QWEN_TYPE:
        config = _flat(config)
    if kind == QWEN_TYPE or not geometry:
        return SpatialConfig(
            language=parse_language(config),
            vision=parse_vision(config),
            tokens=parse_tokens(config),
            geometry=False,
        )
    connector, stated = config.get("connector_config") or {}, config.get("spatial_config") or {}
    if not isinstance(connector, Mapping) or not isinstance(stated, Mapping):
        raise BadInputError("config.json: connector_config and spatial_config must be objects")
    if connector.get("connector_type", "mlp_add") != "mlp_add":
        raise BadInputError(
            f"config.json: connector_type must be mlp_add (no other exists), got {connector['connector_type']!r}"
        )
    if connector.get("spatial_embeds_layer_idx", -1) != -1:
        raise BadInputError("config.json: spatial_embeds_layer_idx must be -1, the last aggregator layer")
    spatial = read_fields(stated, HEAD_FIELDS, "config.json: spatial_config")
    return SpatialConfig(
        language=parse_language(config),
        vision=parse_vision(config),
        vggt=vggt_config(spatial, shapes),
        tokens=parse_tokens(config),
    )


def _flat(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The flat form of a `config.json`: newer releases of transformers nest the language model's fields."""
    nested = config.get("text_config")
    if not isinstance(nested, Mapping):
        return config
    stated = {name: value for name, value in config.items() if value is not None}
    flat = {**nested, **stated}
    rope = nested.get("rope_parameters")
    if isinstance(rope, Mapping) and flat.get("rope_scaling") is None:
        flat["rope_scaling"] = rope
        flat.setdefault("rope_theta", rope.get("rope_theta"))
    return flat


def vggt_config(spatial: Mapping[str, Any], shapes: Shapes) -> VggtConfig:
    """VGGT's sizes from `config.json`'s `spatial_config` and the tensor shapes."""
    aggregator = VGGT_PREFIX + "aggregator."
    width, _, patch, _ = _shape(shapes, aggregator + "patch_embed.patch_embed.proj.weight", 4)
    (head_dim,) = _shape(shapes, aggregator + "frame_blocks.0.attn.q_norm.weight", 1)
    depth = _count(shapes, aggregator + "frame_blocks.")
    if width % head_dim:
        raise BadInputError(f"VGGT: width {width} is no multiple of the head dimension {head_dim} of q_norm")
    rows = _shape(shapes, aggregator + "patch_embed.pos_embed", 3)[1] - 1  # one row is the cls token's
    grid = round(rows**0.5)
    if grid * grid != rows:
        raise BadInputError(f"VGGT: pos_embed has {rows} patch rows, which is no square grid")
    dino = DinoConfig(
        depth=_count(shapes, aggregator + "patch_embed.blocks."),
        num_heads=spatial.get("dino_num_heads", _heads(width, head_dim)),
        mlp_size=_shape(shapes, aggregator + "patch_embed.blocks.0.mlp.fc1.weight", 2)[0],
        register_tokens=_shape(shapes, aggregator + "patch_embed.register_tokens", 3)[1],
        position_grid=grid,
    )
    return VggtConfig(
        width=width,
        depth=depth,
        num_heads=width // head_dim,
        mlp_size=_shape(shapes, aggregator + "frame_blocks.0.mlp.fc1.weight", 2)[0],
        patch_size=patch,
        register_tokens=_shape(shapes, aggregator + "register_token", 4)[2],
        dino=dino,
        camera_head=_camera_head(spatial, shapes, head_dim),
        point_head=_dpt_head(spatial, shapes, "point_head.", depth),
        depth_head=_dpt_head(spatial, shapes, "depth_head.", depth),
    )


def _camera_head(spatial: Mapping[str, Any], shapes: Shapes, head_dim: int) -> CameraHeadConfig | None:
    prefix = VGGT_PREFIX + "camera_head."
    if not any(name.startswith(prefix) for name in shapes):
        return None
    mlp_size, width = _shape(shapes, prefix + "trunk.0.mlp.fc1.weight", 2)
    return CameraHeadConfig(
        depth=_count(shapes, prefix + "trunk."),
        num_heads=spatial.get("camera_num_heads", _heads(width, head_dim)),
        mlp_size=mlp_size,
    )


def _dpt_head(spatial: Mapping[str, Any], shapes: Shapes, name: str, depth: int) -> DptHeadConfig | None:
    prefix = VGGT_PREFIX + name
    if not any(key.startswith(prefix) for key in shapes):
        return None
    layers = spatial.get("dpt_layers", dpt_layers(depth))
    if len(layers) != 4:
        raise BadInputError(f"config.json: spatial_config: dpt_layers must be four layers, got {layers}")
    channels = [_shape(shapes, f"{prefix}projects.{level}.weight", 4)[0] for level in range(4)]
    return DptHeadConfig(
        layers=(layers[0], layers[1], layers[2], layers[3]),
        level_channels=(channels[0], channels[1], channels[2], channels[3]),
        features=_shape(shapes, prefix + "scratch.layer1_rn.weight", 4)[0],
        hidden=_shape(shapes, prefix + "scratch.output_conv2.0.weight", 4)[0],
    )


def dpt_layers(depth: int) -> tuple[int, int, int, int]:
    """The aggregator layers that a dense head reads where nothing is stated: the reference's, scaled to `depth`."""
    one, two, three, four = (layer * depth // _REFERENCE_DEPTH for layer in _REFERENCE_DPT_LAYERS)
    return one, two, three, four


def _heads(width: int, head_dim: int) -> int:
    """The reference's 16 heads, or fewer so that none is narrower than the aggregator's."""
    return min(_REFERENCE_HEADS, width // head_dim)


def _shape(shapes: Shapes, name: str, rank: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        raise BadInputError(f"missing tensor {name}: the model's sizes are read from its shape")
    if len(shape) != rank:
        raise BadInputError(f"tensor {name} must have {rank} dimensions, it has shape {list(shape)}")
    return shape


def _count(shapes: Shapes, prefix: str) -> int:
    """Number of blocks under `prefix`: one more than the highest index (a gap is then a missing key)."""
    indices = [int(name[len(prefix) :].split(".", 1)[0]) for name in shapes if name.startswith(prefix)]
    if not indices:
        raise BadInputError(f"missing tensors {prefix}0.*: the model's depth is read from them")
    return 1 + max(indices)
