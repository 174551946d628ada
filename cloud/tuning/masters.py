"""AdamW that keeps what learns in fp32, whatever the model computes in.

A step at rate 7e-6 is smaller than the spacing of bfloat16 and would be rounded away. The forward pass is that of
inference: weights in one dtype and no autocast, under which VGGT's angles would differ.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cloud.spatial_mllm import SpatialMLLM
from cloud.tuning.recipe import Recipe, groups


class Masters:
    """The optimiser of a model. fp32 parameters are their own masters."""

    def __init__(self, model: SpatialMLLM, recipe: Recipe) -> None:
        self._recipe = recipe
        self._pairs: list[tuple[nn.Parameter, nn.Parameter]] = []  # of the model, and its master
        self._rates: list[float] = []
        prepared = []
        for rate, decay, parameters in groups(model, recipe):
            masters = [p if p.dtype == torch.float32 else nn.Parameter(p.detach().float()) for p in parameters]
            self._pairs += zip(parameters, masters, strict=True)
            self._rates.append(rate)
            prepared.append({"params": masters, "lr": rate, "weight_decay": decay})
        self._optimiser = torch.optim.AdamW(prepared, betas=(0.9, 0.999), eps=1e-8)

    @property
    def learning(self) -> list[nn.Parameter]:
        """What learns, in the model's own dtype."""
        return [parameter for parameter, _ in self._pairs]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Go a step at `factor` of the full rates, from the gradients in the model, and drop these."""
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = factor * rate
        for parameter, master in self._pairs:
            if master is not parameter and parameter.grad is not None:
                master.grad = parameter.grad.float()
        self._optimiser.step()
        for parameter, master in self._pairs:
            if master is not parameter:
                parameter.copy_(master)
                master.grad = None
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """What `restore` needs: the masters and the optimiser's moments."""
        return {"masters": [master.detach() for _, master in self._pairs], "optimiser": self._optimiser.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`. Raises ValueError or RuntimeError when it is of another model or recipe."""
        for (parameter, master), saved in zip(self._pairs, state["masters"], strict=True):
            master.copy_(saved)
            parameter.copy_(master)
        self._optimiser.load_state_dict(state["optimiser"])
