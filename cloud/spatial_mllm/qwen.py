"""The Qwen2.5-VL parts, taken from transformers as plain modules.

Only the vision tower and the text model are used, each built from explicit sizes. Composition, positions, loading
and generation are ours, because transformers 5.23.0 (a) renames checkpoint keys by class name, so that a subclass
silently gets a randomly initialised language model, (b) leaves non-persistent buffers unset after a load, and
(c) computes other M-RoPE positions than the checkpoints were trained with.
"""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig, Qwen2_5_VLVisionConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLRotaryEmbedding,
    Qwen2_5_VLTextModel,
    Qwen2_5_VLVisionRotaryEmbedding,
)

from cloud.spatial_mllm.config import SpatialConfig
from shared.errors import BadInputError, MissingPartError

ATTENTION_BACKENDS = ("sdpa", "eager", "flash_attention_2")


def attention_backend(wanted: str, device: torch.device, dtype: torch.dtype) -> str:
    """Attention of the Qwen parts: `wanted`, or for "auto" the fastest that this host can run.

    flash-attn has no wheel on the package index, so it is never required; it needs CUDA and a 16-bit dtype.

    Raises:
        BadInputError: an unknown name. MissingPartError: flash-attn was asked for and cannot run here.
    """
    if wanted not in ("auto", *ATTENTION_BACKENDS):
        raise BadInputError(f"attention backend {wanted!r}: choose auto or one of {', '.join(ATTENTION_BACKENDS)}")
    if wanted not in ("auto", "flash_attention_2"):
        return wanted
    fits = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    if fits and find_spec("flash_attn") is not None:
        return "flash_attention_2"
    if wanted == "auto":
        return "sdpa"
    raise MissingPartError(
        f"flash_attention_2 needs CUDA, a 16-bit dtype and flash-attn (pip install 'crustwatch[gpu]'); here: {device}, "
        f"{dtype}, flash-attn {'installed' if find_spec('flash_attn') else 'not installed'}"
    )


class PatchEmbed(nn.Module):
    """The tower's patch embedding as the product that it is: its 3-D convolution has one place to be in each patch.

    The convolution itself takes twice as long on a CPU, and in some releases of torch far longer on a GPU.
    """

    def __init__(self, proj: nn.Conv3d) -> None:
        super().__init__()
        self.proj = proj  # keeps the checkpoint's names and shapes

    def forward(self, patches: Tensor) -> Tensor:
        """[N, C*tm*p*p] -> [N, width]."""
        weight = self.proj.weight.flatten(1)  # [width, C*tm*p*p]
        return F.linear(patches.to(weight.dtype), weight)  # [N, width]


def vision_tower(config: SpatialConfig, attention: str) -> Qwen2_5_VisionTransformerPretrainedModel:
    """Qwen2.5-VL vision tower with random weights."""
    vision = config.vision
    sizes = Qwen2_5_VLVisionConfig(
        depth=vision.depth,
        hidden_size=vision.hidden_size,
        hidden_act=vision.hidden_act,
        intermediate_size=vision.intermediate_size,
        num_heads=vision.num_heads,
        in_channels=vision.in_channels,
        patch_size=vision.patch_size,
        spatial_merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        tokens_per_second=vision.tokens_per_second,
        window_size=vision.window_size,
        out_hidden_size=vision.out_hidden_size,
        fullatt_block_indexes=list(vision.fullatt_block_indexes),
    )
    sizes._attn_implementation = attention
    tower = Qwen2_5_VisionTransformerPretrainedModel(sizes)
    tower.patch_embed = PatchEmbed(tower.patch_embed.proj)  # type: ignore[assignment]
    return tower


def text_model(config: SpatialConfig, attention: str) -> Qwen2_5_VLTextModel:
    """Qwen2.5 decoder without its output layer, with random weights."""
    language = config.language
    sizes = Qwen2_5_VLTextConfig(
        vocab_size=language.vocab_size,
        hidden_size=language.hidden_size,
        intermediate_size=language.intermediate_size,
        num_hidden_layers=language.num_hidden_layers,
        num_attention_heads=language.num_attention_heads,
        num_key_value_heads=language.num_key_value_heads,
        hidden_act=language.hidden_act,
        max_position_embeddings=language.max_position_embeddings,
        initializer_range=language.initializer_range,
        rms_norm_eps=language.rms_norm_eps,
        use_sliding_window=False,
        bos_token_id=config.tokens.bos,
        eos_token_id=config.tokens.eos,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": language.rope_theta,
            "mrope_section": list(language.mrope_section),
        },
    )
    sizes._attn_implementation = attention
    return Qwen2_5_VLTextModel(sizes)


def restore_rotary(visual: nn.Module, text: nn.Module, device: torch.device) -> None:
    """Recompute the inverse RoPE frequencies in fp32.

    They are non-persistent buffers: a load on the meta device leaves them empty, and `module.to(bfloat16)` rounds
    them, which bends every position.
    """
    with torch.device(device):
        visual.rotary_pos_emb = Qwen2_5_VLVisionRotaryEmbedding(visual.config)  # type: ignore[arg-type]
        text.rotary_emb = Qwen2_5_VLRotaryEmbedding(text.config)  # type: ignore[arg-type]
