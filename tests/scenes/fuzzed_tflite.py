"""Damaged .tflite files: bytes changed or cut, and values of the model's tables changed, which keeps them readable."""

from __future__ import annotations

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np

NUMBERS = (-(2**31), -129, -128, -2, -1, 0, 1, 2, 3, 7, 127, 128, 255, 65_535, 2**31 - 1)
REALS = (0.0, -1.0, 1e-38, 1e-9, 0.5, 1.0, 1e9, 3e38, float("nan"), float("inf"))


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with some damage."""
    return _changed_values(data, rng) if rng.random() < 0.5 else _changed_bytes(data, rng)


def _changed_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    raw = np.frombuffer(data, np.uint8).copy()
    for _ in range(int(rng.integers(1, 6))):
        raw[int(rng.integers(8, len(raw)))] = rng.choice([0, 1, 2, 127, 128, 255, int(rng.integers(256))])
    changed = raw.tobytes()
    return changed[: int(rng.integers(0, len(changed)))] if rng.random() < 0.1 else changed


def _changed_values(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three numbers, lists or options of operators, tensors and quantisations, at any depth."""
    model = schema.ModelT.InitFromPackedBuf(data)
    graph = model.subgraphs[0]
    for _ in range(int(rng.integers(1, 4))):
        roots = [*graph.operators, *graph.tensors, *model.operatorCodes, graph]
        _change(roots[int(rng.integers(len(roots)))], rng)
    builder = flatbuffers.Builder(0)
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except (TypeError, ValueError, OverflowError, AttributeError, flatbuffers.builder.BuilderNotFinishedError):
        return _changed_bytes(data, rng)
    except Exception as error:  # flatbuffers raises what it likes for values that do not fit
        if type(error).__module__ in ("struct", "flatbuffers.builder"):
            return _changed_bytes(data, rng)
        raise
    return bytes(builder.Output())


def _change(node: object, rng: np.random.Generator) -> None:
    names = [name for name, value in vars(node).items() if value is not None]
    if not names:
        return
    name = names[int(rng.integers(len(names)))]
    value = getattr(node, name)
    if hasattr(value, "__dict__") and vars(value):
        _change(value, rng)
    elif isinstance(value, bool):
        setattr(node, name, not value)
    elif isinstance(value, int | np.integer):
        setattr(node, name, int(rng.choice(NUMBERS)))
    elif isinstance(value, list | np.ndarray) and len(value):
        _change_list(node, name, value, rng)


def _change_list(node: object, name: str, value: list[object] | np.ndarray, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(value)))
    if hasattr(value[at], "__dict__"):
        _change(value[at], rng)
        return
    if rng.random() < 0.2:
        setattr(node, name, value[:at])
        return
    new = value.copy()
    if isinstance(new, np.ndarray) and new.dtype.kind == "f":
        new[at] = rng.choice(REALS)
    elif isinstance(new, np.ndarray) or isinstance(new[at], int):
        bounds = np.iinfo(new.dtype) if isinstance(new, np.ndarray) else np.iinfo(np.int32)
        new[at] = int(np.clip(int(rng.choice(NUMBERS)), bounds.min, bounds.max))
    elif isinstance(new[at], float):
        new[at] = float(rng.choice(REALS))
    setattr(node, name, new)
