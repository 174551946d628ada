"""How much memory an engine takes, component by component, computed before a weight is loaded.

The model's own layers run on the meta device, two of each kind, and `LiveBytes` counts what is alive at the worst
moment of each stage; weights and the key/value cache are counted exactly. `validation.py` compares the sum with what a
process really takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from cloud.doctor.live_bytes import FusedAttention, LiveBytes
from cloud.quantise import GROUP, fits_int4, is_quantised
from cloud.spatial_mllm import SpatialConfig, SpatialMLLM

PROMPT_TOKENS = 200  # question, form of the answer and chat marks
ANSWER_TOKENS = 128
CUDA_CONTEXT = 600 << 20  # bytes of driver context, cuBLAS and kernels: an assumption, no GPU was at hand


@dataclass(frozen=True)
class Load:
    """What is asked of an engine.

    Attributes:
        frames: of one clip.
        height, width: of a frame as the model sees it, multiples of two patches; the default is what the processor
            makes of a 4:3 video.
        sampling: whether the point head is loaded to choose frames by space.
        device: "cpu" or "cuda".
    """

    frames: int = 8
    height: int = 476
    width: int = 644
    sampling: bool = False
    device: str = "cpu"
    dtype: torch.dtype = torch.bfloat16
    weights: str = "full"  # or int8, int4


@dataclass(frozen=True)
class Account:
    """Bytes by component; all but the stages stay for the whole answer, of the stages the largest counts."""

    resident: dict[str, int]
    stages: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes at the worst moment."""
        return sum(self.resident.values()) + max(self.stages.values())


def account(config: SpatialConfig, load: Load) -> Account:
    """The account of one clip's answer."""
    resident = {f"weights: {part}": size for part, size in weight_bytes(config, load).items()}
    element = load.dtype.itemsize
    tokens = visual_tokens(config, load) + PROMPT_TOKENS + ANSWER_TOKENS
    language = config.language
    head_dim = language.hidden_size // language.num_attention_heads
    cache = 2 * language.num_hidden_layers * language.num_key_value_heads * head_dim * tokens * element
    resident["key/value cache"] = cache
    resident["frames and patches"] = _input_bytes(config, load)
    if load.device == "cuda":
        resident["CUDA context (assumed)"] = CUDA_CONTEXT
    return Account(resident, stage_bytes(config, load))


def visual_tokens(config: SpatialConfig, load: Load) -> int:
    """Tokens of the clip in the prompt."""
    vision = config.vision
    steps = -(-load.frames // vision.temporal_patch_size)
    return (
        steps * (load.height // vision.patch_size) * (load.width // vision.patch_size) // vision.spatial_merge_size**2
    )


def weight_bytes(config: SpatialConfig, load: Load) -> dict[str, int]:
    """Bytes of the weights by part of the model."""
    kept = None if not load.sampling else config.vggt.point_head
    lean = replace(config, vggt=replace(config.vggt, camera_head=None, depth_head=None, point_head=kept))
    model = _empty(lean, load.dtype)
    quantised = {
        f"{name}.weight": layer
        for name, layer in model.named_modules()
        if load.weights != "full" and isinstance(layer, nn.Linear) and is_quantised(name)
    }
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():  # a tied output layer counts once
        layer = quantised.get(name)
        size = parameter.numel() * load.dtype.itemsize if layer is None else _quantised_bytes(layer, load)
        part = _part(name)
        sizes[part] = sizes.get(part, 0) + size
    return sizes


@cache
def _empty(config: SpatialConfig, dtype: torch.dtype) -> SpatialMLLM:
    """The model without data."""
    with torch.device("meta"):
        return SpatialMLLM(config).to(dtype).eval()


def _quantised_bytes(layer: nn.Linear, load: Load) -> int:
    values = layer.in_features * layer.out_features
    if load.weights == "int4" and fits_int4(layer):
        return values // 2 + 2 * load.dtype.itemsize * values // GROUP  # packed pairs; scale and zero of each group
    return values + 4 * layer.out_features  # fp32 scale of each output


def _part(name: str) -> str:
    if "embed_tokens" in name or name.startswith("lm_head"):
        return "vocabulary"
    if "point_head" in name:
        return "point head"
    parts = {"visual": "vision tower", "model": "language model", "connector": "connector"}
    return parts.get(name.split(".", 1)[0], "spatial encoder")


def _input_bytes(config: SpatialConfig, load: Load) -> int:
    """The clip as fp32 frames and fp32 patches, both on the device, and in the weights' type where that is another."""
    frames = -(-load.frames // config.vision.temporal_patch_size) * config.vision.temporal_patch_size
    values = frames * 3 * load.height * load.width
    return 2 * values * 4


def stage_bytes(config: SpatialConfig, load: Load) -> dict[str, int]:
    """What is alive at the worst moment of each stage, without weights and cache."""
    few = replace(
        config,
        language=replace(config.language, num_hidden_layers=2),
        vision=replace(config.vision, depth=2, fullatt_block_indexes=(1,)),
        vggt=replace(
            config.vggt,
            depth=2,
            dino=replace(config.vggt.dino, depth=2),
            camera_head=None,
            depth_head=None,
            point_head=None,
        ),
    )
    model = _empty(few, load.dtype)
    steps = config.vision.temporal_patch_size
    S = -(-load.frames // steps) * steps
    rows, columns = load.height // config.vision.patch_size, load.width // config.vision.patch_size
    found: dict[str, int] = {}
    kept = 0  # bytes that earlier stages leave for later ones
    hidden = config.language.hidden_size * load.dtype.itemsize * visual_tokens(config, load)

    def measured(name: str, live: LiveBytes) -> None:
        found[name] = kept + live.peak + _unpacked(config, load, name)

    with torch.inference_mode(), FusedAttention():
        with LiveBytes() as live:
            _vision(model, S // steps * rows * columns)
        measured("vision tower", live)
        if config.geometry:
            kept = hidden
            with LiveBytes() as live:
                frames = torch.empty(1, S, 3, load.height, load.width, device="meta", dtype=load.dtype)
                tokens = model.vggt.aggregator(frames)
            measured("spatial encoder", live)
            patches = tokens.last()[0, :, tokens.patch_start :]  # [S, h*w, 2C]
            kept = hidden + patches.untyped_storage().nbytes()
            with LiveBytes() as live:
                grid = torch.tensor([[S // steps, rows, columns]])
                model.connector(model.connector.merge_clips([patches], grid))
            measured("connector", live)
        kept = 2 * hidden
        with LiveBytes() as live:
            _prefill(model, visual_tokens(config, load) + PROMPT_TOKENS)
        measured("language model", live)
    return found


def _unpacked(config: SpatialConfig, load: Load, stage: str) -> int:
    """8-bit weights are unpacked layer by layer to the activations' type: the stage's largest layer."""
    if load.weights != "int8":
        return 0
    language, width = config.language, config.connector_width
    largest = {
        "vision tower": 4 * config.vision.hidden_size * config.vision.spatial_merge_size**2 * config.vision.hidden_size,
        "spatial encoder": config.vggt.width * max(config.vggt.mlp_size, 3 * config.vggt.width),
        "connector": width * width,
        "language model": language.hidden_size * language.intermediate_size,
    }
    return largest[stage] * load.dtype.itemsize


def _vision(model: SpatialMLLM, patches: int) -> Tensor:
    """The vision tower's stages over [N, 1176] patches, full attention in the second block."""
    visual, vision = model.visual, model.config.vision
    width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    pixels = torch.empty(patches, width, device="meta", dtype=model.dtype)  # [N, 1176]
    x = visual.patch_embed(pixels)  # [N, C]
    x = torch.empty_like(x)  # windows put together
    angles = torch.empty(patches, vision.hidden_size // vision.num_heads, device="meta")  # [N, d]
    ends = torch.tensor([0, patches], dtype=torch.int32)
    for block in visual.blocks:
        x = block(x, cu_seqlens=ends, position_embeddings=(angles, angles))  # [N, C]
    merged: Tensor = visual.merger(x)  # [N/4, hidden]
    return merged


def _prefill(model: SpatialMLLM, tokens: int) -> Tensor:
    """The prompt through the language model, logits of the last token, softmax in fp32."""
    embeds = torch.empty(1, tokens, model.config.language.hidden_size, device="meta", dtype=model.dtype)  # [1, L, C]
    positions = torch.empty(3, 1, tokens, device="meta", dtype=torch.int64)  # [3, 1, L]
    hidden = model.model(inputs_embeds=embeds, position_ids=positions, use_cache=False).last_hidden_state  # [1, L, C]
    chances: Tensor = model.lm_head(hidden[:, -1:]).float().log_softmax(-1)  # [1, 1, V]
    return chances
