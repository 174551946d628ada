"""Learning on from a model: its integers made float again, trained on the int8 grids, and written as a new folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from edge.learning.dequantised import dequantised
from edge.learning.frames import FrameSet
from edge.learning.model_folder import CARD, read_model, write_model
from edge.learning.onnx_writer import write_onnx
from edge.learning.pipeline import Reporter, fine_tune, finish
from edge.learning.rounded import to_integers
from edge.learning.settings import Settings, settings_for
from edge.learning.tflite_writer import write_tflite
from firmware_sim.compiler.tflite_reader import read_graph
from shared.task import Task


def settings_of(model: Path, task: Task) -> Settings:
    """The settings that a model was trained with, from its card; the task's when it has none that can be read."""
    try:
        stored = json.loads((model / CARD).read_bytes())["settings"]
        names = {field.name for field in dataclasses.fields(Settings)}
        return Settings(**{name: value for name, value in stored.items() if name in names})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return settings_for(task.name)


def learn_on(
    model: Path,
    task: Task,
    train: FrameSet,
    fit: FrameSet,
    test: FrameSet,
    out: Path,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    resume: bool,
    reporter: Reporter,
) -> dict[str, Any]:
    """Train the model in folder `model` on, fit its gate on `fit`, write the folder `out`; returns its card.

    Weights stay held to the levers of the model (decision 0067). Checkpoints belong to model and data: with `resume` a
    run that was interrupted goes on, and one with other data begins anew. Raises BadInputError for other networks.
    """
    folder = read_model(model)
    folded, _ = dequantised(folder.graph)
    settings = dataclasses.replace(
        settings_of(model, task), fine_tune_epochs=epochs, fine_tune_learning_rate=learning_rate, seed=seed
    )
    data = hashlib.sha256(folder.tflite + train.frames.tobytes() + train.labels.astype("<i8").tobytes()).hexdigest()
    checkpoints = out / "checkpoints" / data[:16]
    rounded = fine_tune(folded, settings, task, train, fit, checkpoints, resume=resume, reporter=reporter)
    network = to_integers(rounded, f"crustwatch {task.name}: {', '.join(task.labels)}")
    tflite = write_tflite(network)
    write_model(out, tflite, write_onnx(network))
    return finish(read_graph(tflite, "model.tflite"), tflite, settings, task, fit, test, out)
