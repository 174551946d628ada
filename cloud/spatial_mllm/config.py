"""Sizes of Spatial-MLLM. The defaults are the full-size model: Qwen2.5-VL-3B with VGGT-1B.

`config.json` of a checkpoint holds the Qwen half (flat, as transformers 4.51 wrote it) and next to nothing of
VGGT: `checkpoint_sizes.py` reads what is missing from the shapes of the tensors.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.errors import BadInputError

SPATIAL_TYPE = "spatial-mllm"  # `model_type` of config.json
QWEN_TYPE = "qwen2_5_vl"


@dataclass(frozen=True)
class LanguageConfig:
    """Qwen2.5 language model: RMSNorm, grouped-query attention with q/k/v bias, SwiGLU, M-RoPE."""

    vocab_size: int = 151936
    hidden_size: int = 2048
    intermediate_size: int = 11008
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int = 2
    mrope_section: tuple[int, ...] = (16, 24, 24)  # rotary pairs that turn with time, height, width
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 128_000
    hidden_act: str = "silu"
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        head_dim, rest = divmod(self.hidden_size, self.num_attention_heads)
        if rest or self.num_attention_heads % self.num_key_value_heads:
            raise BadInputError(
                f"language model: hidden_size {self.hidden_size} must be a multiple of num_attention_heads "
                f"{self.num_attention_heads}, and that of num_key_value_heads {self.num_key_value_heads}"
            )
        if 2 * sum(self.mrope_section) != head_dim:
            raise BadInputError(
                f"language model: mrope_section {list(self.mrope_section)} must add up to half of the head "
                f"dimension, {head_dim} / 2"
            )


@dataclass(frozen=True)
class VisionConfig:
    """Qwen2.5-VL vision tower: windowed attention with a few blocks of full attention, 2x2 patch merger."""

    depth: int = 32
    hidden_size: int = 1280
    intermediate_size: int = 3420
    num_heads: int = 16
    out_hidden_size: int = 2048
    patch_size: int = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2
    in_channels: int = 3
    window_size: int = 112  # pixels
    fullatt_block_indexes: tuple[int, ...] = (7, 15, 23, 31)
    tokens_per_second: int = 2
    hidden_act: str = "silu"


@dataclass(frozen=True)
class DinoConfig:
    """DINOv2 trunk with registers. `position_grid` is the side of the square learned position table."""

    depth: int = 24
    num_heads: int = 16
    mlp_size: int = 4096
    register_tokens: int = 4
    position_grid: int = 37


@dataclass(frozen=True)
class CameraHeadConfig:
    """Camera head: a small trunk over the camera tokens, run `iterations` times."""

    depth: int = 4
    num_heads: int = 16
    mlp_size: int = 8192
    iterations: int = 4


@dataclass(frozen=True)
class DptHeadConfig:
    """Dense head: which aggregator layers it reads, channels of each of the four levels, fused channels."""

    layers: tuple[int, int, int, int] = (4, 11, 17, 23)
    level_channels: tuple[int, int, int, int] = (256, 512, 1024, 1024)
    features: int = 256
    hidden: int = 32


@dataclass(frozen=True)
class VggtConfig:
    """VGGT: trunk, alternating-attention aggregator, and the heads that the checkpoint brings (None: absent)."""

    width: int = 1024
    depth: int = 24  # pairs of one frame block and one global block
    num_heads: int = 16
    mlp_size: int = 4096
    patch_size: int = 14
    register_tokens: int = 4
    dino: DinoConfig = field(default_factory=DinoConfig)
    camera_head: CameraHeadConfig | None = field(default_factory=CameraHeadConfig)
    point_head: DptHeadConfig | None = field(default_factory=DptHeadConfig)
    depth_head: DptHeadConfig | None = field(default_factory=DptHeadConfig)

    def __post_init__(self) -> None:
        head_dim, rest = divmod(self.width, self.num_heads)
        if rest or head_dim % 4:
            raise BadInputError(
                f"VGGT: width {self.width} over {self.num_heads} heads must give a head dimension divisible by "
                "4, because 2-D RoPE turns pairs in each half"
            )
        if self.width % self.dino.num_heads:
            raise BadInputError(f"VGGT: width {self.width} is no multiple of {self.dino.num_heads} DINO heads")
        for name, head in (("point_head", self.point_head), ("depth_head", self.depth_head)):
            if head is not None and not all(0 <= layer < self.depth for layer in head.layers):
                raise BadInputError(f"VGGT: {name} reads layers {head.layers}, but there are {self.depth}")

    @property
    def output_width(self) -> int:
        """Channels of an aggregator layer: frame half and global half side by side."""
        return 2 * self.width


@dataclass(frozen=True)
class TokenIds:
    """Vocabulary entries with a meaning to the model."""

    vision_start: int = 151652
    vision_end: int = 151653
    image: int = 151655
    video: int = 151656
    bos: int = 151643
    eos: int = 151645
    pad: int = 151643


@dataclass(frozen=True)
class SpatialConfig:
    """The whole model. Without `geometry` it is plain Qwen2.5-VL, and `vggt` says nothing."""

    language: LanguageConfig = field(default_factory=LanguageConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    vggt: VggtConfig = field(default_factory=VggtConfig)
    tokens: TokenIds = field(default_factory=TokenIds)
    geometry: bool = True

    def __post_init__(self) -> None:
        if self.geometry and self.vision.patch_size != self.vggt.patch_size:
            raise BadInputError(
                f"both encoders must cut the same patches: the vision tower has {self.vision.patch_size} "
                f"pixels, VGGT {self.vggt.patch_size}"
            )
        if self.vision.out_hidden_size != self.language.hidden_size:
            raise BadInputError(
                f"the vision tower gives {self.vision.out_hidden_size} channels, the language model takes "
                f"{self.language.hidden_size}"
            )
        if outside := {k: v for k, v in asdict(self.tokens).items() if not 0 <= v < self.language.vocab_size}:
            raise BadInputError(f"token ids {outside} are outside the vocabulary of {self.language.vocab_size}")

    @property
    def connector_width(self) -> int:
        """Channels of one merged token before the connector's MLP: 2C * merge * merge * temporal patch."""
        merge = self.vision.spatial_merge_size
        return self.vggt.output_width * merge * merge * self.vision.temporal_patch_size

    def to_json(self) -> dict[str, Any]:
        """The published flat `config.json`; that of Qwen2.5-VL without geometry.

        `spatial_config` gets the fields of `HEAD_FIELDS` on top, which the reference ignores: head counts and
        layer choices that no tensor's shape tells.
        """
        language = asdict(self.language)
        section = list(language.pop("mrope_section"))
        vision = asdict(self.vision)
        vision["fullatt_block_indexes"] = list(vision["fullatt_block_indexes"])
        qwen = {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": QWEN_TYPE,
            **language,
            "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": section},
            "use_sliding_window": False,
            "image_token_id": self.tokens.image,
            "video_token_id": self.tokens.video,
            "vision_start_token_id": self.tokens.vision_start,
            "vision_end_token_id": self.tokens.vision_end,
            "bos_token_id": self.tokens.bos,
            "eos_token_id": self.tokens.eos,
            "pad_token_id": self.tokens.pad,
            "vision_config": {"model_type": "qwen2_5_vl", **vision},
        }
        if not self.geometry:
            return qwen
        return qwen | {
            "architectures": ["SpatialMLLMForConditionalGeneration"],
            "model_type": SPATIAL_TYPE,
            "spatial_config": _spatial_json(self.vggt),
            "connector_config": {"connector_type": "mlp_add", "spatial_embeds_layer_idx": -1},
        }


def _spatial_json(vggt: VggtConfig) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "model_type": "vggt_spatial_encoder",
        "img_size": vggt.dino.position_grid * vggt.patch_size,
        "patch_size": vggt.patch_size,
        "embed_dim": vggt.width,
        "dino_num_heads": vggt.dino.num_heads,
    }
    if vggt.camera_head is not None:
        stated["camera_num_heads"] = vggt.camera_head.num_heads
    dense = vggt.point_head or vggt.depth_head
    if dense is not None:
        stated["dpt_layers"] = list(dense.layers)
    return stated


# Optional fields of `spatial_config`, with a value of the right type.
HEAD_FIELDS = {"dino_num_heads": 16, "camera_num_heads": 16, "dpt_layers": (4, 11, 17, 23)}


def read_fields(source: Mapping[str, Any], defaults: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Fields of `source` that `defaults` names and that are not null, of the type that the default has.

    Raises:
        BadInputError: a field has another type; `place` says where.
    """
    fields: dict[str, Any] = {}
    for name, default in defaults.items():
        value = source.get(name)
        if value is None:
            continue
        if isinstance(default, tuple):
            fits = isinstance(value, list) and all(type(item) is int for item in value)
            value = tuple(value) if fits else value
        elif isinstance(default, float):
            fits = type(value) in (int, float)
        else:
            fits = type(value) is type(default)
        if not fits:
            kind = "list of integers" if isinstance(default, tuple) else type(default).__name__
            raise BadInputError(f"{place}: {name} must be of type {kind}, got {value!r}")
        fields[name] = value
    return fields


def parse_language(config: Mapping[str, Any]) -> LanguageConfig:
    """Language model fields of a flat `config.json`.

    Raises:
        BadInputError: a field is missing, or asks for something the reference does not do (sliding windows,
            scaled RoPE).
    """
    if config.get("use_sliding_window"):
        raise BadInputError("config.json: use_sliding_window must be false, as in every Spatial-MLLM checkpoint")
    defaults = {name: value for name, value in vars(LanguageConfig()).items() if name != "mrope_section"}
    fields = read_fields(config, defaults, "config.json")
    required = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    if missing := [name for name in required if name not in fields]:
        raise BadInputError(f"config.json lacks {', '.join(missing)}: it must be the flat Qwen2.5-VL form")
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, Mapping) or scaling.get("rope_type", scaling.get("type")) not in ("default", "mrope"):
        raise BadInputError(f"config.json: rope_scaling must be of type default or mrope, got {scaling!r}")
    section = read_fields(scaling, {"mrope_section": (1,)}, "config.json: rope_scaling")
    if not section:
        raise BadInputError("config.json: rope_scaling lacks mrope_section")
    return LanguageConfig(**fields, **section)


def parse_vision(config: Mapping[str, Any]) -> VisionConfig:
    """Vision tower fields of `config["vision_config"]` (absent ones keep the full-size default)."""
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping):
        raise BadInputError("config.json lacks vision_config: it must be the flat Qwen2.5-VL form")
    if vision.get("in_channels") is None:
        vision = {**vision, "in_channels": vision.get("in_chans")}  # the name in Qwen's own files
    return VisionConfig(**read_fields(vision, vars(VisionConfig()), "config.json: vision_config"))


def parse_tokens(config: Mapping[str, Any]) -> TokenIds:
    """Special token ids of a flat `config.json`."""
    stated = {f"{name}_token_id": value for name, value in vars(TokenIds()).items()}
    fields = read_fields(config, stated, "config.json")
    return TokenIds(**{name.removesuffix("_token_id"): value for name, value in fields.items()})
