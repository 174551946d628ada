"""What batches, one pass of the geometry, fewer kept layers and the cache are worth, each against doing without."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import torch

from cloud.chat import Chat, Question
from cloud.doctor.live_bytes import LiveBytes
from cloud.engine import Engine
from cloud.loading import SHIPPED, load_checkpoint
from cloud.media import Footage
from cloud.spatial_mllm import CameraHeadConfig, DinoConfig, DptHeadConfig, SpatialMLLM, VggtConfig
from cloud.spatial_mllm.processor import Frame, Processor
from cloud.spatial_mllm.sampling import space_aware_frames
from cloud.spatial_mllm.vggt.aggregator import Aggregator
from cloud.taken import Taken
from cloud.vocabulary import question_of
from shared.task import load_task

ROUNDS = 3  # of each way, taken in turns; the fastest counts


@dataclass(frozen=True)
class Ratio:
    """One comparison: seconds or bytes without and with, and the ratio that is asked for (None: shown only)."""

    name: str
    without: float
    with_: float
    unit: str
    wanted: float | None

    @property
    def ratio(self) -> float:
        """How many times better."""
        return self.without / self.with_


def ratios() -> list[Ratio]:
    """All comparisons on this machine."""
    return [batches(), *geometry_once(), kept_layers(), cache()]


def _frames(count: int, seed: int, height: int = 240, width: int = 320) -> list[Frame]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def _footage(count: int, seed: int) -> Footage:
    places = tuple(range(count))
    return Footage("noise", tuple(_frames(count, seed)), tuple(map(float, places)), places, still=False)


def _fastest(*ways: Callable[[], object]) -> list[float]:
    """Seconds of the fastest round of each way."""
    best = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for index, way in enumerate(ways):
            started = time.perf_counter()
            way()
            best[index] = min(best[index], time.perf_counter() - started)
    return best


def batches() -> Ratio:
    """Eight clips as one batch against one by one, `pizza-small`, from pixels to verdicts; nothing is cached."""
    engine, task = Engine(load_checkpoint(SHIPPED)), load_task("pizza")
    engine.verdict(_frames(8, 0), range(8), task)
    seeds = iter(range(1, 10_000))

    def clips() -> list[Taken]:
        return [Taken(_frames(8, next(seeds)), range(8)) for _ in range(8)]

    fresh = [clips() for _ in range(2 * ROUNDS)]  # clips that the feature cache has not seen
    alone, together = _fastest(
        lambda: [engine.verdicts([clip], task) for clip in fresh.pop()], lambda: engine.verdicts(fresh.pop(), task)
    )
    return Ratio("a batch of 8 clips against one by one", alone, together, "s", 2.5)


def random_with_heads() -> tuple[SpatialMLLM, Chat]:
    """`pizza-small` with a deeper spatial encoder that has all heads, random weights."""
    loaded = load_checkpoint(SHIPPED)
    dense = DptHeadConfig(layers=(0, 1, 2, 3), level_channels=(16, 32, 32, 32), features=16, hidden=8)
    vggt = VggtConfig(
        width=64,
        depth=4,
        num_heads=4,
        mlp_size=256,
        dino=DinoConfig(depth=2, num_heads=4, mlp_size=256, position_grid=10),
        camera_head=CameraHeadConfig(depth=1, num_heads=4, mlp_size=256),
        point_head=dense,
        depth_head=dense,
    )
    torch.manual_seed(0)
    model = SpatialMLLM(replace(loaded.model.config, vggt=vggt)).eval()
    model.end_token_ids = ()
    processor = Processor(model.config, loaded.processor.pixels)
    return model, Chat(replace(loaded, model=model, processor=processor))


def geometry_once() -> list[Ratio]:
    """Choosing 4 of 8 frames by space and answering: one pass against two.

    Twice as the reference does it (518 pixels of width to choose, then the answer's size), and with both passes at the
    answer's size.
    """
    model, chat = random_with_heads()
    question, seeds = question_of(load_task("pizza")), iter(range(10_000))

    def ask(footage: Footage, *, space_aware: bool) -> None:
        shown = chat.show(footage, 4, space_aware=space_aware)
        chat.answer([Question(question, (shown,))], 8)

    def chosen(footage: Footage, places: list[int]) -> Footage:
        return replace(footage, frames=tuple(footage.frames[place] for place in places), places=tuple(places))

    def reference() -> None:
        footage = _footage(8, next(seeds))
        ask(chosen(footage, space_aware_frames(model.vggt, footage.frames, 4)), space_aware=False)

    def same_pixels() -> None:
        footage = _footage(8, next(seeds))
        places = chat.show(footage, 4, space_aware=True).places
        ask(chosen(footage, list(places)), space_aware=False)

    once, twice, twice_same = _fastest(lambda: ask(_footage(8, next(seeds)), space_aware=True), reference, same_pixels)
    return [
        Ratio("sampling and answering, one pass against the reference's two", twice, once, "s", 1.7),
        Ratio("the same, against two passes over equal pixels", twice_same, once, "s", None),
    ]


def kept_layers() -> Ratio:
    """What the aggregator's output takes at 16 frames: all 24 layers against the last, bytes alive afterwards."""
    narrow = VggtConfig(
        width=64,
        num_heads=4,
        mlp_size=128,
        dino=DinoConfig(depth=2, num_heads=4, mlp_size=128, position_grid=8),
        camera_head=None,
        point_head=None,
        depth_head=None,
    )
    aggregator = Aggregator(narrow).eval()
    images = torch.rand(1, 16, 3, 112, 140)  # [B, S, 3, H, W]

    def output(keep: Collection[int]) -> float:
        with torch.inference_mode(), LiveBytes() as live:
            tokens = aggregator(images, keep)
        return float(live.now) if tokens.layers else 0.0

    return Ratio("aggregator output at 16 frames, all layers against the last", output(range(24)), output(()), "B", 10)


def cache() -> Ratio:
    """32 tokens after a prompt with eight clips, `pizza-small`: with the key/value cache and without."""
    chat = Chat(load_checkpoint(SHIPPED))
    question = Question(question_of(load_task("pizza")), tuple(chat.show(_footage(8, seed), 8) for seed in range(8)))
    inputs = chat.inputs([question])

    def write(*, cached: bool) -> None:
        chat.model.generate(inputs, max_new_tokens=32, eos_token_ids=(), cached=cached)

    slow, fast = _fastest(lambda: write(cached=False), lambda: write(cached=True))
    return Ratio("32 tokens with the cache against without", slow, fast, "s", 5)
