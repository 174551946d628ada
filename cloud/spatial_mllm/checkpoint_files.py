"""The files of a checkpoint folder, read without loading a weight: configuration, names, shapes and dtypes.

A folder holds `config.json` and either `model.safetensors` or `model.safetensors.index.json` with its shards.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from cloud.spatial_mllm.checkpoint_sizes import Shapes
from shared.errors import BadInputError, MissingPartError

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
GENERATION_NAME = "generation_config.json"
DTYPE_KEY = "model.norm.weight"  # in every checkpoint, and never quantised

# Names that newer releases of transformers give the parts of Qwen2.5-VL, and the published ones.
_RENAMED = (("model.language_model.", "model."), ("model.visual.", "visual."))
_FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def published_name(name: str) -> str:
    """The published name of a tensor: itself, unless a newer release of transformers has written it."""
    for new, published in _RENAMED:
        if name.startswith(new):
            return published + name[len(new) :]
    return name


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON file of the folder.

    Raises:
        MissingPartError: no such file. BadInputError: it is no JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingPartError(
            f"{path} does not exist: a checkpoint folder holds {CONFIG_NAME} and {WEIGHTS_NAME}"
        ) from None
    except ValueError as error:
        raise BadInputError(f"{path} is no valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise BadInputError(f"{path} must hold a JSON object")
    return config


def read_end_tokens(folder: Path, default: int) -> tuple[int, ...]:
    """Tokens that end an answer, from `generation_config.json` when there is one (Qwen names two)."""
    path = folder / GENERATION_NAME
    stated = read_json(path).get("eos_token_id") if path.exists() else None
    if stated is None:
        return (default,)
    tokens = stated if isinstance(stated, list) else [stated]
    if not tokens or not all(isinstance(token, int) for token in tokens):
        raise BadInputError(f"{path}: eos_token_id must be a token id or a list of them, got {stated!r}")
    return tuple(tokens)


def weight_files(folder: Path) -> list[Path]:
    """Weight files of a folder: the single one, or the shards that the index names.

    Raises:
        MissingPartError: a file is missing. BadInputError: the index is malformed.
    """
    index_path = folder / INDEX_NAME
    if index_path.exists():
        try:
            names = sorted(set(json.loads(index_path.read_text(encoding="utf-8"))["weight_map"].values()))
            files = [folder / name for name in names]
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise BadInputError(f"{index_path} holds no weight_map of tensor and file names: {error!r}") from None
    else:
        files = [folder / WEIGHTS_NAME]
    for path in files:
        if path.parent != folder:
            raise BadInputError(f"{index_path} names {path.name!r} outside its folder")
        if not path.is_file():
            raise MissingPartError(f"{path} does not exist: the weights are not here, or not all of them")
    return files


def read_shapes(files: Iterable[Path]) -> Shapes:
    """Published name -> shape of every tensor, from the headers alone.

    Raises:
        BadInputError: a file is no safetensors file, two shards hold the same key, or a tensor is of no
            floating-point type.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as weights:
                for stored in weights.keys():  # noqa: SIM118 - safe_open is no mapping
                    name = published_name(stored)
                    if name in shapes:
                        raise BadInputError(f"{path} holds {name}, which was already there")
                    tensor = weights.get_slice(stored)
                    if tensor.get_dtype() not in _FLOATS:
                        raise BadInputError(
                            f"{path}: {name} is of type {tensor.get_dtype()}: weights are one of {', '.join(_FLOATS)}"
                        )
                    shapes[name] = tuple(tensor.get_shape())
        except (SafetensorError, OSError) as error:
            raise BadInputError(f"{path} is no safetensors file: {error}") from None
    return shapes


def stored_dtype(files: Sequence[Path]) -> torch.dtype:
    """Dtype of the last norm in the files, which stands for the model's."""
    for path in files:
        with safe_open(path, framework="pt") as weights:
            for stored in weights.keys():  # noqa: SIM118 - safe_open is no mapping
                if published_name(stored) == DTYPE_KEY:
                    return _FLOATS[weights.get_slice(stored).get_dtype()]
    raise BadInputError(f"missing tensor {DTYPE_KEY}: the dtype of the weights is read from it")


def stored_bytes(files: Sequence[Path]) -> int:
    """Size of the weight files."""
    return sum(path.stat().st_size for path in files)
