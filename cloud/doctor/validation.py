"""The memory model against what a process really takes: three sizes, each answered once on the CPU."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cloud.doctor.memory import Load, account
from cloud.spatial_mllm import (
    DinoConfig,
    LanguageConfig,
    ModelInputs,
    SpatialConfig,
    SpatialMLLM,
    TokenIds,
    VggtConfig,
    VisionConfig,
)

# Memory that is given back goes back to the system at once, so that the peak is that of live memory.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Compared:
    """One size: bytes predicted and bytes measured over what the process took before."""

    name: str
    parameters: int
    frames: int
    predicted: int
    measured: int

    @property
    def error(self) -> float:
        """Relative to the measured peak."""
        return self.predicted / self.measured - 1


def sizes() -> dict[str, tuple[SpatialConfig, Load]]:
    """Three models of the full-size structure, and what is asked of each."""
    return {
        "small": (_config(192, 4, 128, 2), Load(frames=8, height=224, width=224, dtype=torch.float32)),
        "medium": (_config(384, 6, 192, 3), Load(frames=8, height=224, width=308, dtype=torch.float32)),
        "large": (_config(512, 8, 320, 4), Load(frames=8, height=224, width=364, dtype=torch.float32)),
    }


def _config(hidden: int, layers: int, width: int, depth: int) -> SpatialConfig:
    heads = hidden // 64
    return SpatialConfig(
        language=LanguageConfig(
            vocab_size=4096,
            hidden_size=hidden,
            intermediate_size=4 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=1,
            mrope_section=(8, 12, 12),
        ),
        vision=VisionConfig(
            depth=depth,
            hidden_size=width,
            intermediate_size=3 * width,
            num_heads=width // 64,
            out_hidden_size=hidden,
            fullatt_block_indexes=(depth - 1,),
        ),
        vggt=VggtConfig(
            width=width,
            depth=depth,
            num_heads=width // 64,
            mlp_size=4 * width,
            dino=DinoConfig(depth=depth, num_heads=width // 64, mlp_size=4 * width),
            camera_head=None,
            point_head=None,
            depth_head=None,
        ),
        tokens=TokenIds(vision_start=1, vision_end=2, image=3, video=4, bos=5, eos=6, pad=7),
    )


def validate() -> list[Compared]:
    """Measure all sizes in one fresh process and compare."""
    environment = os.environ | ALLOCATOR
    done = subprocess.run(
        [sys.executable, "-m", "cloud.doctor.validation"], env=environment, capture_output=True, text=True, check=True
    )
    peaks = json.loads(done.stdout.splitlines()[-1])
    compared = []
    for name, (config, load) in sizes().items():
        with torch.device("meta"):
            parameters = sum(parameter.numel() for parameter in SpatialMLLM(config).parameters())
        compared.append(Compared(name, parameters, load.frames, account(config, load).total, peaks[name]))
    return compared


def _status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def _answer(config: SpatialConfig, load: Load) -> None:
    """Build the model and answer one clip."""
    torch.manual_seed(0)
    model = SpatialMLLM(config).eval()
    vision, tokens = config.vision, config.tokens
    steps = load.frames // vision.temporal_patch_size
    rows, columns = load.height // vision.patch_size, load.width // vision.patch_size
    grid = torch.tensor([[steps, rows, columns]])
    visual = steps * rows * columns // vision.spatial_merge_size**2
    width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    text = torch.full((198,), 10)
    ids = torch.cat((text, torch.tensor([tokens.vision_start] + [tokens.video] * visual + [tokens.vision_end])))[None]
    frames = torch.rand(load.frames, 3, load.height, load.width)
    patches = torch.rand(steps * rows * columns, width)
    inputs = ModelInputs(ids, None, patches, grid, [frames])
    model.generate(inputs, max_new_tokens=4, eos_token_ids=())


def _measure() -> dict[str, int]:
    torch.set_num_threads(1)
    warm = replace(_config(64, 1, 64, 1))
    _answer(warm, Load(frames=2, height=56, width=56))  # libraries that load on first use are not the model's
    peaks: dict[str, int] = {}
    for name, (config, load) in sizes().items():
        gc.collect()
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew
        _answer(config, load)
        peaks[name] = _status("VmHWM") - before
    return peaks


if __name__ == "__main__":
    print(json.dumps(_measure()))  # noqa: T201 - read by `validate`
