"""Strict reading and writing of checkpoint folders.

A folder holds `config.json` and either `model.safetensors` or `model.safetensors.index.json` with its shards. Keys
are the reference's own; nothing is renamed. A missing key, an extra key or a wrong shape is an error that names it.
Two things may be absent: `lm_head.weight` when the embeddings are tied, and whole VGGT heads, which the language
path never runs (`checkpoint_sizes.py` builds the heads that the folder brings).
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cloud.spatial_mllm.checkpoint_sizes import Shapes, config_from_checkpoint
from cloud.spatial_mllm.qwen import attention_backend, restore_rotary
from cloud.spatial_mllm.vggt.track_layout import TRACK_PREFIX, track_head_layout
from shared.errors import BadInputError, MissingPartError

if TYPE_CHECKING:
    from cloud.spatial_mllm.model import SpatialMLLM

log = logging.getLogger(__name__)

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
GENERATION_NAME = "generation_config.json"
TIED_KEY = "lm_head.weight"
EMBEDDING_KEY = "model.embed_tokens.weight"
DTYPE_KEY = "connector.ln_q.weight"
_NAMED_KEYS = 8  # keys spelled out in an error before "and N more"


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


def read_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, from the headers alone.

    Raises:
        BadInputError: a file is no safetensors file, or two shards hold the same key.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118 - safe_open is no mapping
                    if name in shapes:
                        raise BadInputError(f"{path} holds {name}, which another shard already held")
                    shapes[name] = tuple(weights.get_slice(name).get_shape())
        except SafetensorError as error:
            raise BadInputError(f"{path} is no safetensors file: {error}") from None
    return shapes


def stored_dtype(files: Sequence[Path]) -> torch.dtype:
    """Dtype of the connector's weights in the files, which stands for the model's."""
    for path in files:
        with safe_open(path, framework="pt") as weights:
            if DTYPE_KEY in weights.keys():  # noqa: SIM118 - safe_open is no mapping
                return weights.get_slice(DTYPE_KEY)[:1].dtype  # type: ignore[no-any-return]
    raise BadInputError(f"missing tensor {DTYPE_KEY}: the dtype of the weights is read from it")


def check_keys(found: Shapes, expected: Shapes, *, tied: bool) -> None:
    """Compare a checkpoint's tensors with the model's.

    Raises:
        BadInputError: naming missing keys, extra keys and wrong shapes.
    """
    optional = {TIED_KEY} if tied else set()
    missing = sorted(set(expected) - set(found) - optional)
    extra = sorted(set(found) - set(expected))
    wrong = [
        f"{name} has shape {list(found[name])} instead of {list(expected[name])}"
        for name in sorted(set(found) & set(expected))
        if tuple(found[name]) != tuple(expected[name])
    ]
    problems = [
        f"{title}: {_listed(keys)}"
        for title, keys in (("missing keys", missing), ("extra keys", extra), ("wrong shapes", wrong))
        if keys
    ]
    if problems:
        raise BadInputError("checkpoint does not fit the model; " + "; ".join(problems))


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED_KEYS} more" if len(keys) > _NAMED_KEYS else ""
    return ", ".join(keys[:_NAMED_KEYS]) + more


def load_model(folder: str | Path, *, dtype: torch.dtype | None, device: torch.device, attention: str) -> "SpatialMLLM":
    """Load a checkpoint folder.

    The model is built without memory and the tensors are read straight into place, so the peak is one copy of the
    weights (and, with another `dtype`, one tensor).

    Args:
        folder: the checkpoint.
        dtype: of the weights; None keeps what the files hold.
        device: where to put them.
        attention: of the Qwen parts: "sdpa", "eager", "flash_attention_2" (extra `gpu`), or "auto"; VGGT always
            uses PyTorch's scaled-dot-product attention.

    Raises:
        MissingPartError: a file or flash-attn is missing. BadInputError: keys or sizes do not fit.
    """
    from cloud.spatial_mllm.model import SpatialMLLM

    folder = Path(folder)
    raw_config = read_json(folder / CONFIG_NAME)
    files = weight_files(folder)
    shapes = read_shapes(files)
    stored = dtype or stored_dtype(files)
    attention = attention_backend(attention, device, stored)
    config = config_from_checkpoint(raw_config, shapes)
    with torch.device("meta"):
        model = SpatialMLLM(config, attention)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    track = {name: shape for name, shape in shapes.items() if name.startswith(TRACK_PREFIX)}
    tied = config.language.tie_word_embeddings
    check_keys(shapes, expected | track_head_layout(track, config.vggt.output_width), tied=tied)
    state = _read_state(files, set(expected), dtype, device)
    if tied:
        _check_tied(state)
    model.load_state_dict(state, strict=True, assign=True)
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    restore_rotary(model.visual, model.model, device)
    model.end_token_ids = read_end_tokens(folder, config.tokens.eos)
    if empty := [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]:
        raise AssertionError(f"tensors left without data: {empty}")
    log.info(
        "loaded %s: %d tensors, %.1f M parameters, %s on %s, attention: Qwen %s, VGGT sdpa",
        folder,
        len(shapes),
        sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        model.dtype,
        device,
        attention,
    )
    return model.eval()


def _read_state(
    files: Iterable[Path], names: set[str], dtype: torch.dtype | None, device: torch.device
) -> dict[str, Tensor]:
    """Read the named tensors; those of the track head stay on disk."""
    state: dict[str, Tensor] = {}
    for path in files:
        with safe_open(path, framework="pt", device=str(device)) as weights:
            for name in weights.keys():  # noqa: SIM118 - safe_open is no mapping
                if name in names:
                    tensor = weights.get_tensor(name)
                    state[name] = tensor if dtype is None else tensor.to(dtype)
    return state


def _check_tied(state: dict[str, Tensor]) -> None:
    """Complete a tied output layer, or make sure that the one in the file is the embedding."""
    if TIED_KEY in state and not torch.equal(state[TIED_KEY], state[EMBEDDING_KEY]):
        raise BadInputError(
            f"config.json ties the word embeddings, but {TIED_KEY} differs from {EMBEDDING_KEY} in the weights"
        )
    state[TIED_KEY] = state[EMBEDDING_KEY]


def save_model(model: "SpatialMLLM", folder: str | Path) -> None:
    """Write `config.json` and `model.safetensors` (a tied output layer is left out, as the reference does).

    The weights replace an older file only when complete: its tensors may be mapped into a running process, which would
    die if the file shrank under it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_json() | {"torch_dtype": str(model.dtype).removeprefix("torch.")}
    state: Mapping[str, Tensor] = model.state_dict()
    if model.config.language.tie_word_embeddings:
        state = {name: tensor for name, tensor in state.items() if name != TIED_KEY}
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial = folder / (WEIGHTS_NAME + ".partial")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial, {"format": "pt"})
    partial.replace(folder / WEIGHTS_NAME)
