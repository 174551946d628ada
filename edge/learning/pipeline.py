"""From nothing to a model folder: frames, float training, folding, calibration, fine-tuning, integers, gate, card."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edge.gate.fitting import fit_gate
from edge.learning.calibration import calibrate
from edge.learning.epoch import EpochReport
from edge.learning.evaluation import evaluate, integer_logits
from edge.learning.folding import FoldedNetwork, fold
from edge.learning.frames import FrameSet
from edge.learning.grid import Grid
from edge.learning.model_folder import REPORT, sizes, write_gate_and_card, write_model
from edge.learning.network import EdgeNetwork, Topology, topology_of
from edge.learning.onnx_writer import write_onnx
from edge.learning.parts import Parts
from edge.learning.pretrained import begin_with, pretrained_weights
from edge.learning.pruning import ramped, with_pairs
from edge.learning.report_page import write_report
from edge.learning.rounded import RoundedNetwork, to_integers
from edge.learning.settings import Settings
from edge.learning.student import Loss, Student, label_loss, targets_of, taught_loss
from edge.learning.tflite_writer import write_tflite
from edge.learning.training import Schedule, fit, to_tensor
from edge.watch.familiar import SMALLEST_SAMPLE
from edge.watch.reference import REFERENCE, fit_reference, save_reference
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError
from shared.task import Task


class Reporter(Protocol):
    """Where a run says how far it is."""

    def stage(self, text: str, total: int) -> Callable[[int], None]:
        """A new stage of `total` steps; the result is called with steps done."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch of training is over."""


def train_model(
    settings: Settings,
    task: Task,
    parts: Parts,
    out: Path,
    *,
    resume: bool,
    reporter: Reporter,
    floats: Path | None = None,
    all_frames: bool = True,
) -> dict[str, Any]:
    """Train, quantise, fit the gate, evaluate on the test part; writes `out` and returns the card.

    `floats`: folder of the float phase's checkpoints, which runs with other levers may share; default: as the int8
    phase's. A finished float phase there is taken as it is. `all_frames`: the card has the mean over a bake's frames.
    """
    train, held_out, test = parts
    checkpoints = out / "checkpoints"
    folded = train_float(
        settings,
        task,
        train,
        held_out,
        floats or checkpoints,
        resume=resume or floats is not None,
        reporter=reporter,
    )
    rounded = fine_tune(folded, settings, task, train, held_out, checkpoints, resume=resume, reporter=reporter)
    network = to_integers(rounded, f"crustwatch {task.name}: {', '.join(task.labels)}")
    tflite = write_tflite(network)
    write_model(out, tflite, write_onnx(network))
    graph = read_graph(tflite, "model.tflite")
    return finish(graph, tflite, settings, task, held_out, test, out, all_frames=all_frames)


def finish(
    graph: Graph,
    tflite: bytes,
    settings: Settings,
    task: Task,
    held_out: FrameSet,
    test: FrameSet,
    out: Path,
    *,
    all_frames: bool = True,
) -> dict[str, Any]:
    """Fit a model's gate on the held-out bakes, evaluate it on the test bakes; writes gate, card and report."""
    gate = fit_gate(
        integer_logits(graph, held_out.key_frames),
        held_out.labels,
        logit_scale=graph.output_tensor.scale,
        target_error=settings.target_selective_error,
        data=held_out.source,
        seed=held_out.seed,
    )
    logits = integer_logits(graph, test.key_frames)
    card: dict[str, Any] = {
        "task": task.name,
        "labels": list(task.labels),
        **sizes(graph, tflite),
        "topology": asdict(_topology(settings, task)),
        "settings": settings.as_json(),
        "evaluation": evaluate(
            graph, gate, test, task, all_frames=all_frames and test.frames.shape[1] > 1, logits=logits
        ),
    }
    write_gate_and_card(out, gate, card)
    write_report(out / REPORT, card, gate, logits, test, task)
    if len(held_out.labels) >= SMALLEST_SAMPLE:
        frames = held_out.key_frames
        save_reference(fit_reference(frames, integer_logits(graph, frames), gate), out / REFERENCE)
    return card


def check_trainable(settings: Settings, task: Task) -> None:
    """Raise BadInputError, before anything is rendered, for a shape or levers that training would refuse in the end."""
    topology, levers = _topology(settings, task), settings.levers
    if levers.pair_zeros and topology.inverted:
        raise BadInputError(f"pairs of zeros need a plain chain of layers: {settings.shape} has inverted residuals")


def _topology(settings: Settings, task: Task) -> Topology:
    return topology_of(settings.shape, len(task.labels), task.input.size_px)


def _identity(settings: Settings, task: Task, *, fine: bool) -> dict[str, Any]:
    """What a checkpoint belongs to. Through JSON, so that it compares equal after one: tuples become lists."""
    named = {"task": task.name, "topology": asdict(_topology(settings, task))}
    found: dict[str, Any] = json.loads(json.dumps({**settings.of_weights(fine=fine), **named}))
    return found


def _run(
    network: torch.nn.Module,
    loss_of: Loss,
    schedule: Schedule,
    train: FrameSet,
    held_out: FrameSet,
    reporter: Reporter,
    *,
    folder: Path,
    resume: bool,
    identity: dict[str, Any],
    before_epoch: Callable[[int], None] = lambda epoch: None,
) -> None:
    """One phase on all frames of the training part."""
    size = train.frames.shape[2]
    frames = train.frames.reshape(-1, size, size, 3)  # [N * F, S, S, 3]
    fit(
        network,
        frames,
        loss_of,
        (held_out.key_frames, held_out.labels),
        schedule,
        folder=folder,
        resume=resume,
        identity=identity,
        after_batch=reporter.stage(f"training ({schedule.phase})", schedule.epochs * -(-len(frames) // schedule.batch)),
        after_epoch=reporter.epoch,
        before_epoch=before_epoch,
    )


def _targets(train: FrameSet, task: Task) -> NDArray[np.float32]:
    """What labellers said of each frame, float32 [N * F, labels]."""
    return np.repeat(targets_of(train.labels, train.shares, len(task.labels)), train.frames.shape[1], axis=0)


def train_float(
    settings: Settings,
    task: Task,
    train: FrameSet,
    held_out: FrameSet,
    folder: Path,
    *,
    resume: bool,
    reporter: Reporter,
) -> FoldedNetwork:
    """The float phase, its checkpoints in `folder`, guided by a teacher's lessons if there are; batch norms folded."""
    schedule = Schedule(
        phase="float",
        epochs=settings.epochs,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warm_up=min(0.2, 1 / settings.epochs),
        seed=settings.seed,
    )
    torch.manual_seed(settings.seed)
    network = EdgeNetwork(_topology(settings, task))
    if settings.start != "none":
        begin_with(network, pretrained_weights())
    targets, lessons = _targets(train, task), train.lessons
    trained: torch.nn.Module = network
    if lessons is None:
        loss_of = label_loss(targets, settings.label_smoothing)
    else:
        trained = Student(network, lessons.features.shape[1])
        loss_of = taught_loss(
            targets, lessons, settings.label_smoothing, settings.teacher_share, settings.feature_weight
        )
    identity = _identity(settings, task, fine=False)
    _run(trained, loss_of, schedule, train, held_out, reporter, folder=folder, resume=resume, identity=identity)
    network.eval()
    return fold(network)


def fine_tune(
    folded: FoldedNetwork,
    settings: Settings,
    task: Task,
    train: FrameSet,
    held_out: FrameSet,
    folder: Path,
    *,
    resume: bool,
    reporter: Reporter,
) -> RoundedNetwork:
    """Grids for the activations, then the int8 phase under the settings' levers, its checkpoints in `folder`."""
    levers, epochs, size = settings.levers, settings.fine_tune_epochs, task.input.size_px
    calibration = train.frames[: settings.calibration_bakes].reshape(-1, size, size, 3)  # [n, S, S, 3]
    if levers.pair_zeros:
        folded = with_pairs(folded)
    grids = calibrate(folded, to_tensor(calibration), settings.seed)
    input_grid = Grid(float(np.float32(task.input.scale)), task.input.zero_point)
    network = RoundedNetwork(folded, grids, input_grid, levers)
    if epochs:
        schedule = Schedule(
            phase="int8",
            epochs=epochs,
            batch=settings.batch,
            learning_rate=settings.fine_tune_learning_rate,
            weight_decay=0.0,
            warm_up=min(0.2, 1 / settings.epochs),
            seed=settings.seed + 1,
        )
        _run(
            network,
            label_loss(_targets(train, task), settings.label_smoothing),
            schedule,
            train,
            held_out,
            reporter,
            folder=folder,
            resume=resume,
            identity=_identity(settings, task, fine=True),
            before_epoch=lambda epoch: network.prune(ramped(levers.pair_zeros, epoch, epochs)),
        )
    network.prune(levers.pair_zeros)  # the whole share, when there were no epochs to reach it
    return network
