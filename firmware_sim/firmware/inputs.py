"""Inputs for comparing outputs: noise, steps, extremes, and pictures of real things."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from firmware_sim.compiler.graph import Graph
from shared.errors import BadInputError
from shared.picture_files import folder_listing, is_picture

KINDS = 4  # input i is noise, extremes, steps or a picture by i % KINDS
LEAST_CROP = 0.2  # of a picture's shorter side
SHIPPED_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 30_000_000  # of a picture


def verification_inputs(
    graph: Graph, count: int, seed: int, pictures: Path | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Inputs [count, H, W, C] of the network's dtype, and which of them are pictures, bool [count].

    The first two are all lowest and all highest. Pictures come from the folder `pictures`, or from scikit-image if it
    is installed; without any, and for networks of neither one channel nor three, noise takes their place. Raises
    BadInputError for a folder without pictures.
    """
    low, high = (0, 255) if graph.input_tensor.dtype == "uint8" else (-128, 127)
    shape = graph.input_tensor.shape
    rng = np.random.default_rng(seed)
    values = rng.integers(low, high + 1, (count, *shape), np.int16)
    for i in range(1, count, KINDS):
        values[i] = _extremes(rng, shape, low, high)
    for i in range(2, count, KINDS):  # steps of a coarse grid
        coarse = rng.integers(low, high + 1, [-(-side // 4) for side in shape[:2]] + [shape[2]])
        values[i] = coarse.repeat(4, axis=0).repeat(4, axis=1)[: shape[0], : shape[1]]
    real = np.zeros(count, np.bool_)
    files = picture_files(pictures) if shape[2] in (1, 3) else []
    places = [i for i in range(3, count, KINDS) if files]
    for i, picture in zip(places, _crops(files, shape, rng), strict=False):
        values[i] = picture.astype(np.int16) + low
        real[i] = True
    values[: min(2, count)] = np.array([low, high])[: min(2, count)].reshape(-1, 1, 1, 1)
    return as_inputs(graph, values, rng), real


def random_inputs(graph: Graph, count: int, seed: int) -> NDArray[Any]:
    """The same [count, H, W, C] without pictures."""
    low, high = (0, 255) if graph.input_tensor.dtype == "uint8" else (-128, 127)
    rng = np.random.default_rng(seed)
    return as_inputs(graph, rng.integers(low, high + 1, (count, *graph.input_tensor.shape), np.int16), rng)


def as_inputs(graph: Graph, values: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[Any]:
    """Quantised values as the dtype of the network's input; between two steps where it is float32."""
    if graph.input_tensor.dtype != "float32":
        return values.astype(graph.input_tensor.dtype)
    into = graph.tensors[graph.operators[0].output]  # of the QUANTIZE that reads it
    jitter = rng.uniform(-0.7, 0.7, values.shape)
    return ((values - into.zero_point + jitter) * into.scale).astype(np.float32)


def picture_files(folder: Path | None) -> list[Path]:
    """Pictures of the folder, or those that scikit-image ships. Raises BadInputError when the folder has none."""
    if folder is not None:
        found = [path for path in folder_listing(folder) if is_picture(path)]
        if not found:
            raise BadInputError(f"{folder}: no pictures in it")
        return found
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        return []
    files = folder_listing(Path(package.origin).parent / "data")  # some are volumes or tables of other forms
    return [path for path in files if is_picture(path) and path.suffix in SHIPPED_SUFFIXES]


def _extremes(rng: np.random.Generator, shape: tuple[int, int, int], low: int, high: int) -> NDArray[np.int64]:
    """Lowest and highest only: at random, or in stripes along one side."""
    kind = int(rng.integers(4))
    if kind == 3 or shape[kind] == 1:
        return np.where(rng.random(shape) < rng.uniform(0.05, 0.95), low, high)
    index: NDArray[np.int64] = np.indices(shape)[kind]
    return np.where(index // int(rng.integers(1, max(2, min(4, shape[kind])))) % 2 == 0, low, high)


def _crops(files: list[Path], shape: tuple[int, int, int], rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Parts of the pictures in turns, uint8 [H, W, C], without end."""
    height, width, channels = shape
    while True:
        for path in files:
            try:
                with Image.open(path) as opened:
                    if opened.width * opened.height > MAX_PIXELS:
                        raise BadInputError(f"{path}: {opened.width}x{opened.height} is too large")
                    picture = opened.convert("L" if channels == 1 else "RGB")
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                raise BadInputError(f"{path}: no picture: {error}") from None
            part = rng.uniform(LEAST_CROP, 1.0)
            wide, high = (max(1, int(side * part)) for side in picture.size)
            left = int(rng.integers(0, picture.width - wide + 1))
            top = int(rng.integers(0, picture.height - high + 1))
            box = (left, top, left + wide, top + high)
            small = picture.resize((width, height), Image.Resampling.BILINEAR, box)
            yield np.asarray(small, np.uint8).reshape(shape)
