"""Greedy decoding with a key/value cache, for batches with left padding.

The published settings (temperature 0.1, top_p 0.001) keep one candidate at nearly every step: greedy is what they
compute, without the noise.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from cloud.spatial_mllm.kv_cache import answer_cache
from shared.errors import BadInputError

if TYPE_CHECKING:
    from cloud.spatial_mllm.model import ModelInputs, SpatialMLLM


class Constraint(Protocol):
    """What the rows of a batch may say next. `cloud/constraint.py` keeps answers to a JSON schema."""

    def allowed(self, device: torch.device) -> Tensor:
        """Bool [B, vocabulary]: tokens that each row may go on with; at least one."""
        ...

    def choose(self, free: Tensor) -> Tensor:
        """Int64 [B]: the next token of each row, from fp32 logits [B, vocabulary] that are -inf where not allowed."""
        ...

    def take(self, chosen: Tensor, ended: Tensor) -> None:
        """The rows go on with `chosen`, int64 [B]; those in `ended`, bool [B], had ended before."""
        ...


@dataclass(frozen=True)
class Step:
    """One new token of each row.

    Attributes:
        ids: int64 [B]; padding in rows that have ended before.
        log_probabilities: fp32 [B], natural log-softmax of the chosen tokens over the whole vocabulary, whatever a
            constraint allows; 0 at padding.
        logits: fp32 [B, vocabulary].
        ended: bool [B], rows whose end token has come, in this step or before.
    """

    ids: Tensor
    log_probabilities: Tensor
    logits: Tensor
    ended: Tensor


@dataclass(frozen=True)
class Generated:
    """New tokens of each row.

    Attributes:
        ids: int64 [B, n]; after its end token a row holds padding.
        log_probabilities: fp32 [B, n], as in `Step`.
        logits: fp32 [B, n, vocabulary], or None when not asked for.
    """

    ids: Tensor
    log_probabilities: Tensor
    logits: Tensor | None


def greedy_steps(
    model: "SpatialMLLM",
    inputs: "ModelInputs",
    *,
    max_new_tokens: int,
    eos_token_ids: Collection[int],
    pad_token_id: int,
    constraint: Constraint | None = None,
    cached: bool = True,
) -> Iterator[Step]:
    """Extend every prompt by at most `max_new_tokens` tokens, one a step; ends when all rows have ended.

    Args:
        model: the model; its training mode is irrelevant, nothing in it drops out.
        inputs: prompts padded on the LEFT, with their frames.
        max_new_tokens: upper bound, at least 1.
        eos_token_ids: tokens that end a row; empty means decode to the bound.
        pad_token_id: what an ended row is filled with.
        constraint: what may be said; None allows everything.
        cached: False computes the whole sequence in each step: the slow way that the tests hold the cache to.

    Raises:
        BadInputError: a row is padded on the right, or the bound is below 1.
    """
    if max_new_tokens < 1:
        raise BadInputError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if inputs.attention_mask is not None and not bool(inputs.attention_mask[:, -1].all()):
        raise BadInputError("prompts must be padded on the left: the last token of some row is padding")
    return _steps(model, inputs, max_new_tokens, eos_token_ids, pad_token_id, constraint, cached)


def _steps(
    model: "SpatialMLLM",
    inputs: "ModelInputs",
    max_new_tokens: int,
    eos_token_ids: Collection[int],
    pad_token_id: int,
    constraint: Constraint | None,
    cached: bool,
) -> Iterator[Step]:
    B, L = inputs.input_ids.shape
    device = inputs.input_ids.device
    mask = inputs.attention_mask  # [B, L]; None without padding, which attention handles faster
    if mask is not None and bool(mask.all()):
        mask = None
        inputs = inputs.followed_by(inputs.input_ids, None)
    ended = torch.zeros(B, dtype=torch.bool, device=device)  # [B]
    ends = torch.tensor(sorted(eos_token_ids), dtype=torch.int64, device=device)  # [n_eos]
    cache = answer_cache(model.config.language.num_hidden_layers) if cached else None
    with torch.inference_mode():
        if cache is None:
            inputs = model.encoded(inputs)
        out = model.run(inputs, past_key_values=cache, last_only=True)
        logits = out.logits[:, -1].float()  # [B, V]
        deltas, ids = out.rope_deltas, inputs.input_ids  # [B, 1], [B, L]
        del out
    for step in range(max_new_tokens):
        with torch.inference_mode():
            if constraint is None:
                chosen = logits.argmax(-1)  # [B]
            else:
                chosen = constraint.choose(logits.masked_fill(~constraint.allowed(device), -torch.inf))  # [B]
            surety = logits.log_softmax(-1).gather(-1, chosen[:, None])[:, 0]  # [B]
            before = ended
            chosen = torch.where(before, torch.full_like(chosen, pad_token_id), chosen)  # [B]
            ended = before | torch.isin(chosen, ends)  # [B]
            if constraint is not None:
                constraint.take(chosen, before)
        yield Step(chosen, surety.masked_fill(before, 0.0), logits, ended)
        if step + 1 == max_new_tokens or bool(ended.all()):
            return
        with torch.inference_mode():
            if mask is not None:
                mask = torch.cat((mask, mask.new_ones(B, 1)), dim=1)  # [B, L + step + 1]
            if cache is None:
                ids = torch.cat((ids, chosen[:, None]), dim=1)  # [B, L + step + 1]
                longer = inputs.followed_by(ids, mask)
                logits = model.run(longer, last_only=True).logits[:, -1].float()  # [B, V]
            else:
                positions = (deltas + L + step).expand(3, B, 1)  # [3, B, 1]
                logits = model.decode(chosen[:, None], mask, positions, cache)[:, -1].float()  # [B, V]


def generate_greedy(
    model: "SpatialMLLM",
    inputs: "ModelInputs",
    *,
    max_new_tokens: int,
    eos_token_ids: Collection[int],
    pad_token_id: int,
    return_logits: bool = False,
    constraint: Constraint | None = None,
    cached: bool = True,
) -> Generated:
    """All steps of `greedy_steps` together; `return_logits` keeps the logits of each."""
    ids: list[Tensor] = []
    log_probabilities: list[Tensor] = []
    logits: list[Tensor] = []
    for step in greedy_steps(
        model,
        inputs,
        max_new_tokens=max_new_tokens,
        eos_token_ids=eos_token_ids,
        pad_token_id=pad_token_id,
        constraint=constraint,
        cached=cached,
    ):
        ids.append(step.ids)
        log_probabilities.append(step.log_probabilities)
        if return_logits:
            logits.append(step.logits)
    return Generated(
        torch.stack(ids, dim=1),
        torch.stack(log_probabilities, dim=1),
        torch.stack(logits, dim=1) if return_logits else None,
    )
