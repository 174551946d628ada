"""Write the learner's averaged weights as a checkpoint folder of the published layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tokenizers import Tokenizer

from cloud.spatial_mllm.processor import Processor
from cloud.training.learner import Learner

CARD_NAME = "card.json"


def export_checkpoint(folder: Path, learner: Learner, tokenizer: Tokenizer, card: dict[str, Any]) -> None:
    """Put config.json, model.safetensors, tokenizer.json, and the other files of a checkpoint there, with card.json.

    Each file is replaced in one step, the weights first.
    """
    staging = Path(mkdtemp(prefix=".export-", dir=folder))
    try:
        with learner.averaged_weights():
            learner.model.save_folder(staging)
        tokenizer.save(str(staging / "tokenizer.json"))
        tokens = learner.model.config.tokens
        generation = {"do_sample": False, "eos_token_id": tokens.eos, "pad_token_id": tokens.pad, "max_new_tokens": 32}
        (staging / "generation_config.json").write_text(_pretty(generation), encoding="utf-8")
        Processor(learner.model.config, learner.plan.pixels).save_folder(staging)
        (staging / CARD_NAME).write_text(_pretty(card), encoding="utf-8")
        for path in sorted(staging.iterdir(), key=lambda path: path.suffix != ".safetensors"):
            path.chmod(0o644)  # safetensors makes its file private
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(staging)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
