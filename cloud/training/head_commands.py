"""What `crustwatch cloud train --heads` does."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console

from cloud.loading import checkpoint_folder
from cloud.readout.engine import FOLDER
from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.processor import Processor
from cloud.training.denormals import denormals_flushed
from cloud.training.export import CARD_NAME
from cloud.training.options import SmallOptions
from cloud.training.render_missing import render_missing, stages
from cloud.training.spatial_heads import errors, train_heads
from cloud.training.store import ClipStore, training_shards, validation_shards
from shared.atomic_file import replace_file
from shared.output_folder import output_folder
from shared.task import load_task

COPIED = ("tokenizer.json", "generation_config.json", "preprocessor_config.json", CARD_NAME)


@denormals_flushed()
def run_heads(
    model: str, out: Path, small: SmallOptions, clips: int, seed: int, threads: int, steps: int | None
) -> None:
    """Render what is missing, train the heads for `small.minutes` or `steps`, write the checkpoint with them to `out`.

    Raises BadInputError for a number of clips that is not whole shards or an `out` that cannot be written,
    MissingPartError without geometry, all before the work.
    """
    training, validation = training_shards(clips), validation_shards()
    torch.set_num_threads(threads)
    folder = checkpoint_folder(model)
    whole = SpatialMLLM.from_folder(folder, dtype=torch.float32, heads=False)
    whole.vggt  # noqa: B018 - raises without geometry, before anything is rendered
    pixels = Processor.from_folder(folder, whole.config).pixels
    store = ClipStore(small.cache, pixels, load_task("pizza"))
    output_folder(out)
    console = Console(stderr=True)
    with stages(console) as progress:
        render_missing(progress, store, (*validation, *training), small.renderers)
        bar = progress.add_task("learning", total=1.0, state="")

        def watch(done: float, step: int, loss: float) -> None:
            progress.update(bar, completed=done, state=f"step {step}, loss {loss:.3f}")

        taken = train_heads(whole, store, training, minutes=small.minutes, seed=seed, watch=watch, steps=steps)
        progress.update(bar, completed=1.0)
    found = errors(whole, store, validation, training[0])
    for name in COPIED:
        if (folder / name).exists() and (out / name).resolve() != (folder / name).resolve():
            shutil.copyfile(folder / name, out / name)
    if (folder / FOLDER).is_dir() and (out / FOLDER).resolve() != (folder / FOLDER).resolve():
        shutil.copytree(folder / FOLDER, out / FOLDER, dirs_exist_ok=True)  # the encoder that they read stays
    whole.save_folder(out)
    card = json.loads((out / CARD_NAME).read_text(encoding="utf-8")) if (out / CARD_NAME).exists() else {}
    card["heads"] = {"data": "rendered", "training_clips": clips, "seed": seed, "steps": taken, **asdict(found)}
    replace_file(out / CARD_NAME, (json.dumps(card, indent=2, sort_keys=True) + "\n").encode())
    console.print(f"{out}: camera, depth and point head, {taken} steps; {found}", soft_wrap=True)
