"""Greedy decoding with a key/value cache, for batches with left padding.

The published settings (temperature 0.1, top_p 0.001) keep one candidate at nearly every step: greedy is what they
compute, without the noise.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from shared.errors import BadInputError

if TYPE_CHECKING:
    from cloud.spatial_mllm.model import ModelInputs, SpatialMLLM


@dataclass(frozen=True)
class Generated:
    """New tokens of each row.

    Attributes:
        ids: int64 [B, n]; after its end token a row holds padding.
        log_probabilities: fp32 [B, n], natural log-softmax of each chosen token; 0 at padding.
        logits: fp32 [B, n, vocabulary], or None when not asked for.
    """

    ids: Tensor
    log_probabilities: Tensor
    logits: Tensor | None


@torch.inference_mode()
def generate_greedy(
    model: "SpatialMLLM",
    inputs: "ModelInputs",
    *,
    max_new_tokens: int,
    eos_token_ids: Collection[int],
    pad_token_id: int,
    return_logits: bool = False,
) -> Generated:
    """Extend every prompt by at most `max_new_tokens` tokens; stops when all rows have ended.

    Args:
        model: the model; its training mode is irrelevant, nothing in it drops out.
        inputs: prompts padded on the LEFT, with their frames.
        max_new_tokens: upper bound, at least 1.
        eos_token_ids: tokens that end a row; empty means decode to the bound.
        pad_token_id: what an ended row is filled with.
        return_logits: keep the logits of each step.

    Raises:
        BadInputError: a row is padded on the right, or the bound is below 1.
    """
    if max_new_tokens < 1:
        raise BadInputError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if inputs.attention_mask is not None and not bool(inputs.attention_mask[:, -1].all()):
        raise BadInputError("prompts must be padded on the left: the last token of some row is padding")
    cache = DynamicCache()
    out = model.run(inputs, past_key_values=cache)
    B, L = inputs.input_ids.shape
    device = inputs.input_ids.device
    mask = inputs.attention_mask if inputs.attention_mask is not None else torch.ones_like(inputs.input_ids)  # [B, L]
    step_logits = out.logits[:, -1]  # [B, V]
    ended = torch.zeros(B, dtype=torch.bool, device=device)  # [B]
    ends = torch.tensor(sorted(eos_token_ids), dtype=torch.int64, device=device)  # [n_eos]
    ids: list[Tensor] = []
    log_probabilities: list[Tensor] = []
    kept_logits: list[Tensor] = []
    for step in range(max_new_tokens):
        if return_logits:
            kept_logits.append(step_logits.float())
        chosen = step_logits.argmax(-1)  # [B]
        surety = step_logits.float().log_softmax(-1).gather(-1, chosen[:, None])[:, 0]  # [B]
        log_probabilities.append(surety.masked_fill(ended, 0.0))
        chosen = torch.where(ended, torch.full_like(chosen, pad_token_id), chosen)  # [B]
        ids.append(chosen)
        ended = ended | torch.isin(chosen, ends)  # [B]
        if step + 1 == max_new_tokens or bool(ended.all()):
            break
        mask = torch.cat((mask, mask.new_ones(B, 1)), dim=1)  # [B, L + step + 1]
        positions = (out.rope_deltas + L + step).expand(3, B, 1)  # [3, B, 1]
        step_logits = model.decode(chosen[:, None], mask, positions, cache)[:, -1]  # [B, V]
    return Generated(
        torch.stack(ids, dim=1),
        torch.stack(log_probabilities, dim=1),
        torch.stack(kept_logits, dim=1) if return_logits else None,
    )
