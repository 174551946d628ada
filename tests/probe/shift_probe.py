"""What a shift of the rendered bakery does to the shipped models: `make probe-shift`. Rendered bakes, nothing learnt.

The same bakes with and without each shift: the edge alone, what its guard says, and what the cloud's model answers.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch

from cloud.model_choice import ModelChoice
from cloud.training.evaluation import Taken
from edge.learning.commands import shipped_model
from edge.learning.evaluation import integer_logits
from edge.learning.model_folder import read_model
from edge.watch.drift import DriftWatch, watched_figures
from edge.watch.features import frame_features
from edge.watch.reference import REFERENCE, load_reference
from shared.bakery import KEY_FRAME, render_bake
from shared.bakery.truth import SHIFTS
from shared.images import decode_jpeg, encode_jpeg
from shared.intervals import wilson
from shared.resize import square_resize
from shared.task import load_task


def main() -> None:
    """Print one block a shift."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bakes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=4000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task, place = load_task("pizza"), shipped_model("pizza")
    model, reference = read_model(place), load_reference(place / REFERENCE)
    engine = ModelChoice("pizza-small", threads=1).load()
    for shift in (None, *SHIFTS):
        frames, truth, said = [], [], []
        for index in range(options.bakes):
            bake = render_bake(options.seed, index, shift)
            frames.append(square_resize(bake.frames[KEY_FRAME], task.input.size_px))  # uint8 [S, S, 3]
            truth.append(task.index(bake.truth.doneness))
            clip = Taken([decode_jpeg(encode_jpeg(frame)) for frame in bake.frames], bake.truth.times_s)
            verdict = engine.verdicts([clip], task)[0]
            said.append(-1 if verdict.doneness is None else task.index(verdict.doneness))
        seen, true, cloud = np.stack(frames), np.array(truth), np.array(said)  # [N, S, S, 3], [N], [N]
        logits = integer_logits(model.graph, seen)  # [N, labels]
        label = logits.argmax(axis=1)  # [N]
        confidence = model.gate.table().probabilities_q15(logits)  # [N]
        unsure = confidence < np.array(model.gate.tau_q15)[label]  # [N]
        features = frame_features(seen)
        unfamiliar = reference.familiarity.distances(features) > reference.familiarity.limit  # [N]
        watch = DriftWatch(reference.figures)
        rows = watched_figures(features, logits, model.gate.logit_scale, confidence / 32768)
        alarms = [str(drift) for row in rows for drift in watch.observe(row)]
        alone = ~unsure & ~unfamiliar
        critical = np.isin(true, [task.index(name) for name in task.critical])
        lines = {
            "edge right": label == true,
            "cloud right": cloud == true,
            "cloud right, critical": (cloud == true)[critical],
            "unsure": unsure,
            "unfamiliar": unfamiliar,
            "escalated": ~alone,
            "wrong alone": (label != true)[alone],
            "critical missed alone": (alone & (label != true))[critical],
        }
        sys.stdout.write(f"{shift or 'no shift'}: {options.bakes} rendered bakes of seed {options.seed}\n")
        for name, hits in lines.items():
            share, low, high, n = wilson(int(hits.sum()), len(hits))
            sys.stdout.write(f"  {name:24} {share:.3f} [{low:.3f}, {high:.3f}] n={n}\n")
        sys.stdout.write(f"  alarms: {'; '.join(alarms) or 'none'}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
