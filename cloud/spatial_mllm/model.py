"""Spatial-MLLM: two vision encoders over the same frames, fused token by token in front of a language model.

Wu et al., "Spatial-MLLM: Boosting MLLM Capabilities in Visual-based Spatial Intelligence" (arXiv 2505.23747).
docs/spatial_mllm.md sets the code against the paper.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.cache_utils import Cache

from cloud.spatial_mllm.config import SpatialConfig
from cloud.spatial_mllm.connector import Connector
from cloud.spatial_mllm.generation import Constraint, Generated, Step, generate_greedy, greedy_steps
from cloud.spatial_mllm.qwen import restore_rotary, text_model, vision_tower
from cloud.spatial_mllm.rope_index import RopeIndex, rope_index
from cloud.spatial_mllm.spatial_encoder import SpatialEncoder, SpatialFeatures
from cloud.spatial_mllm.vggt.encoder import Vggt
from shared.errors import BadInputError, MissingPartError

log = logging.getLogger(__name__)

IGNORED_LABEL = -100


@dataclass(frozen=True)
class ModelInputs:
    """A batch of prompts with their frames. `processor.py` makes it from images and text.

    Attributes:
        input_ids: int64 [B, L], placeholders expanded, padded on the left.
        attention_mask: int64 [B, L], 0 at padding; None: no padding.
        pixel_values_videos: [sum(t*h*w), C*tm*p*p] normalised patches of all videos (1176 wide for patch 14).
        video_grid_thw: int64 [n_videos, 3] time steps, rows, columns in patches.
        video_tchw: per video [T, 3, H, W] in [0, 1]: the same frames, for VGGT.
        second_per_grid_ts: float [n_videos], seconds between time steps; None means 1.
        pixel_values, image_grid_thw, image_tchw: the same for still images, each doubled to two frames.
        video_embeds, image_embeds: [N, hidden] fused tokens of `encode` that are already there; patches and frames of
            that kind are then not looked at.
    """

    input_ids: Tensor
    attention_mask: Tensor | None = None
    pixel_values_videos: Tensor | None = None
    video_grid_thw: Tensor | None = None
    video_tchw: Sequence[Tensor] | None = None
    second_per_grid_ts: Tensor | None = None
    pixel_values: Tensor | None = None
    image_grid_thw: Tensor | None = None
    image_tchw: Sequence[Tensor] | None = None
    video_embeds: Tensor | None = None
    image_embeds: Tensor | None = None

    def followed_by(self, input_ids: Tensor, attention_mask: Tensor | None) -> "ModelInputs":
        """The same visuals with longer prompts, int64 [B, L'] both."""
        return replace(self, input_ids=input_ids, attention_mask=attention_mask)

    def to(self, device: torch.device | str) -> "ModelInputs":
        """The same batch on another device."""
        moved: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                moved[name] = value.to(device)
            else:
                moved[name] = None if value is None else [clip.to(device) for clip in value]
        return ModelInputs(**moved)


@dataclass(frozen=True)
class FusedVision:
    """What both encoders make of the clips of one kind.

    Attributes:
        visual_embeds: [N, hidden] of the Qwen vision tower, N = sum(t*h*w) / merge^2.
        spatial: VGGT's tokens; no group without geometry.
        connector_merged: [N, C'] spatial tokens before the connector's MLP; C' = 0 without geometry.
        connector_out: [N, hidden] after it; zeros without geometry.
        fused: [N, hidden], the sum that enters the language model.
    """

    visual_embeds: Tensor
    spatial: SpatialFeatures
    connector_merged: Tensor
    connector_out: Tensor
    fused: Tensor


@dataclass(frozen=True)
class SpatialOutput:
    """Result of a forward pass.

    Attributes:
        logits: [B, L, vocabulary].
        loss: mean cross-entropy of the labelled tokens, fp32 scalar; None without labels.
        last_hidden_state: [B, L, hidden].
        inputs_embeds: [B, L, hidden] with the fused tokens in place.
        position_ids: int64 [3, B, L].
        rope_deltas: int64 [B, 1].
        video, image: the encoders' output, for auxiliary losses and inspection; None when there was none.
    """

    logits: Tensor
    loss: Tensor | None
    last_hidden_state: Tensor
    inputs_embeds: Tensor
    position_ids: Tensor
    rope_deltas: Tensor
    video: FusedVision | None
    image: FusedVision | None


class SpatialMLLM(nn.Module):
    """The model. `SpatialMLLM(config)` has random weights; `from_folder` loads a checkpoint.

    All sub-modules are trainable (`freeze` excludes some) and none has dropout. Load in the dtype you want to run
    in instead of calling `.half()`: `from_folder(..., dtype=torch.bfloat16)`.
    """

    def __init__(self, config: SpatialConfig, attention: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        self.attention = attention
        self.end_token_ids: tuple[int, ...] = (config.tokens.eos,)
        self.folder: Path | None = None  # where the weights came from
        language = config.language
        self.visual = vision_tower(config, attention)
        self.model = text_model(config, attention)
        self.lm_head = nn.Linear(language.hidden_size, language.vocab_size, bias=False)
        if config.geometry:
            self.spatial_encoder = SpatialEncoder(config.vggt)
            self.connector = Connector(config)
        if language.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        else:
            nn.init.normal_(self.lm_head.weight, std=language.initializer_range)

    @staticmethod
    def from_folder(
        folder: str | Path,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        attention: str = "auto",
        geometry: bool = True,
        heads: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> "SpatialMLLM":
        """Load a checkpoint folder strictly. See `loader.load_model`."""
        from cloud.spatial_mllm.loader import load_model

        return load_model(
            folder,
            dtype=dtype,
            device=torch.device(device),
            attention=attention,
            geometry=geometry,
            heads=heads,
            progress=progress,
        )

    def save_folder(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors` under the reference's names. See `loader.save_model`."""
        from cloud.spatial_mllm.loader import save_model

        save_model(self, folder)

    @property
    def vggt(self) -> Vggt:
        """The spatial encoder's network, with its heads. Raises MissingPartError when there is no geometry."""
        if not self.config.geometry:
            raise MissingPartError("this needs the spatial encoder, and the model was loaded without geometry")
        return self.spatial_encoder.vggt_model

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.model.norm.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lm_head.weight.device

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """As in `nn.Module`, then undo what a cast did to the RoPE frequencies."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        restore_rotary(self.visual, self.model, self.device)
        return self

    def freeze(self, prefixes: Iterable[str]) -> None:
        """Exclude parameters from training by the start of their names, e.g. `["visual.blocks", "spatial_encoder"]`.

        Raises:
            BadInputError: a prefix names no parameter.
        """
        for prefix in prefixes:
            named = [p for name, p in self.named_parameters() if name.startswith(prefix)]
            if not named:
                raise BadInputError(f"nothing to freeze: no parameter's name starts with {prefix!r}")
            for parameter in named:
                parameter.requires_grad_(False)

    def encode(
        self, pixel_values: Tensor, grid_thw: Tensor, clips: Sequence[Tensor], keep: Collection[int] = ()
    ) -> FusedVision:
        """Run both encoders over clips and fuse them.

        Args:
            pixel_values: [sum(t*h*w), C*tm*p*p].
            grid_thw: int64 [n, 3].
            clips: per clip [T, 3, H, W] in [0, 1].
            keep: aggregator layers to keep besides the last (`self.vggt.head_layers` for the heads).
        """
        visual: Tensor = self.visual(pixel_values.to(self.dtype), grid_thw=grid_thw).pooler_output  # [N, hidden]
        if not self.config.geometry:
            nothing = visual.new_zeros(len(visual), 0)  # [N, 0]
            return FusedVision(visual, SpatialFeatures(()), nothing, torch.zeros_like(visual), visual)
        spatial: SpatialFeatures = self.spatial_encoder([clip.to(self.dtype) for clip in clips], keep)
        merged = self.connector.merge_clips(spatial.patches(), grid_thw)  # [N, C']
        connected = self.connector(merged)  # [N, hidden]
        return FusedVision(visual, spatial, merged, connected, visual + connected)

    def fuse(self, pixel_values: Tensor, grid_thw: Tensor, spatial: Sequence[Tensor]) -> Tensor:
        """Fused tokens [N, hidden] of clips whose spatial tokens are already there.

        Args:
            pixel_values: [sum(t*h*w), C*tm*p*p].
            grid_thw: int64 [n, 3].
            spatial: per clip the aggregator's last layer without special tokens, [S, h*w, 2C].
        """
        visual: Tensor = self.visual(pixel_values.to(self.dtype), grid_thw=grid_thw).pooler_output  # [N, hidden]
        connected: Tensor = self.connector(self.connector.merge_clips(spatial, grid_thw))  # [N, hidden]
        return visual + connected

    def encoded(self, inputs: ModelInputs) -> ModelInputs:
        """The same batch with its visuals' fused tokens in place of patches and frames."""
        image = self._encode_kind("image", inputs.pixel_values, inputs.image_grid_thw, inputs.image_tchw, ())
        video = self._encode_kind("video", inputs.pixel_values_videos, inputs.video_grid_thw, inputs.video_tchw, ())
        return replace(
            inputs,
            pixel_values=None,
            image_tchw=None,
            pixel_values_videos=None,
            video_tchw=None,
            image_embeds=inputs.image_embeds if image is None else image.fused,
            video_embeds=inputs.video_embeds if video is None else video.fused,
        )

    def run(
        self,
        inputs: ModelInputs,
        *,
        labels: Tensor | None = None,
        keep_layers: Collection[int] = (),
        past_key_values: Cache | None = None,
        last_only: bool = False,
    ) -> SpatialOutput:
        """Forward pass over whole prompts.

        Args:
            inputs: the batch.
            labels: int64 [B, L]; -100 is ignored. Shifted here: label i is predicted from the tokens before it.
            keep_layers: aggregator layers to return in `output.video.spatial`.
            past_key_values: an empty cache to fill.
            last_only: logits of the last position alone, [B, 1, vocabulary]: those of a whole prompt can outweigh
                everything else.

        Raises:
            BadInputError: placeholders, grids and frames do not match.
        """
        ids = inputs.input_ids  # [B, L]
        embeds = self.model.embed_tokens(ids)  # [B, L, hidden]
        tokens = self.config.tokens
        image = video = None
        if inputs.image_embeds is None:
            image = self._encode_kind(
                "image", inputs.pixel_values, inputs.image_grid_thw, inputs.image_tchw, keep_layers
            )
        if inputs.video_embeds is None:
            video = self._encode_kind(
                "video", inputs.pixel_values_videos, inputs.video_grid_thw, inputs.video_tchw, keep_layers
            )
        for kind, token, vision, ready in (
            ("image", tokens.image, image, inputs.image_embeds),
            ("video", tokens.video, video, inputs.video_embeds),
        ):
            places = ids == token  # [B, L]
            fused = ready if vision is None else vision.fused  # [N, hidden]
            count, expected = int(places.sum()), 0 if fused is None else fused.shape[0]
            if count != expected:
                raise BadInputError(
                    f"{count} {kind} placeholders in the prompts, {expected} {kind} tokens in the frames"
                )
            if fused is not None:
                embeds = embeds.masked_scatter(places[..., None], fused.to(embeds.dtype))  # [B, L, hidden]
        positions = self.positions(inputs)
        hidden = self.model(
            inputs_embeds=embeds,
            position_ids=positions.position_ids,
            attention_mask=inputs.attention_mask,
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
        ).last_hidden_state  # [B, L, hidden]
        logits = self.lm_head(hidden[:, -1:] if last_only else hidden)  # [B, L or 1, V]
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL
            )  # []
        return SpatialOutput(logits, loss, hidden, embeds, positions.position_ids, positions.rope_deltas, video, image)

    def _encode_kind(
        self,
        kind: str,
        pixel_values: Tensor | None,
        grid_thw: Tensor | None,
        clips: Sequence[Tensor] | None,
        keep: Collection[int],
    ) -> FusedVision | None:
        if pixel_values is None and not clips:
            return None
        if pixel_values is None or grid_thw is None or not clips:
            raise BadInputError(f"{kind}s need all three: patches, grid_thw and tchw frames")
        return self.encode(pixel_values, grid_thw, clips, keep)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        video_tchw: Sequence[Tensor] | None = None,
        second_per_grid_ts: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        image_tchw: Sequence[Tensor] | None = None,
        video_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        keep_layers: Collection[int] = (),
    ) -> SpatialOutput:
        """`run` with the reference's argument names; see `ModelInputs` for the shapes."""
        inputs = ModelInputs(
            input_ids,
            attention_mask,
            pixel_values_videos,
            video_grid_thw,
            video_tchw,
            second_per_grid_ts,
            pixel_values,
            image_grid_thw,
            image_tchw,
            video_embeds,
            image_embeds,
        )
        return self.run(inputs, labels=labels, keep_layers=keep_layers)

    def positions(self, inputs: ModelInputs) -> RopeIndex:
        """M-RoPE positions of the prompts."""
        return rope_index(
            inputs.input_ids,
            inputs.attention_mask,
            inputs.image_grid_thw,
            inputs.video_grid_thw,
            inputs.second_per_grid_ts,
            tokens=self.config.tokens,
            merge_size=self.config.vision.spatial_merge_size,
            tokens_per_second=self.config.vision.tokens_per_second,
        )

    def decode(self, ids: Tensor, attention_mask: Tensor | None, position_ids: Tensor, cache: Cache) -> Tensor:
        """One decoding step over a filled cache.

        Args:
            ids: int64 [B, 1], the newest token.
            attention_mask: int64 [B, cached + 1]; None: no padding.
            position_ids: int64 [3, B, 1].
            cache: keys and values so far; extended in place.

        Returns:
            logits [B, 1, vocabulary].
        """
        hidden = self.model(
            inputs_embeds=self.model.embed_tokens(ids),
            position_ids=position_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state  # [B, 1, hidden]
        logits: Tensor = self.lm_head(hidden)  # [B, 1, V]
        return logits

    def generate(
        self,
        inputs: ModelInputs,
        *,
        max_new_tokens: int,
        eos_token_ids: Collection[int] | None = None,
        return_logits: bool = False,
        constraint: Constraint | None = None,
        cached: bool = True,
    ) -> Generated:
        """Greedy answers, see `generation.generate_greedy`; they end at the checkpoint's `end_token_ids`."""
        return generate_greedy(
            self,
            inputs,
            max_new_tokens=max_new_tokens,
            eos_token_ids=self.end_token_ids if eos_token_ids is None else eos_token_ids,
            pad_token_id=self.config.tokens.pad,
            return_logits=return_logits,
            constraint=constraint,
            cached=cached,
        )

    def stream(
        self, inputs: ModelInputs, *, max_new_tokens: int, constraint: Constraint | None = None
    ) -> Iterator[Step]:
        """The same answers token by token, see `generation.greedy_steps`."""
        return greedy_steps(
            self,
            inputs,
            max_new_tokens=max_new_tokens,
            eos_token_ids=self.end_token_ids,
            pad_token_id=self.config.tokens.pad,
            constraint=constraint,
        )
