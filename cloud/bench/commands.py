"""What `crustwatch cloud bench` prints."""

from __future__ import annotations

import json
from dataclasses import asdict

import torch

from cloud.bench import full_size
from cloud.bench.ratios import Ratio, ratios
from cloud.loading import DTYPES
from cloud.spatial_mllm import SpatialConfig
from shared.errors import BadInputError, CrustwatchError


def run_bench(size: str, random_weights: bool, dtype: str, threads: int, as_json: bool) -> None:
    """Measure; a ratio below what is asked for ends with exit code 1."""
    if size not in ("small", "full"):
        raise BadInputError(f"size {size!r}: choose small or full")
    if dtype not in DTYPES:
        raise BadInputError(f"dtype {dtype!r}: choose one of {', '.join(DTYPES)}")
    if size == "full" and not random_weights:
        raise BadInputError("the full size runs with --random-weights here; with a checkpoint use cloud ask")
    if threads:
        torch.set_num_threads(threads)
    if size == "full":
        _full(dtype, as_json)
        return
    found = ratios()
    if as_json:
        print(json.dumps([asdict(one) | {"ratio": round(one.ratio, 2)} for one in found]))  # noqa: T201
    else:
        print("\n".join(_line(one) for one in found))  # noqa: T201 - the command's output
    if short := [one.name for one in found if one.wanted is not None and one.ratio < one.wanted]:
        raise CrustwatchError(f"below what is asked for: {'; '.join(short)}")


def _line(one: Ratio) -> str:
    unit, scale = (" MB", 1e6) if one.unit == "B" else (" s", 1.0)
    wanted = "" if one.wanted is None else f", at least {one.wanted:g} x is asked for"
    return f"{one.name:66} {one.without / scale:8.3f}{unit} {one.with_ / scale:8.3f}{unit} {one.ratio:6.1f} x{wanted}"


def _full(dtype: str, as_json: bool) -> None:
    found = full_size.run(SpatialConfig(), DTYPES[dtype])
    if as_json:
        print(json.dumps(asdict(found)))  # noqa: T201 - the command's output
        return
    lines = [f"full size, random weights, {dtype}: {found.parameters / 1e9:.2f} G parameters, 2 frames of 224x224"]
    lines += [f"  {name:24} {seconds:8.1f} s" for name, seconds in found.seconds.items()]
    lines.append(f"  peak of the process      {found.peak / 1e9:8.1f} GB")
    print("\n".join(lines))  # noqa: T201 - the command's output
