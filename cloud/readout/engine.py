"""The engine of a token source and a head: verdicts without a language model."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cloud.answer import Findings, verdict_of
from cloud.loading import checkpoint_folder, load_checkpoint, sha256_of_files, sha256_of_tensors
from cloud.media.pictures import one_size
from cloud.readout.head import findings_of, load_head
from cloud.readout.tokens import EncoderTokens, LightTokens, TokenSource
from cloud.spatial_mllm.checkpoint_files import CONFIG_NAME, read_json, read_shapes, weight_files
from cloud.spatial_mllm.checkpoint_sizes import config_from_checkpoint
from cloud.spatial_mllm.processor import Processor, VisionClip
from cloud.spatial_mllm.sampling import even_indices
from cloud.taken import Taken, check_frames
from shared.errors import BadInputError
from shared.messages import BakeVerdict, Provenance
from shared.task import Task

READOUTS = ("features", "light")
ENCODER_PREFIX = "spatial_encoder.vggt_model.aggregator."
FOLDER = "heads"  # of a checkpoint: not among its weights


def head_path(folder: Path, kind: str) -> Path:
    """Where a checkpoint keeps the head of an engine."""
    return folder / FOLDER / f"{kind}.safetensors"


@dataclass(frozen=True)
class Base:
    """What an engine of `READOUTS` needs of a checkpoint.

    Attributes:
        name: of the checkpoint.
        folder: of the checkpoint.
        processor: its geometry.
        source: of the tokens.
        belongs: checksum of the encoder that the head must have been trained on; "none" without one.
        device: of the encoder.
    """

    name: str
    folder: Path
    processor: Processor
    source: TokenSource
    belongs: str
    device: str


def load_base(checkpoint: str | Path, kind: str, device: str, dtype: str, threads: int | None) -> Base:
    """Read the encoder of a checkpoint, or of engine `light` its configuration alone. See `load_checkpoint`."""
    folder = checkpoint_folder(checkpoint)
    if kind == "features":
        loaded = load_checkpoint(checkpoint, device, dtype, threads=threads)
        source = EncoderTokens(loaded.model)
        belongs = sha256_of_tensors(folder, ENCODER_PREFIX)
        return Base(loaded.name, folder, loaded.processor, source, belongs, str(loaded.model.device))
    if threads is not None:
        torch.set_num_threads(threads)
    config = config_from_checkpoint(read_json(folder / CONFIG_NAME), read_shapes(weight_files(folder)))
    return Base(folder.name, folder, Processor.from_folder(folder, config), LightTokens(), "none", "cpu")


def load_readout(
    checkpoint: str | Path, kind: str, device: str = "cpu", dtype: str = "float32", *, threads: int | None = None
) -> ReadoutEngine:
    """The engine `kind` of a checkpoint. Raises what `load_checkpoint` and `load_head` raise."""
    return ReadoutEngine(load_base(checkpoint, kind, device, dtype, threads), kind)


class ReadoutEngine:
    """A checkpoint's processor, its token source and a head. Not for several threads at once."""

    def __init__(self, base: Base, kind: str, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Raises what `load_head` raises."""
        self.engine, self.name = kind, base.name
        self._base, self._clock = base, clock
        path = head_path(base.folder, kind)
        self._head, self._labels = load_head(path, kind, base.belongs, base.source.width)
        weights = sorted(base.folder.glob("*.safetensors")) if kind == "features" else []
        self.weights_sha256 = sha256_of_files([*weights, path])

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """See `cloud.engine.Engine.verdict`; frames are chosen evenly."""
        return self.verdicts([Taken(frames, times_s)], task)[0]

    def verdicts(self, clips: Sequence[Taken], task: Task) -> list[BakeVerdict]:
        """See `cloud.engine.Engine.verdicts`."""
        if tuple(task.labels) != self._labels:
            raise BadInputError(f"engine {self.engine} was trained for {', '.join(self._labels)}: not this task")
        started = self._clock()
        seen: list[tuple[VisionClip, tuple[int, ...]]] = []
        for clip in clips:
            check_frames(clip.frames, clip.times_s)
            order = clip.in_time()
            order = [order[place] for place in even_indices(len(order), task.escalation.frames)]
            frames = one_size([clip.frames[place] for place in order])
            seen.append((self._base.processor.video(frames), tuple(order)))
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for row, (shown, _) in enumerate(seen):
            by_shape.setdefault(tuple(shown.tchw.shape), []).append(row)
        found: dict[int, Findings] = {}
        with torch.inference_mode():
            for rows in by_shape.values():
                tokens = self._base.source.tokens(torch.stack([seen[row][0].tchw for row in rows]))  # [b, N, width]
                found |= dict(zip(rows, findings_of(self._head(tokens.cpu()), task), strict=True))
        seconds = (self._clock() - started) / max(1, len(clips))
        return [verdict_of(found[row], self._provenance(order, seconds)) for row, (_, order) in enumerate(seen)]

    def _provenance(self, frames_used: tuple[int, ...], seconds: float) -> Provenance:
        features = self.engine == "features"
        return Provenance(
            model=self.name,
            weights_sha256=self.weights_sha256,
            prompt_sha256=hashlib.sha256(b"").hexdigest(),  # nobody is asked anything
            frames_used=frames_used,
            geometry=features,
            attention="sdpa" if features else "none",
            device=self._base.device,
            seconds=seconds,
            engine=self.engine,
        )
