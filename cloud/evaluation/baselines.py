"""What a verdict must beat to be worth its cost: the prompt alone, a colour histogram, the edge's own network.

All are measured on the very bakes that an evaluation of a checkpoint judged (`crustwatch cloud eval bakes --out`).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cloud.training.evaluation import Judged, ShareReport
from cloud.training.records import Record
from shared.errors import CrustwatchError
from shared.intervals import Z95, wilson
from shared.task import Task

LEVELS = 6  # of each colour channel in the histogram: 216 bins
L2 = 1e-3  # weight of the squared coefficients
ITERATIONS = 200  # of L-BFGS


class Baseline(msgspec.Struct, frozen=True):
    """One row: its doneness, and whether the checkpoint's interval lies above it."""

    name: str
    doneness: ShareReport
    beaten: bool


class Gain(msgspec.Struct, frozen=True):
    """How much smaller a checkpoint's error is than that of the best constant, with a paired 95 % interval."""

    name: str
    error: float
    constant_error: float
    gain: float
    low: float
    high: float
    n: int


def colour_histogram(records: Record) -> Tensor:
    """Square roots of the shares of 216 colours over all frames of clips [B]: float32 [B, 216]."""
    frames = records["frames"].astype(np.int64) * LEVELS // 256  # [B, 8, 3, h, w]
    codes = (frames[:, :, 0] * LEVELS + frames[:, :, 1]) * LEVELS + frames[:, :, 2]  # [B, 8, h, w]
    counts = np.stack([np.bincount(clip.ravel(), minlength=LEVELS**3) for clip in codes])  # [B, 216]
    return torch.from_numpy(np.sqrt(counts / counts.sum(1, keepdims=True))).float()


def fit_histogram(features: Tensor, labels: NDArray[np.int64], count: int) -> Callable[[Tensor], NDArray[np.int64]]:
    """Multinomial logistic regression on [N, 216]; returns what predicts labels [B] for [B, 216]."""
    weight = torch.zeros(features.shape[1] + 1, count, requires_grad=True)  # [217, labels]
    truth = torch.from_numpy(labels)  # [N]
    optimiser = torch.optim.LBFGS([weight], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def logits(of: Tensor) -> Tensor:
        return F.pad(of, (0, 1), value=1.0) @ weight  # [B, labels]

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(logits(features), truth) + L2 * weight[:-1].square().sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own stub
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return lambda of: logits(of).argmax(-1).numpy()


def edge_accuracy(count: int, seed: int) -> dict[str, ShareReport]:
    """The edge's network on the same bakes, by its own command: it shares no code with this side.

    Raises CrustwatchError when that fails.
    """
    command = [sys.executable, "-m", "shared.cli", "edge", "evaluate", "--bakes", str(count), "--seed", str(seed)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CrustwatchError(f"crustwatch edge evaluate failed: {done.stderr.strip()[-300:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found = said.get("evaluation", said)
    return {
        "edge network, key frame": msgspec.convert(found["key_frame_accuracy"], ShareReport),
        "edge network, mean over all frames": msgspec.convert(found["mean_of_frames_accuracy"], ShareReport),
    }


def baselines(
    judged: Sequence[Judged], training: Record, held: Record, edge: dict[str, ShareReport], task: Task
) -> list[Baseline]:
    """Every baseline against the checkpoint that judged.

    Args:
        judged: the checkpoint's verdicts.
        training: clips [N] to fit the baselines on, of seeds that are trained on.
        held: the judged bakes' clips [n], in their order.
        edge: rows of the edge's network.
        task: of the labels.
    """
    truth = np.array([task.index(item.truth.doneness) for item in judged])  # [n]
    own = wilson(sum(item.clip.doneness == item.truth.doneness for item in judged), len(judged))
    labels = training["doneness"].astype(np.int64)  # [N]
    commonest = int(np.bincount(labels).argmax())
    predict = fit_histogram(colour_histogram(training), labels, len(task.labels))
    shares = {
        "text only: the commonest label": ShareReport.of(wilson(int((truth == commonest).sum()), len(truth))),
        f"colour histogram of all frames, fitted on {len(training)} clips": ShareReport.of(
            wilson(int((predict(colour_histogram(held)) == truth).sum()), len(truth))
        ),
        **edge,
    }
    return [Baseline(name, share, own.low > share.high) for name, share in shares.items()]


def gains(judged: Sequence[Judged], training: Record) -> list[Gain]:
    """The checkpoint's numbers against the training median, stated for every bake alike."""
    told = [item for item in judged if not item.clip.cannot_tell]
    fields: dict[str, tuple[str, Callable[[Judged], float | None], Callable[[Judged], float]]] = {
        "burnt fraction": ("burnt_fraction", lambda i: i.clip.burnt_fraction, lambda i: i.truth.burnt_fraction),
        "evenness": ("evenness", lambda i: i.clip.evenness, lambda i: i.truth.evenness),
        "crust height, mm": (
            "crust_mm",
            lambda i: None if i.clip.relief is None else i.clip.relief.crust_height_mm,
            lambda i: i.truth.crust_height_mm,
        ),
        "blister height, mm": (
            "blister_mm",
            lambda i: None if i.clip.relief is None else i.clip.relief.blister_height_mm,
            lambda i: i.truth.blister_height_mm,
        ),
    }
    found = []
    for name, (column, said, true) in fields.items():
        constant = float(np.median(training[column]))
        pairs = [
            (abs(value - true(item)), abs(constant - true(item))) for item in told if (value := said(item)) is not None
        ]
        if len(pairs) < 2:
            continue
        better = [constant_error - error for error, constant_error in pairs]
        mean, half = fmean(better), Z95 * stdev(better) / math.sqrt(len(better))
        own, flat = (round(fmean(column), 4) for column in zip(*pairs, strict=True))
        low, high = round(mean - half, 4), round(mean + half, 4)
        found.append(Gain(name, own, flat, round(mean, 4), low, high, len(pairs)))
    return found
