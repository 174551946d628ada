"""LoRA by peft: small matrices beside the language model's, the merger's and the connector's, folded in at the end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from cloud.spatial_mllm import SpatialMLLM
from cloud.tuning.recipe import Recipe

TARGETS = re.compile(
    r"model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)|visual\.merger\.mlp\.[02]|connector\.mlp\.[02]"
)
ADAPTER_NAME = "adapter.safetensors"


class Adapters:
    """The adapters of one model. While they exist, nothing but they learns."""

    def __init__(self, model: SpatialMLLM, recipe: Recipe) -> None:
        """Put them in."""
        from peft import LoraConfig, LoraModel
        from peft.tuners.lora import torchao

        vars(torchao)["is_torchao_available"] = lambda: False  # weights are plain here: importing it only warns
        named = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        config = LoraConfig(
            r=recipe.adapter_rank,
            lora_alpha=recipe.adapter_alpha,  # type: ignore[arg-type]  # peft's hint says int, a share works
            lora_dropout=0.0,
            target_modules=[name for name in named if TARGETS.fullmatch(name)],
        )
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self._model = model
        self._lora: Any = LoraModel(model, config, "default")

    def save(self, path: Path) -> None:
        """Write their weights alone, a few MB, under the names of the layers that they belong to."""
        learned = {name: p.detach().cpu().contiguous() for name, p in self._model.named_parameters() if p.requires_grad}
        save_file({name.replace(".default", ""): tensor for name, tensor in learned.items()}, path, {"format": "pt"})

    def fold(self) -> None:
        """Add them to the weights that they stand beside: the model is an ordinary one again."""
        self._lora.merge_and_unload()
