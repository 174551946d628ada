"""What `crustwatch cloud train --engine features|light` does."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from cloud.readout.engine import READOUTS, head_path, load_base
from cloud.readout.head import save_head
from cloud.readout.training import HeadReport, train_head
from cloud.training.options import SmallOptions
from cloud.training.plan import TRAINING_SEEDS, VALIDATION_SEED
from cloud.training.render_missing import render_missing, stages
from cloud.training.store import ClipStore, training_shards, validation_shards
from shared.errors import BadInputError
from shared.output_folder import output_folder
from shared.task import load_task


def run_readout(
    model: str, kind: str, out: Path, small: SmallOptions, clips: int, seed: int, threads: int, steps: int | None
) -> None:
    """Render what is missing, train the head of engine `kind` for `small.minutes` or `steps`, write it into `out`.

    Raises BadInputError before the work: an unknown `kind`, clips that are not whole shards, an `out` that cannot be
    written; and what `load_base` raises.
    """
    training, validation = training_shards(clips), validation_shards()
    if kind not in READOUTS:
        raise BadInputError(f"engine {kind!r} has no head of its own: choose one of {', '.join(READOUTS)}")
    task = load_task("pizza")
    base = load_base(model, kind, "cpu", "float32", threads)
    store = ClipStore(small.cache, base.processor.pixels, task)
    path = head_path(out, kind)
    output_folder(out)
    output_folder(path.parent)
    console = Console(stderr=True)
    with stages(console) as progress:
        render_missing(progress, store, (*validation, *training), small.renderers)
        bar = progress.add_task("learning", total=1.0, state="computing tokens")

        def watch(now: HeadReport) -> None:
            progress.update(bar, completed=now.progress, state=f"step {now.step}, loss {now.loss:.3f}")

        head, found, taken = train_head(
            base.source,
            store,
            training,
            validation,
            len(task.labels),
            minutes=small.minutes,
            seed=seed,
            watch=watch,
            steps=steps,
        )
    card = {
        "data": "rendered",
        "base": base.name,
        "training_seeds": [TRAINING_SEEDS[0], training[-1].seed],
        "training_clips": clips,
        "validation_seed": VALIDATION_SEED,
        "validation_doneness": found._asdict(),
        "minutes": None if steps else small.minutes,
        "steps": taken,
        "seed": seed,
        "torch_threads": torch.get_num_threads(),
    }
    save_head(path, head, kind, base.belongs, task.labels, card)
    size = path.stat().st_size / 1e3
    console.print(f"{path}: {size:.0f} kB, {taken} steps, doneness on validation bakes {found}", soft_wrap=True)
