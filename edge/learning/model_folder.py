"""The folder of a model: model.tflite (the source of truth), model.onnx, gate.json and card.json."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.gate.gate_file import GateFile, load_gate, save_gate
from firmware_sim.compiler.arena import plan
from firmware_sim.compiler.graph import Graph
from firmware_sim.compiler.tflite_reader import read_graph_file
from shared.errors import BadInputError

MODEL, ONNX, GATE, CARD = "model.tflite", "model.onnx", "gate.json", "card.json"


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


def write_model(folder: Path, tflite: bytes, onnx: bytes) -> None:
    """Write both containers of one set of integers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(tflite)
    (folder / ONNX).write_bytes(onnx)


def write_gate_and_card(folder: Path, gate: GateFile, card: dict[str, Any]) -> None:
    """Write gate.json and card.json."""
    save_gate(gate, folder / GATE)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def trained_split_seed(folder: Path) -> int:
    """The split of the photographs that the model was trained on, from its card. Raises BadInputError."""
    try:
        return int(json.loads((folder / CARD).read_bytes())["settings"]["split_seed"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInputError(f"{folder / CARD}: does not say which split the model was trained on") from None


def sizes(graph: Graph, tflite: bytes) -> dict[str, Any]:
    """What the model costs on the chip, for its card."""
    return {
        "model_bytes": len(tflite),
        "parameter_bytes": graph.parameter_bytes(),
        "arena_bytes": plan(graph).bytes,
        "macs": graph.macs(),
        "sha256": hashlib.sha256(tflite).hexdigest(),
    }
