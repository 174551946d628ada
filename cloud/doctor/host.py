"""Facts about this machine: processor, memory, disk, GPU, driver, attention backends and versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from shared.cache_folder import cache_folder

PACKAGES = (
    "crustwatch",
    "torch",
    "transformers",
    "safetensors",
    "tokenizers",
    "llguidance",
    "torchao",
    "flash-attn",
    "av",
    "decord",
    "qwen-vl-utils",
    "paho-mqtt",
)


@dataclass(frozen=True)
class Gpu:
    """One CUDA device."""

    name: str
    memory: int  # bytes
    free: int


@dataclass(frozen=True)
class Host:
    """This machine. Bytes; `versions` holds None for what is not installed."""

    system: str
    python: str
    cpus: int
    memory: int
    memory_free: int
    disk_free: int
    disk_at: str
    cuda: str | None  # CUDA release that torch was built for
    driver: str | None
    gpus: tuple[Gpu, ...]
    attention: tuple[str, ...]
    versions: dict[str, str | None]


def look() -> Host:
    """Find the facts; nothing that is missing is an error."""
    torch_there = find_spec("torch") is not None
    cuda: str | None = None
    gpus: tuple[Gpu, ...] = ()
    attention: tuple[str, ...] = ()
    if torch_there:
        import torch

        cuda = torch.version.cuda
        if torch.cuda.is_available():
            gpus = tuple(
                Gpu(torch.cuda.get_device_name(index), *reversed(torch.cuda.mem_get_info(index)))
                for index in range(torch.cuda.device_count())
            )
        flash = bool(gpus) and find_spec("flash_attn") is not None
        attention = ("flash_attention_2", "sdpa", "eager") if flash else ("sdpa", "eager")
    place = existing(cache_folder())
    memory = _meminfo()
    return Host(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=memory.get("MemTotal", 0),
        memory_free=memory.get("MemAvailable", 0),
        disk_free=shutil.disk_usage(place).free,
        disk_at=str(place),
        cuda=cuda,
        driver=_driver(),
        gpus=gpus,
        attention=attention,
        versions={name: _version(name) for name in PACKAGES},
    )


def existing(path: Path) -> Path:
    """The nearest folder above `path` that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _meminfo() -> dict[str, int]:
    """Bytes by field of /proc/meminfo; empty where there is none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}


def _driver() -> str | None:
    """Release of the NVIDIA driver, as its own tool says."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
