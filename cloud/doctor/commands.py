"""What `crustwatch doctor` prints."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from cloud.doctor.host import Host, look
from shared.errors import BadInputError

GB = 1e9
NEEDED = ("torch", "transformers", "safetensors", "tokenizers")


def run_doctor(
    checkpoint: str, frames: int, memory_gb: float, device: str, dtype: str, validate: bool, as_json: bool
) -> None:
    """Print the facts and the engines; see cloud/doctor/cli.py for the arguments."""
    if device not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"device {device!r}: choose auto, cpu or cuda")
    if dtype not in ("float32", "bfloat16", "float16"):
        raise BadInputError(f"dtype {dtype!r}: choose one of float32, bfloat16, float16")
    host = look()
    report: dict[str, Any] = {"host": asdict(host)}
    lines = host_lines(host)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        lines.append(f"  no model can run here: {', '.join(missing)} missing (pip install 'crustwatch[cloud]')")
    else:
        where = device if device != "auto" else "cuda" if host.gpus else "cpu"
        here = (host.gpus[0].free if host.gpus else 0) if where == "cuda" else host.memory_free
        budget = int(memory_gb * GB) or here
        if not budget:
            raise BadInputError("no GPU is here: say how large yours is with --memory-gb, or use --device cpu")
        found, words = _engines(checkpoint, frames, budget, where, dtype)
        report |= found
        lines += words
    if validate:
        from cloud.doctor.validation import validate as measure

        compared = measure()
        report["validation"] = [asdict(one) | {"error": round(one.error, 4)} for one in compared]
        lines.append("memory model against measured peaks of a process on this CPU")
        lines += [
            f"  {one.name:8} {one.parameters / 1e6:6.1f} M parameters, {one.frames} frames: predicted "
            f"{one.predicted / 1e6:6.1f} MB, measured {one.measured / 1e6:6.1f} MB, {100 * one.error:+.1f} %"
            for one in compared
        ]
    print(json.dumps(report) if as_json else "\n".join(lines))  # noqa: T201 - the command's output


def host_lines(host: Host) -> list[str]:
    """The facts for people."""
    lines = [
        f"machine    {host.system}, Python {host.python}, {host.cpus} CPUs",
        f"memory     {host.memory / GB:.1f} GB, {host.memory_free / GB:.1f} GB available",
        f"disk       {host.disk_free / GB:.1f} GB free at {host.disk_at}",
        f"CUDA       {host.cuda or 'none in torch'}, driver {host.driver or 'none found'}",
    ]
    lines += [f"GPU        {gpu.name}, {gpu.memory / GB:.1f} GB, {gpu.free / GB:.1f} GB free" for gpu in host.gpus]
    lines.append(f"attention  {', '.join(host.attention) or 'torch is not installed'} (the first one is taken)")
    there = [f"{name} {number}" for name, number in host.versions.items() if number]
    lines.append(f"versions   {', '.join(there)}")
    if absent := [name for name, number in host.versions.items() if not number]:
        lines.append(f"not here   {', '.join(absent)}")
    return lines


def _engines(checkpoint: str, frames: int, budget: int, device: str, dtype: str) -> tuple[dict[str, Any], list[str]]:
    from cloud.doctor.advice import advice, choices, subject

    config, size = subject(checkpoint)
    found = choices(config, size, frames=frames, budget=budget, device=device, dtype=dtype)
    lines = [f"{checkpoint} at {frames} frames of {size[1]}x{size[0]}, {dtype}, on {device} with {budget / GB:.1f} GB"]
    names = list(dict.fromkeys(name for choice in found for name in choice.account.resident))
    stages = list(dict.fromkeys(name for choice in found for name in choice.account.stages))
    width = 12
    lines.append(f"  {'GB':34}" + "".join(f"{choice.engine:>{width}}" for choice in found))
    for name in names:
        cells = (choice.account.resident.get(name) for choice in found)
        lines.append(
            f"  {name:34}" + "".join(f"{'' if cell is None else f'{cell / GB:.3f}':>{width}}" for cell in cells)
        )
    for name in stages:
        cells = (choice.account.stages.get(name) for choice in found)
        title = f"while it runs: {name}"
        lines.append(
            f"  {title:34}" + "".join(f"{'' if cell is None else f'{cell / GB:.3f}':>{width}}" for cell in cells)
        )
    totals = "".join(f"{choice.account.total / GB:>{width}.3f}" for choice in found)
    lines.append(f"  {'together, at the worst moment':34}{totals}")
    fits = "".join(f"{choice.frames or 'none':>{width}}" for choice in found)
    lines.append(f"  {'most frames that fit (to 32)':34}{fits}")
    sentence = advice(found, budget, frames)
    lines.append(f"  {sentence}")
    report = {
        "checkpoint": checkpoint,
        "device": device,
        "dtype": dtype,
        "frames": frames,
        "budget": budget,
        "advice": sentence,
        "engines": [
            {
                "engine": choice.engine,
                "most_frames": choice.frames,
                "total": choice.account.total,
                "resident": choice.account.resident,
                "stages": choice.account.stages,
            }
            for choice in found
        ],
    }
    return report, lines
