"""Strict reading and writing of checkpoint folders.

Keys are the reference's own (`checkpoint_files.py` maps what newer releases of transformers call them). A missing key,
an extra key or a wrong shape is an error that names it. Two things may be absent: `lm_head.weight` when the embeddings
are tied, and whole VGGT heads, which the language path never runs (`checkpoint_sizes.py` builds the heads that the
folder brings). A plain Qwen2.5-VL folder becomes a model without geometry.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cloud.spatial_mllm.checkpoint_files import (
    CONFIG_NAME,
    INDEX_NAME,
    WEIGHTS_NAME,
    published_name,
    read_end_tokens,
    read_json,
    read_shapes,
    stored_bytes,
    stored_dtype,
    weight_files,
)
from cloud.spatial_mllm.checkpoint_sizes import VGGT_PREFIX, Shapes, config_from_checkpoint
from cloud.spatial_mllm.config import SpatialConfig
from cloud.spatial_mllm.qwen import attention_backend, restore_rotary
from cloud.spatial_mllm.vggt.camera_head import CameraHead
from cloud.spatial_mllm.vggt.dpt_head import DepthHead, PointHead
from cloud.spatial_mllm.vggt.track_layout import TRACK_PREFIX, track_head_layout
from shared.errors import BadInputError, MissingPartError

if TYPE_CHECKING:
    from cloud.spatial_mllm.model import SpatialMLLM

__all__ = ["EMBEDDING_KEY", "INDEX_NAME", "TIED_KEY", "check_keys", "load_heads", "load_model", "save_model"]

log = logging.getLogger(__name__)

TIED_KEY = "lm_head.weight"
EMBEDDING_KEY = "model.embed_tokens.weight"
HEADS = ("camera_head", "point_head", "depth_head")
_GEOMETRY = ("spatial_encoder.", "connector.")
_NAMED_KEYS = 8  # keys spelled out in an error before "and N more"

Progress = Callable[[int, int], None]  # bytes read so far, bytes in all


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


def load_model(
    folder: str | Path,
    *,
    dtype: torch.dtype | None,
    device: torch.device,
    attention: str,
    geometry: bool = True,
    heads: bool = True,
    progress: Progress | None = None,
) -> "SpatialMLLM":
    """Load a checkpoint folder.

    The model is built without memory and the tensors are read straight into place, so the peak is one copy of the
    weights (and, with another `dtype`, one tensor).

    Args:
        folder: the checkpoint.
        dtype: of the weights; None keeps that of the files' last norm, for all.
        device: where to put them.
        attention: of the Qwen parts: "sdpa", "eager", "flash_attention_2" (extra `gpu`), or "auto"; VGGT always
            uses PyTorch's scaled-dot-product attention.
        geometry: False leaves the spatial encoder and the connector on disk: plain Qwen2.5-VL with these weights.
        heads: False leaves VGGT's heads on disk until `load_heads` is asked for them.
        progress: called after each tensor.

    Raises:
        MissingPartError: a file or flash-attn is missing. BadInputError: keys or sizes do not fit.
    """
    folder = Path(folder)
    raw_config = read_json(folder / CONFIG_NAME)
    files = weight_files(folder)
    shapes = read_shapes(files)
    stored = dtype or stored_dtype(files)
    attention = attention_backend(attention, device, stored)
    complete = config_from_checkpoint(raw_config, shapes)
    model, expected = _empty(complete, shapes, attention)
    if complete.geometry:
        track = {name: shape for name, shape in shapes.items() if name.startswith(TRACK_PREFIX)}
        expected |= track_head_layout(track, complete.vggt.output_width)
    tied = complete.language.tie_word_embeddings
    check_keys(shapes, expected, tied=tied)
    if complete.geometry and not geometry:
        model, _ = _empty(config_from_checkpoint(raw_config, shapes, geometry=False), shapes, attention)
    elif complete.geometry and not heads:
        for name in HEADS:
            setattr(model.vggt, name, None)
    state = _read_state(files, set(model.state_dict()), stored, device, progress)
    if tied:
        _check_tied(state)
    model.load_state_dict(state, strict=True, assign=True)
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    restore_rotary(model.visual, model.model, device)
    model.end_token_ids = read_end_tokens(folder, complete.tokens.eos)
    model.folder = folder
    if empty := [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]:
        raise AssertionError(f"tensors left without data: {empty}")
    log.info(
        "loaded %s: %d tensors, %.1f M parameters, %s on %s, geometry %s, attention: Qwen %s, VGGT sdpa",
        folder,
        len(shapes),
        sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        model.dtype,
        device,
        "on" if model.config.geometry else "off",
        attention,
    )
    return model.eval()


def load_heads(model: "SpatialMLLM", names: Collection[str]) -> None:
    """Read the VGGT heads that `model` was loaded without.

    Args:
        model: from a folder.
        names: of `HEADS`; those that are there already stay.

    Raises:
        MissingPartError: the checkpoint has no such head. BadInputError: the files are not what they were.
    """
    vggt, config = model.vggt, model.config.vggt
    for name in names:
        if getattr(vggt, name) is not None:
            continue
        sizes = getattr(config, name)
        if sizes is None or model.folder is None:
            raise MissingPartError(f"this needs VGGT's {name}, which the checkpoint does not have")
        with torch.device("meta"):
            head: nn.Module = CameraHead(config) if name == "camera_head" else _dense(name)(config, sizes)
        prefix = f"{VGGT_PREFIX}{name}."
        wanted = {prefix + key for key in head.state_dict()}
        state = _read_state(weight_files(model.folder), wanted, model.dtype, model.device, None)
        if wanted - set(state):
            raise BadInputError(f"{model.folder}: the {name} is no longer complete")
        head.load_state_dict({key.removeprefix(prefix): tensor for key, tensor in state.items()}, assign=True)
        setattr(vggt, name, head.eval())


def _dense(name: str) -> type[PointHead] | type[DepthHead]:
    return PointHead if name == "point_head" else DepthHead


def _empty(config: SpatialConfig, shapes: Shapes, attention: str) -> tuple["SpatialMLLM", dict[str, tuple[int, ...]]]:
    """The model on the meta device, and its names and shapes.

    Raises:
        BadInputError: more layers than the weights have, or sizes that torch cannot build.
    """
    from cloud.spatial_mllm.model import SpatialMLLM

    for stated, prefix in (
        (config.language.num_hidden_layers, "model.layers."),
        (config.vision.depth, "visual.blocks."),
    ):
        held = {name[len(prefix) :].split(".", 1)[0] for name in shapes if name.startswith(prefix)}
        if stated > len(held):
            raise BadInputError(
                f"checkpoint does not fit the model; missing keys: {prefix}{len(held)}.* and on: config.json "
                f"states {stated} layers, the weights hold {len(held)}"
            )
    try:
        with torch.device("meta"):
            model = SpatialMLLM(config, attention)
    except (RuntimeError, ValueError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
        raise BadInputError(f"config.json: no model can be built of these sizes: {error}") from None
    return model, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _read_state(
    files: Sequence[Path], names: set[str], dtype: torch.dtype, device: torch.device, progress: Progress | None
) -> dict[str, Tensor]:
    """Read the named tensors; the others stay on disk."""
    state: dict[str, Tensor] = {}
    done, total = 0, stored_bytes(files)
    for path in files:
        with safe_open(path, framework="pt", device=str(device)) as weights:
            for stored in weights.keys():  # noqa: SIM118 - safe_open is no mapping
                name = published_name(stored)
                if name in names:
                    tensor = weights.get_tensor(stored)
                    done += tensor.nbytes
                    state[name] = tensor.to(dtype)
                    if progress is not None:
                        progress(done, total)
    if progress is not None:
        progress(total, total)
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
