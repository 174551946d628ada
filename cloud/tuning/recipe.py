"""The recipe of a fine-tuning. Its defaults are the reference's (scripts/training of Spatial-MLLM)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from torch import nn

from cloud.spatial_mllm import SpatialMLLM

FROZEN = ("visual.patch_embed", "visual.blocks", "spatial_encoder")
"""The reference keeps both encoders as they are; the vision tower's merger learns."""
BRIDGES = ("visual.merger", "connector")
"""Between encoders and language model: they learn at a rate of their own."""


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is fine-tuned.

    The reference: 6 processes x 1 example x 8 accumulated, one epoch over 135,000 examples of 16 frames, AdamW.
    """

    rate: float = 7e-6  # of the language model
    bridge_rate: float = 2e-5  # of connector and merger
    weight_decay: float = 0.1  # of matrices; biases and norms have none
    warmup: float = 0.03  # share of the steps
    clip_norm: float = 1.0
    epochs: float = 1.0
    batch: int = 1  # examples at once in a process
    accumulate: int = 8  # batches a step
    longest: int = 8192  # tokens of an example
    adapter_rank: int = 0  # 0: all weights that learn; otherwise LoRA of this rank
    adapter_alpha: float = 32.0
    recompute: bool = False  # activations of the language model: a third more time for a fraction of the memory
    seed: int = 42  # order of the examples
    saves: int = 16  # of the state, over the whole run

    def steps(self, examples: int, processes: int) -> int:
        """Steps of the whole run."""
        return max(1, math.ceil(self.epochs * examples / (self.batch * self.accumulate * processes)))

    def factor(self, step: int, steps: int) -> float:
        """Share of the full rate at `step`: linear warm-up, then half a cosine to nothing."""
        warm = math.ceil(self.warmup * steps)
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    def describe(self) -> dict[str, object]:
        """The recipe as plain values."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]  # builtins of a dataclass are a dict


ADAPTERS = Recipe(rate=1e-4, bridge_rate=1e-4, weight_decay=0.0, adapter_rank=16, recompute=True)
"""LoRA for one consumer GPU."""


def groups(model: SpatialMLLM, recipe: Recipe) -> Iterator[tuple[float, float, list[nn.Parameter]]]:
    """(rate, weight decay, parameters) of what learns; none is empty and each parameter is in one."""
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = recipe.bridge_rate if name.startswith(BRIDGES) else recipe.rate
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            found.setdefault((rate, decay), []).append(parameter)
    yield from ((rate, decay, parameters) for (rate, decay), parameters in found.items())
