"""From the name of a checkpoint to a model that can be asked: shipped, a local folder, or a hub id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import torch
from safetensors import safe_open
from tokenizers import Tokenizer

from cloud.progress import loading_bar
from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.checkpoint_files import published_name, weight_files
from cloud.spatial_mllm.hub import fetch, is_hub_id
from cloud.spatial_mllm.processor import Processor
from cloud.spatial_mllm.tokenizer import load_tokenizer
from shared.errors import BadInputError, MissingPartError

SHIPPED = "pizza-small"
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HASH_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory.

    Attributes:
        name: of its folder, or the hub id.
        weights_sha256: of its weight files in the order of their names.
    """

    name: str
    model: SpatialMLLM
    processor: Processor
    tokenizer: Tokenizer
    weights_sha256: str


def checkpoint_folder(checkpoint: str | Path) -> Path:
    """The folder of a shipped checkpoint by name, a local folder, or what a hub id was downloaded to.

    Raises MissingPartError when none exists.
    """
    if Path(checkpoint).is_dir():
        return Path(checkpoint)
    shipped = Path(str(resources.files("cloud") / "checkpoints"))
    if isinstance(checkpoint, str) and checkpoint.replace("-", "").isalnum() and (shipped / checkpoint).is_dir():
        return shipped / checkpoint
    if isinstance(checkpoint, str) and is_hub_id(checkpoint):
        return fetch(checkpoint)
    names = sorted(path.name for path in shipped.iterdir() if path.is_dir()) if shipped.is_dir() else []
    raise MissingPartError(
        f"no checkpoint {str(checkpoint)!r}: name a folder with config.json and model.safetensors, a hub id "
        f"(owner/name), or one of {', '.join(names) or 'none shipped'}"
    )


def load_checkpoint(
    checkpoint: str | Path = SHIPPED,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    attention: str = "auto",
    threads: int | None = None,
    geometry: bool = True,
    weights: str = "full",
) -> Loaded:
    """Load a checkpoint; VGGT's heads stay on disk until something asks for them.

    Args:
        checkpoint: name of a shipped checkpoint, a folder, or a hub id.
        device: torch device.
        dtype: float32, bfloat16 or float16.
        attention: "auto", "sdpa", "eager" or "flash_attention_2" in the Qwen parts; auto takes the best that there is.
        threads: CPU threads of torch, for the whole process; None leaves them alone.
        geometry: False leaves the spatial encoder out.
        weights: "full", "int8" or "int4".

    Raises:
        MissingPartError: the checkpoint or a part of it is not there.
        BadInputError: the checkpoint or an argument is not what it should be.
    """
    if dtype not in DTYPES:
        raise BadInputError(f"dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    where = torch_device(device)
    if threads is not None:
        if threads < 1:
            raise BadInputError(f"threads must be 1 or more, not {threads}")
        torch.set_num_threads(threads)
    folder = checkpoint_folder(checkpoint)
    name = str(checkpoint) if is_hub_id(str(checkpoint)) and not Path(checkpoint).is_dir() else folder.name
    with loading_bar(name) as progress:
        model = SpatialMLLM.from_folder(
            folder,
            dtype=DTYPES[dtype],
            device=where if weights == "full" else "cpu",
            attention=attention,
            geometry=geometry,
            heads=False,
            progress=progress,
        )
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise MissingPartError(f"{tokenizer_file} does not exist: copy the checkpoint's tokenizer.json there")
    tokenizer = load_tokenizer(tokenizer_file)
    if weights != "full":
        from cloud.quantise import quantise

        quantise(model, weights, where)
    return Loaded(name, model, Processor.from_folder(folder, model.config), tokenizer, sha256_of_weights(folder))


def torch_device(device: str) -> torch.device:
    """The torch device of that name. Raises BadInputError for an unknown one, MissingPartError without CUDA."""
    try:
        where = torch.device(device)
    except RuntimeError:
        raise BadInputError(f"device {device!r} is not one of torch's: cpu, cuda, cuda:0, ...") from None
    if where.type == "cuda" and not torch.cuda.is_available():
        raise MissingPartError("no CUDA device is available to torch: use --device cpu, or install a CUDA torch")
    return where


def sha256_of_weights(folder: Path) -> str:
    """SHA-256 over the weight files of a folder in the order of their names."""
    return sha256_of_files(sorted(folder.glob("*.safetensors")))


def sha256_of_files(paths: Sequence[Path]) -> str:
    """SHA-256 over the bytes of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def sha256_of_tensors(folder: Path, prefix: str) -> str:
    """SHA-256 over the tensors of a checkpoint whose published names begin with `prefix`: names and bytes, in order.

    Raises BadInputError when there is none.
    """
    digest, found = hashlib.sha256(), 0
    places: dict[str, tuple[Path, str]] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as weights:
            places |= {published_name(name): (path, name) for name in weights.keys()}  # noqa: SIM118 - no mapping
    for name in sorted(name for name in places if name.startswith(prefix)):
        path, stored = places[name]
        with safe_open(path, framework="pt") as weights:
            tensor = weights.get_tensor(stored)
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        found += 1
    if not found:
        raise BadInputError(f"{folder}: no tensors {prefix}*")
    return digest.hexdigest()
