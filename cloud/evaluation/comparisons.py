"""What `crustwatch cloud eval baselines` and `eval ablations` do."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from cloud.evaluation.ablations import chart, read_runs, table
from cloud.evaluation.baselines import baselines, edge_accuracy, gains
from cloud.evaluation.ledger import read_ledger
from cloud.training.evaluation import Judged, ShareReport
from cloud.training.plan import TrainingPlan
from cloud.training.render_missing import render_missing, stages
from cloud.training.store import SHARD_CLIPS, ClipStore, Shard, training_shards
from shared.errors import BadInputError
from shared.intervals import wilson
from shared.output_folder import output_file
from shared.task import load_task


def run_baselines(against: Path, clips: int, cache: Path | None, renderers: int, as_json: bool) -> None:
    """Render what is missing, fit and measure the baselines, and print the table."""
    run, rows = read_ledger(against)
    if run.get("bench") != "bakes" or not rows:
        raise BadInputError(f"{against}: no answers of `crustwatch cloud eval bakes --out`")
    training = training_shards(clips)
    seed, count = int(run["seed"]), len(rows)
    if set(rows) != set(map(str, range(count))):
        raise BadInputError(f"{against}: the evaluation is not complete: run it again, it goes on")
    judged = [msgspec.convert(rows[str(index)], Judged) for index in range(count)]
    task = load_task("pizza")
    store = ClipStore(cache, TrainingPlan().pixels, task)
    held = [Shard(number, seed, number * SHARD_CLIPS) for number in range(-(-count // SHARD_CLIPS))]
    with stages(Console(stderr=True)) as progress:
        render_missing(progress, store, (*training, *held), renderers)
    learned = np.concatenate([store.open(shard) for shard in training])  # [clips]
    seen = np.concatenate([store.open(shard) for shard in held])[:count]  # [count]
    found = baselines(judged, learned, seen, edge_accuracy(count, seed), task)
    better = gains(judged, learned)
    own = ShareReport.of(wilson(sum(item.clip.doneness == item.truth.doneness for item in judged), count))
    if as_json:
        said = {"data": "rendered", "seed": seed, "doneness": own, "baselines": found, "gains": better}
        print(json.dumps(msgspec.to_builtins(said)))  # noqa: T201 - the command's output
        return
    lines = [f"{count} rendered bakes of seed {seed}, doneness with 95 % intervals", _line("the checkpoint", own, "")]
    lines += [_line(row.name, row.doneness, "beaten" if row.beaten else "NOT beaten") for row in found]
    lines += ["error against the best constant, paired 95 % interval of what is gained"]
    lines += [
        f"  {row.name:52} {row.error:8.4f} {row.constant_error:8.4f}  {row.gain:+.4f} [{row.low:+.4f}, {row.high:+.4f}]"
        for row in better
    ]
    print("\n".join(lines))  # noqa: T201 - the command's output


def _line(name: str, share: ShareReport, words: str) -> str:
    return f"  {name:52} {share.share:.3f} [{share.low:.3f}, {share.high:.3f}]  {words}".rstrip()


def run_ablations(runs: list[Path], out: Path | None, as_json: bool) -> None:
    """Print the table of runs; with `out` write it, and a chart beside it."""
    if out is not None:
        output_file(out)
    rows = [row for folder in runs for row in read_runs(folder)]
    text = table(rows)
    if out is not None:
        out.write_text(text, encoding="utf-8")
        out.with_suffix(".svg").write_text(chart(rows), encoding="utf-8")
    print(json.dumps(rows) if as_json else text.rstrip("\n"))  # noqa: T201 - the command's output
