"""From nothing to a model folder: frames, float training, folding, calibration, fine-tuning, integers, gate, card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from edge.gate.fitting import fit_gate
from edge.learning.calibration import calibrate
from edge.learning.epoch import EpochReport
from edge.learning.evaluation import evaluate, integer_logits
from edge.learning.folding import fold
from edge.learning.frames import FrameSet
from edge.learning.grid import Grid
from edge.learning.model_folder import sizes, write_gate_and_card, write_model
from edge.learning.network import EdgeNetwork, topology_of
from edge.learning.onnx_writer import write_onnx
from edge.learning.parts import Parts
from edge.learning.rounded import RoundedNetwork, to_integers
from edge.learning.settings import Settings
from edge.learning.tflite_writer import write_tflite
from edge.learning.training import Schedule, fit, to_tensor
from edge.watch.familiar import SMALLEST_SAMPLE
from edge.watch.reference import REFERENCE, fit_reference, save_reference
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.tflite_reader import read_graph
from shared.task import Task


class Reporter(Protocol):
    """Where a run says how far it is."""

    def stage(self, text: str, total: int) -> Callable[[int], None]:
        """A new stage of `total` steps; the result is called with steps done."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch of training is over."""


def train_model(
    settings: Settings, task: Task, parts: Parts, out: Path, *, resume: bool, reporter: Reporter
) -> dict[str, Any]:
    """Train, quantise, fit the gate, evaluate on the test part; writes `out` and returns the card."""
    train, held_out, test = parts
    rounded = _train_networks(settings, task, train, held_out, out / "checkpoints", resume, reporter)
    input_grid = Grid(float(np.float32(task.input.scale)), task.input.zero_point)
    network = to_integers(rounded, input_grid, f"crustwatch {task.name}: {', '.join(task.labels)}")
    tflite = write_tflite(network)
    write_model(out, tflite, write_onnx(network))
    graph = read_graph(tflite, "model.tflite")
    return finish(graph, tflite, settings, task, held_out, test, out)


def finish(
    graph: Graph, tflite: bytes, settings: Settings, task: Task, held_out: FrameSet, test: FrameSet, out: Path
) -> dict[str, Any]:
    """Fit the gate of a quantised model on the held-out bakes, evaluate it on the test bakes, write gate and card."""
    gate = fit_gate(
        integer_logits(graph, held_out.key_frames),
        held_out.labels,
        logit_scale=graph.output_tensor.scale,
        target_error=settings.target_selective_error,
        data=held_out.source,
        seed=held_out.seed,
    )
    card: dict[str, Any] = {
        "task": task.name,
        "labels": list(task.labels),
        **sizes(graph, tflite),
        "topology": asdict(topology_of(settings.shape, len(task.labels), task.input.size_px)),
        "settings": settings.as_json(),
        "evaluation": evaluate(graph, gate, test, task, all_frames=test.frames.shape[1] > 1),
    }
    write_gate_and_card(out, gate, card)
    if len(held_out.labels) >= SMALLEST_SAMPLE:
        frames = held_out.key_frames
        save_reference(fit_reference(frames, integer_logits(graph, frames), gate), out / REFERENCE)
    return card


def _train_networks(
    settings: Settings,
    task: Task,
    train: FrameSet,
    held_out: FrameSet,
    checkpoints: Path,
    resume: bool,
    reporter: Reporter,
) -> RoundedNetwork:
    """Float training, then fine-tuning on the int8 grids."""
    frames_a_bake, size = train.frames.shape[1:3]
    frames = train.frames.reshape(-1, size, size, 3)  # [N * F, S, S, 3]
    labels = np.repeat(train.labels, frames_a_bake)  # [N * F]
    schedule = Schedule(
        phase="float",
        epochs=settings.epochs,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        label_smoothing=settings.label_smoothing,
        warm_up=min(0.2, 1 / settings.epochs),
        seed=settings.seed,
    )
    fine = replace(
        schedule,
        phase="int8",
        epochs=settings.fine_tune_epochs,
        learning_rate=settings.fine_tune_learning_rate,
        weight_decay=0.0,
        seed=settings.seed + 1,
    )

    topology = topology_of(settings.shape, len(task.labels), task.input.size_px)
    # Through JSON, so that it compares equal after a checkpoint: tuples become lists.
    identity = json.loads(json.dumps({**settings.of_weights(), "task": task.name, "topology": asdict(topology)}))

    def run(network: torch.nn.Module, plan: Schedule) -> None:
        steps = plan.epochs * -(-len(frames) // plan.batch)
        fit(
            network,
            frames,
            labels,
            (held_out.key_frames, held_out.labels),
            plan,
            folder=checkpoints,
            resume=resume,
            identity=identity,
            after_batch=reporter.stage(f"training ({plan.phase})", steps),
            after_epoch=reporter.epoch,
        )

    torch.manual_seed(settings.seed)
    network = EdgeNetwork(topology)
    run(network, schedule)
    network.eval()
    folded = fold(network)
    calibration = train.frames[: settings.calibration_bakes].reshape(-1, size, size, 3)  # [n, S, S, 3]
    rounded = RoundedNetwork(folded, calibrate(folded, to_tensor(calibration), settings.seed))
    if settings.fine_tune_epochs:
        run(rounded, fine)
    return rounded
