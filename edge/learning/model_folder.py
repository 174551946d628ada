"""The folder of a model: model.tflite (the source of truth), model.onnx, gate.json, card.json and report.html."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.gate.gate_file import GateFile, load_gate, save_gate
from firmware_sim.compiler.arena import plan
from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.tflite_reader import read_graph_file
from shared.errors import BadInputError
from shared.task import Task

MODEL, ONNX, GATE, CARD, REPORT = "model.tflite", "model.onnx", "gate.json", "card.json", "report.html"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model as read back: the checked graph and its gate."""

    graph: Graph
    gate: GateFile
    tflite: bytes


def read_model(folder: Path) -> ModelFolder:
    """Read model.tflite and gate.json of `folder`. Raises BadInputError when one is missing or misfits the other."""
    graph = read_graph_file(folder / MODEL)
    return ModelFolder(graph, load_gate(folder / GATE, graph.labels), (folder / MODEL).read_bytes())


def read_model_of(folder: Path, task: Task) -> tuple[ModelFolder, Task]:
    """A model of `task`, and the task with the model's side. Raises BadInputError as `read_model` does.

    Also when labels differ: a model does not name them, so their number is compared.
    """
    model = read_model(folder)
    if model.graph.labels != len(task.labels):
        raise BadInputError(
            f"{folder}: the model has {model.graph.labels} labels, task {task.name} has {len(task.labels)}"
        )
    return model, task.with_size(model.graph.input_tensor.shape[0])


def write_model(folder: Path, tflite: bytes, onnx: bytes) -> None:
    """Write both containers of one set of integers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(tflite)
    (folder / ONNX).write_bytes(onnx)


def write_gate_and_card(folder: Path, gate: GateFile, card: dict[str, Any]) -> None:
    """Write gate.json and card.json."""
    save_gate(gate, folder / GATE)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def sizes(graph: Graph, tflite: bytes) -> dict[str, Any]:
    """What the model costs on the chip, for its card; the arena is that of the graph as the firmware simplifies it."""
    return {
        "model_bytes": len(tflite),
        "parameter_bytes": graph.parameter_bytes(),
        "arena_bytes": plan(simplified(graph)).bytes,
        "macs": graph.macs(),
        "sha256": hashlib.sha256(tflite).hexdigest(),
    }
