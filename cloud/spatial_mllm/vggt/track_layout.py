"""Names and shapes of VGGT's point-tracking head, which nothing in Spatial-MLLM runs.

Published checkpoints carry it (66 M parameters at full size). The loader checks that it is complete, so that a
truncated or foreign file is still refused, and then leaves its tensors on disk.
"""

from collections.abc import Mapping

from shared.errors import BadInputError

TRACK_PREFIX = "spatial_encoder.vggt_model.track_head."

Layout = dict[str, tuple[int, ...]]


def track_head_layout(found: Mapping[str, tuple[int, ...]], token_width: int) -> Layout:
    """The layout that a track head must have, with sizes read from the tensors in `found`.

    Args:
        found: name -> shape of the checkpoint's keys under `TRACK_PREFIX`; empty when it has no track head.
        token_width: channels of an aggregator layer.

    Raises:
        BadInputError: a tensor that a size is read from is missing.
    """
    if not found:
        return {}

    def size(name: str, axis: int) -> int:
        shape = found.get(TRACK_PREFIX + name)
        if shape is None or axis >= len(shape):
            raise BadInputError(f"missing tensor {TRACK_PREFIX}{name}: the track head's sizes are read from it")
        return shape[axis]

    channels = [size(f"feature_extractor.projects.{level}.weight", 0) for level in range(4)]
    features = size("feature_extractor.scratch.layer1_rn.weight", 0)
    layout = _feature_extractor(token_width, channels, features)
    hidden = size("tracker.updateformer.input_transform.weight", 0)
    layout |= _tracker(
        features,
        hidden,
        flow=size("tracker.updateformer.input_transform.weight", 1),
        correlations=size("tracker.corr_mlp.fc1.weight", 1),
        correlation_hidden=size("tracker.corr_mlp.fc1.weight", 0),
        virtual_tracks=size("tracker.updateformer.virual_tracks", 1),
        flow_out=size("tracker.updateformer.flow_head.weight", 0),
    )
    mlp = size("tracker.updateformer.time_blocks.0.mlp.fc1.weight", 0)
    for kind in ("time", "space_virtual", "space_point2virtual", "space_virtual2point"):
        prefix = f"tracker.updateformer.{kind}_blocks."
        start = len(TRACK_PREFIX + prefix)
        indices = {int(name[start:].split(".", 1)[0]) for name in found if name.startswith(TRACK_PREFIX + prefix)}
        for index in range(1 + max(indices, default=0)):
            layout |= _update_block(f"{prefix}{index}.", hidden, mlp, cross="2" in kind)
    return {TRACK_PREFIX + name: shape for name, shape in layout.items()}


def _linear(name: str, out: int, width: int) -> Layout:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Layout:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _conv(name: str, out: int, width: int, kernel: int) -> Layout:
    return {f"{name}.weight": (out, width, kernel, kernel), f"{name}.bias": (out,)}


def _feature_extractor(token_width: int, channels: list[int], features: int) -> Layout:
    """A DPT head without its last two layers."""
    layout = _norm("norm", token_width)
    for level, width in enumerate(channels):
        layout |= _conv(f"projects.{level}", width, token_width, 1)
        layout[f"scratch.layer{level + 1}_rn.weight"] = (features, width, 3, 3)
        layout |= _conv(f"scratch.refinenet{level + 1}.out_conv", features, features, 1)
        for unit in (1, 2) if level < 3 else (2,):
            for conv in (1, 2):
                layout |= _conv(f"scratch.refinenet{level + 1}.resConfUnit{unit}.conv{conv}", features, features, 3)
    for level, kernel in ((0, 4), (1, 2), (3, 3)):
        layout |= _conv(f"resize_layers.{level}", channels[level], channels[level], kernel)
    layout |= _conv("scratch.output_conv1", features, features, 3)
    return {f"feature_extractor.{name}": shape for name, shape in layout.items()}


def _tracker(
    features: int,
    hidden: int,
    *,
    flow: int,
    correlations: int,
    correlation_hidden: int,
    virtual_tracks: int,
    flow_out: int,
) -> Layout:
    layout: Layout = {
        "query_ref_token": (1, 2, flow),
        "updateformer.virual_tracks": (1, virtual_tracks, 1, hidden),  # spelled so in the checkpoint
    }
    layout |= _linear("corr_mlp.fc1", correlation_hidden, correlations)
    layout |= _linear("corr_mlp.fc2", features, correlation_hidden)
    layout |= _norm("updateformer.input_norm", flow) | _linear("updateformer.input_transform", hidden, flow)
    layout |= _norm("updateformer.output_norm", hidden) | _linear("updateformer.flow_head", flow_out, hidden)
    layout |= _norm("fmap_norm", features) | _norm("ffeat_norm", features)
    layout |= _linear("ffeat_updater.0", features, features)
    layout |= _linear("vis_predictor.0", 1, features) | _linear("conf_predictor.0", 1, features)
    return {f"tracker.{name}": shape for name, shape in layout.items()}


def _update_block(prefix: str, hidden: int, mlp: int, *, cross: bool) -> Layout:
    attention = "cross_attn" if cross else "attn"
    layout: Layout = {
        f"{attention}.in_proj_weight": (3 * hidden, hidden),
        f"{attention}.in_proj_bias": (3 * hidden,),
    }
    layout |= _linear(f"{attention}.out_proj", hidden, hidden)
    for norm in ("norm1", "norm_context", "norm2") if cross else ("norm1", "norm2"):
        layout |= _norm(norm, hidden)
    layout |= _linear("mlp.fc1", mlp, hidden) | _linear("mlp.fc2", hidden, mlp)
    return {prefix + name: shape for name, shape in layout.items()}
