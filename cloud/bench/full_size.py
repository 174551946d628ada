"""The full-size network with random weights, end to end on this machine: seconds of each stage, and peak memory."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cloud.spatial_mllm import ModelInputs, SpatialConfig, SpatialMLLM
from cloud.spatial_mllm.qwen import restore_rotary

FRAMES, SIDE, TOKENS = 2, 224, 8
PROMPT = 40  # text tokens


@dataclass(frozen=True)
class FullSize:
    """Seconds by stage, parameters, and the process's peak in bytes."""

    seconds: dict[str, float]
    parameters: int
    peak: int
    tokens: list[int]


def random_model(config: SpatialConfig, dtype: torch.dtype) -> SpatialMLLM:
    """A model in `dtype` whose weights are one block of noise, repeated: nothing of it is drawn twice, nor in fp32."""
    with torch.device("meta"):
        model = SpatialMLLM(config).to(dtype)
    model.to_empty(device="cpu")
    model.lm_head.weight = model.model.embed_tokens.weight
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))  # [1,048,576]
    for name, parameter in model.named_parameters():
        flat = parameter.data.view(-1)
        if parameter.dim() < 2:
            flat.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        block = (noise / parameter[0].numel() ** 0.5).to(dtype)
        for first in range(0, len(flat), len(block)):
            some = flat[first : first + len(block)]
            some.copy_(block[: len(some)])
    restore_rotary(model.visual, model.model, torch.device("cpu"))
    return model.eval()


def run(config: SpatialConfig, dtype: torch.dtype, frames: int = FRAMES, tokens: int = TOKENS) -> FullSize:
    """Fill, encode and answer once; VGGT's heads are left out, as a worker leaves them out."""
    lean = replace(config, vggt=replace(config.vggt, camera_head=None, point_head=None, depth_head=None))
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        now = time.perf_counter()
        seconds[name] = now - started
        started = now

    model = random_model(lean, dtype)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    lap("weights")
    vision = lean.vision
    side = SIDE // vision.patch_size
    steps = frames // vision.temporal_patch_size
    grid = torch.tensor([[steps, side, side]])
    width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(steps * side * side, width, generator=generator)
    pixels = torch.rand(1, frames, 3, SIDE, SIDE, generator=generator)
    with torch.inference_mode():
        visual: Tensor = model.visual(patches.to(dtype), grid_thw=grid).pooler_output  # [N, hidden]
        lap("vision tower")
        aggregated = model.vggt.aggregator(pixels.to(dtype))
        lap("spatial encoder")
        spatial = aggregated.last()[0, :, aggregated.patch_start :]  # [S, h*w, 2C]
        fused = visual + model.connector(model.connector.merge_clips([spatial], grid))  # [N, hidden]
        lap("connector")
    ids = [10] * PROMPT + [lean.tokens.vision_start] + [lean.tokens.video] * len(fused) + [lean.tokens.vision_end]
    inputs = ModelInputs(torch.tensor([ids]), None, video_grid_thw=grid, video_embeds=fused)
    said: list[int] = []
    for step in model.stream(inputs, max_new_tokens=tokens):
        said.append(int(step.ids[0]))
        if len(said) == 1:
            lap(f"prompt of {len(ids)} tokens")
    lap(f"{len(said) - 1} more tokens")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return FullSize(seconds, parameters, peak, said)
